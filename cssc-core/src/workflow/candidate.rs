//! How candidates are tagged: patched images that have not earned a patch tag yet.
//!
//! A candidate is pushed into the repository of its original, because tools push there and the
//! layers then are where the published manifest needs them. Its tag must never look like an
//! image to a plan, and it ends in the suffix of the convention that the policy does *not*
//! follow: such a tag is reserved, so it is no original, and it is no patch of the policy's
//! convention either, so it is nobody's newest patch and no orphan. Whatever selects (`*`, a
//! glob, a literal, either dialect) leaves it out.
//!
//! The number is that of the image in the plan, not a new one each time: where a registry
//! cannot delete, at most one candidate per image stays behind, however many nights pass.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::convention::Suffix;
use crate::name::{Tag, TagRef, excerpt};

const PREFIX: &str = "cssc-candidate-";
/// Hexadecimal digits in an owner.
const OWNER_LEN: usize = 8;

/// Who makes candidates: eight hexadecimal digits, drawn once for each workflow and state file.
///
/// Two runners on one registry that do not know of each other so never take the same candidate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Owner(Box<str>);

impl Owner {
    /// The owner with this number, which should be a random one.
    pub fn new(number: u32) -> Self {
        Self(format!("{number:08x}").into())
    }

    /// The eight digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag of the candidate for image `image` of a plan, to be published as `patch`.
    ///
    /// ```
    /// use cssc_core::{Owner, TagRef, is_candidate};
    ///
    /// let owner = Owner::new(0x9f3a_1c2e);
    /// let candidate = owner.candidate(17, TagRef::new("3.11-2")?);
    /// assert_eq!(candidate.as_str(), "cssc-candidate-9f3a1c2e.17-patched");
    /// let candidate = owner.candidate(17, TagRef::new("3.11-patched")?);
    /// assert_eq!(candidate.as_str(), "cssc-candidate-9f3a1c2e.17-1");
    /// assert!(is_candidate(candidate.as_ref()));
    /// # Ok::<(), cssc_core::NameError>(())
    /// ```
    pub fn candidate(&self, image: u32, patch: TagRef<'_>) -> Tag {
        let suffix = match Suffix::of(patch) {
            Some(suffix) => suffix.convention().other().first(),
            None => Suffix::Patched,
        };
        TagRef::trusted(&format!("{}{image}{suffix}", self.candidate_prefix())).to_tag()
    }

    /// What the tags of all candidates of this owner begin with.
    pub fn candidate_prefix(&self) -> String {
        format!("{PREFIX}{self}.")
    }

    /// Whether `tag` is a candidate of this owner.
    pub fn owns(&self, tag: TagRef<'_>) -> bool {
        owner_of(tag) == Some(self.as_str())
    }
}

/// Whether `tag` is a candidate, of any owner: nothing a deployment should ever use.
pub fn is_candidate(tag: TagRef<'_>) -> bool {
    owner_of(tag).is_some()
}

fn owner_of(tag: TagRef<'_>) -> Option<&str> {
    let suffix = Suffix::of(tag)?;
    let (owner, image) = suffix
        .original_in(tag)
        .as_str()
        .strip_prefix(PREFIX)?
        .split_once('.')?;
    let is_number = !image.is_empty() && image.bytes().all(|byte| byte.is_ascii_digit());
    (is_owner(owner) && is_number).then_some(owner)
}

fn is_owner(text: &str) -> bool {
    text.len() == OWNER_LEN
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        if is_owner(text) {
            Ok(Self(text.into()))
        } else {
            Err(OwnerError(excerpt(text)))
        }
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "eight hexadecimal digits")
    }
}

/// A text that is not eight hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an owner of candidates: expected eight lower-case hexadecimal digits")]
pub struct OwnerError(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lineages, TagConvention, TagSet};

    #[test]
    fn no_lineage_takes_a_candidate_in() {
        let owner = Owner::new(7);
        for convention in TagConvention::ALL {
            let patch = crate::PatchTag::new(TagRef::new("3.11").unwrap(), convention.first());
            let patch = patch.unwrap().to_tag();
            let candidates = [
                owner.candidate(0, patch.as_ref()),
                owner.candidate(u32::MAX, patch.as_ref()),
            ];
            let tags: Vec<&str> = candidates.iter().map(Tag::as_str).collect();
            let lineages = Lineages::new(&TagSet::new(&tags).unwrap(), convention);
            assert_eq!(lineages.iter().count(), 0);
            assert_eq!(lineages.orphans().count(), 0);
            for tag in &candidates {
                assert!(is_candidate(tag.as_ref()) && owner.owns(tag.as_ref()));
                assert!(!Owner::new(8).owns(tag.as_ref()));
            }
        }
    }

    #[test]
    fn nothing_else_is_a_candidate() {
        for tag in [
            "3.11-patched",
            "cssc-candidate-00000007.1",
            "cssc-candidate-00000007-1",
            "cssc-candidate-00000007.-1",
            "cssc-candidate-0000007.1-1",
            "cssc-candidate-0000000G.1-1",
            "cssc-candidate-1",
        ] {
            assert!(!is_candidate(TagRef::new(tag).unwrap()), "{tag}");
        }
        assert_eq!(
            "X".parse::<Owner>().unwrap_err().to_string(),
            "`X` is not an owner of candidates: expected eight lower-case hexadecimal digits"
        );
        assert_eq!("00000007".parse(), Ok(Owner::new(7)));
    }
}
