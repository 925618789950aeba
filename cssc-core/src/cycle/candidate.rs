//! How candidates are tagged: patched images that have not earned a patch tag yet.
//!
//! A candidate is pushed into the repository of its original, because tools push there and the
//! layers then are where the published manifest needs them. Its tag must never look like an
//! image to a plan, and it ends in the suffix of the convention that the policy does *not*
//! follow: such a tag is reserved, so it is no original, and it is no patch of the policy's
//! convention either, so it is nobody's newest patch. Whatever selects (`*`, a glob, a literal,
//! either dialect) leaves it out.

use crate::name::{Tag, TagRef};
use crate::tags::{CANDIDATE_PREFIX, Suffix};

use super::id::CycleId;

/// The tag of the candidate that `worker` of a cycle makes for image `image` of the plan, to be
/// published as `patch`.
///
/// ```
/// use cssc_core::TagRef;
/// use cssc_core::cycle::{candidate_of, candidate_tag};
///
/// let cycle = "20260107T093000Z-3f2a".parse()?;
/// let tag = candidate_tag(cycle, 1, 17, TagRef::new("3.11-2")?);
/// assert_eq!(tag.as_str(), "cssc-candidate-20260107T093000Z-3f2a.1.17-patched");
/// assert_eq!(candidate_of(tag.borrowed()), Some(cycle));
/// let tag = candidate_tag(cycle, 1, 17, TagRef::new("3.11-patched")?);
/// assert_eq!(tag.as_str(), "cssc-candidate-20260107T093000Z-3f2a.1.17-1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn candidate_tag(cycle: CycleId, worker: u32, image: u32, patch: TagRef<'_>) -> Tag {
    let suffix = match Suffix::of(patch) {
        Some(suffix) => suffix.convention().other().first(),
        None => Suffix::Patched,
    };
    TagRef::trusted(&format!(
        "{CANDIDATE_PREFIX}{cycle}.{worker}.{image}{suffix}"
    ))
    .to_tag()
}

/// The cycle whose candidate `tag` is, also with the `-<architecture>` behind it that Copa adds
/// for each platform; none when it is no candidate.
pub fn candidate_of(tag: TagRef<'_>) -> Option<CycleId> {
    let (cycle, rest) = tag
        .as_str()
        .strip_prefix(CANDIDATE_PREFIX)?
        .split_once('.')?;
    let (worker, rest) = rest.split_once('.')?;
    let (image, suffix) = rest.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(worker) && is_number(image) && !suffix.is_empty())
        .then(|| cycle.parse().ok())
        .flatten()
}

/// Whether a candidate with this tag may be published as `patch`: whether it ends in the suffix
/// of the other convention, and in nothing else.
pub fn is_candidate_for(tag: TagRef<'_>, patch: TagRef<'_>) -> bool {
    let convention = |tag| Suffix::of(tag).map(Suffix::convention);
    candidate_of(tag).is_some()
        && convention(tag).is_some_and(|tag| convention(patch) == Some(tag.other()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags::{Lineages, PatchTag, TagConvention, TagSet};

    fn cycle() -> CycleId {
        "20260107T093000Z-3f2a".parse().unwrap()
    }

    #[test]
    fn no_lineage_takes_a_candidate_in() {
        for convention in TagConvention::ALL {
            let patch = PatchTag::new(TagRef::new("3.11").unwrap(), convention.first());
            let patch = patch.unwrap().to_tag();
            let candidates = [
                candidate_tag(cycle(), 0, 0, patch.borrowed()),
                candidate_tag(cycle(), u32::MAX, u32::MAX, patch.borrowed()),
            ];
            let tags: Vec<&str> = candidates.iter().map(Tag::as_str).collect();
            let lineages = Lineages::new(&TagSet::new(&tags).unwrap(), convention);
            assert_eq!(lineages.iter().count(), 0);
            for tag in &candidates {
                assert_eq!(candidate_of(tag.borrowed()), Some(cycle()));
                assert!(is_candidate_for(tag.borrowed(), patch.borrowed()));
            }
        }
    }

    #[test]
    fn nothing_else_is_a_candidate() {
        for tag in [
            "3.11-patched",
            "cssc-candidate-20260107T093000Z-3f2a",
            "cssc-candidate-20260107T093000Z-3f2a.1",
            "cssc-candidate-20260107T093000Z-3f2a.1.2",
            "cssc-candidate-20260107T093000Z-3f2a.1.2-",
            "cssc-candidate-20260107T093000Z-3f2a..2-1",
            "cssc-candidate-20260107T093000Z-3f2a.x.2-1",
            "cssc-candidate-20260107T093000Z-3f2.1.2-1",
            "cssc-candidate-1",
        ] {
            assert_eq!(candidate_of(TagRef::new(tag).unwrap()), None, "{tag}");
        }
        let copy = TagRef::new("cssc-candidate-20260107T093000Z-3f2a.1.2-1-amd64").unwrap();
        assert_eq!(candidate_of(copy), Some(cycle()));
        assert!(!is_candidate_for(
            copy,
            TagRef::new("3.11-patched").unwrap()
        ));
    }
}
