//! The rows of a plan, as they are shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::inventory::ListingError;
use crate::name::{Repository, TagRef};
use crate::policy::Selector;
use crate::tags::{ImageTag, Lineage};
use crate::tags::{NoNextTag, PatchNumber, PatchTag};

/// An image of the plan: a repository and an original tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    pub(super) repository: &'a Repository,
    pub(super) lineage: Lineage<'a>,
}

impl<'a> Image<'a> {
    /// The repository the image is in.
    pub fn repository(self) -> &'a Repository {
        self.repository
    }

    /// The original tag; patching starts from it, whichever tag was scanned.
    pub fn tag(self) -> TagRef<'a> {
        self.lineage.original()
    }

    /// The newest patch under the policy's convention, if any.
    pub fn latest_patch(self) -> Option<PatchTag<'a>> {
        self.lineage.latest_patch()
    }

    /// What to scan: the latest patch, or else the original.
    pub fn scan_tag(self) -> ImageTag<'a> {
        self.lineage.newest()
    }

    /// What a patch would be called.
    ///
    /// # Errors
    ///
    /// [`NoNextTag::Exhausted`] in the service dialect only, which lists an image at patch 999
    /// although its patch will fail; the documented dialect skips it.
    pub fn patch_tag(self) -> Result<PatchTag<'a>, NoNextTag> {
        self.lineage.next_patch()
    }

    /// Whether the patch numbers will soon run out: the newest patch is number 950 or higher.
    pub fn is_nearly_exhausted(self) -> bool {
        self.latest_patch()
            .and_then(PatchTag::number)
            .is_some_and(|number| number >= PatchNumber::NEARLY_EXHAUSTED)
    }
}

/// A tag that a rule took in but that cannot be patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped<'a> {
    /// The repository the tag is in.
    pub repository: &'a Repository,
    /// The tag.
    pub tag: TagRef<'a>,
    /// Why it is not patched.
    pub reason: SkipReason,
}

/// Why a tag that a rule took in is not patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SkipReason {
    /// It is a patch tag whose original is not there or is itself a reserved name.
    BaseMissing,
    /// Its newest patch is number 999, and there is none after it.
    Exhausted,
    /// Its patch tag would be longer than a tag may be.
    TagTooLong,
}

impl SkipReason {
    /// The reason as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BaseMissing => "base-missing",
            Self::Exhausted => "exhausted",
            Self::TagTooLong => "tag-too-long",
        }
    }

    /// The reason in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::BaseMissing => "looks like a patch, but its original does not exist",
            Self::Exhausted => NoNextTag::Exhausted.as_str(),
            Self::TagTooLong => NoNextTag::TagTooLong.as_str(),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<NoNextTag> for SkipReason {
    fn from(cause: NoNextTag) -> Self {
        match cause {
            NoNextTag::Exhausted => Self::Exhausted,
            NoNextTag::TagTooLong => Self::TagTooLong,
        }
    }
}

/// An entry of a rule that selects nothing: a literal that is not there, a glob that matches no
/// original, or any entry when the repository is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NotFound<'a> {
    /// The repository of the rule.
    pub repository: &'a Repository,
    /// The entry.
    #[serde(rename = "tag")]
    pub selector: &'a Selector,
}

/// A repository whose tags could not be read. It may well exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unavailable<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Why.
    #[serde(rename = "reason", serialize_with = "message")]
    pub error: &'a ListingError,
}

fn message<S: Serializer>(error: &ListingError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(error.message())
}
