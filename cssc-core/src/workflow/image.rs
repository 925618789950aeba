//! The images of a cycle.

use serde::{Deserialize, Serialize};

use crate::convention::PatchTag;
use crate::name::{Repository, Tag};
use crate::plan::Image;

/// An image that a cycle takes care of: a row of the plan, and what is known of its digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CycleImage {
    /// The repository.
    pub repository: Repository,
    /// The original tag.
    pub tag: Tag,
    /// What the plan says to scan: the newest patch, or else the original.
    pub scan_tag: Tag,
    /// What a patch would be called; none when the patch numbers have run out.
    pub patch_tag: Option<Tag>,
    /// The digest the original has now, where somebody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The digest the original had when it was last patched, where that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patched_digest: Option<String>,
}

impl CycleImage {
    /// Whether the original is another image than the one that was patched last.
    ///
    /// Where one of the two digests is not known, it is taken to be the same.
    pub fn has_moved(&self) -> bool {
        self.digest
            .as_ref()
            .zip(self.patched_digest.as_ref())
            .is_some_and(|(now, then)| now != then)
    }

    /// The tag to scan: the original if it has moved since it was patched, since then its patch
    /// says nothing about it; otherwise what the plan says.
    pub fn effective_scan_tag(&self) -> &Tag {
        if self.has_moved() {
            &self.tag
        } else {
            &self.scan_tag
        }
    }
}

/// A row of a plan, of whose digests nothing is known yet.
impl From<Image<'_>> for CycleImage {
    fn from(image: Image<'_>) -> Self {
        Self {
            repository: image.repository().clone(),
            tag: image.tag().to_tag(),
            scan_tag: image.scan_tag().to_tag(),
            patch_tag: image.patch_tag().ok().map(PatchTag::to_tag),
            digest: None,
            patched_digest: None,
        }
    }
}
