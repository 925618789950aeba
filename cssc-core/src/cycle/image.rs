//! The images of a cycle, pinned: what tags stood for when the plan was made.

use serde::{Deserialize, Serialize};

use super::image_name::ImageName;
use crate::name::{Digest, Platform, Repository, Tag};
use crate::plan::Image;
use crate::tags::{PatchTag, Suffix, TagConvention};

/// An image that a cycle takes care of: a row of the plan, and what its tags stood for then.
///
/// Digests and platforms stay as they are for the whole cycle. An original that moves meanwhile is
/// patched as it was, and the next cycle sees the move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CycleImage {
    /// The repository.
    pub repository: Repository,
    /// The original tag.
    pub tag: Tag,
    /// The digest of the manifest or index that the original tag stands for.
    pub digest: Digest,
    /// The platforms of the original that are taken care of, at least one: those of its index that
    /// hold an image, each once, or the one of its manifest.
    pub platforms: Vec<CyclePlatform>,
    /// Further platforms of the original that the workflow does not take care of: each stays what
    /// it is, also in a patch of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unselected: Vec<CyclePlatform>,
    /// The newest patch, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_patch: Option<LatestPatch>,
    /// What a patch would be called; none when the patch numbers are exhausted.
    pub patch_tag: Option<Tag>,
}

/// One platform of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CyclePlatform {
    /// The platform.
    pub platform: Platform,
    /// The digest of the original's manifest for it.
    pub digest: Digest,
    /// How many bytes its layers have, compressed; 0 where nobody has looked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// The newest patch's manifest for it, if that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PlatformPatch>,
}

/// The newest patch of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestPatch {
    /// Its tag.
    pub tag: Tag,
    /// The digest of the manifest or index that the tag stands for.
    pub digest: Digest,
    /// Whether nothing in it says what it was made from: somebody else may have pushed it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_foreign: bool,
}

/// What the newest patch holds for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformPatch {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digest of the manifest that it was made from, as far as anybody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Digest>,
}

impl CycleImage {
    /// A row of a plan whose original is the manifest of one platform: with its digest and, where
    /// there is a newest patch, the digest of that, which is taken to be made from this original.
    pub fn of_manifest(
        image: Image<'_>,
        platform: Platform,
        digest: Digest,
        patch: Option<Digest>,
    ) -> Self {
        let tag = image.latest_patch().map(PatchTag::to_tag);
        Self {
            repository: image.repository().clone(),
            tag: image.tag().to_tag(),
            digest: digest.clone(),
            platforms: vec![CyclePlatform {
                platform,
                digest: digest.clone(),
                size: 0,
                patch: patch.clone().map(|patch| PlatformPatch {
                    digest: patch,
                    origin: Some(digest),
                }),
            }],
            unselected: Vec::new(),
            latest_patch: tag.zip(patch).map(|(tag, digest)| LatestPatch {
                tag,
                digest,
                is_foreign: false,
            }),
            patch_tag: image.patch_tag().ok().map(PatchTag::to_tag),
        }
    }

    /// The name of its original.
    pub fn name(&self) -> ImageName {
        ImageName::of(&self.repository, &self.tag)
    }

    /// Whether the original is an index, of which each platform is patched for itself.
    pub fn is_index(&self) -> bool {
        self.platforms.iter().all(|one| one.digest != self.digest)
    }

    /// The digest of its newest patch.
    pub(super) fn previous(&self) -> Option<Digest> {
        let patch = self.latest_patch.as_ref();
        patch.map(|patch| patch.digest.clone())
    }

    /// Whether its patch would replace a tag that nothing shows to be a patch of ours.
    pub fn would_replace_foreign(&self) -> bool {
        self.latest_patch.as_ref().is_some_and(|patch| {
            patch.is_foreign && self.patch_tag.as_ref().is_some_and(|tag| *tag == patch.tag)
        })
    }

    /// The digest that the patch tag stands for and may be moved away from: only the floating tag
    /// moves, every other patch tag is written once.
    pub(super) fn replaced(&self) -> Option<&Digest> {
        let tag = self.patch_tag.as_ref()?;
        let is_floating = Suffix::of(tag.borrowed())
            .is_some_and(|suffix| suffix.convention() == TagConvention::Floating);
        self.latest_patch
            .as_ref()
            .filter(|patch| is_floating && patch.tag == *tag)
            .map(|patch| &patch.digest)
    }

    /// What is scanned for a platform: its manifest, and the tag that it is found under.
    pub fn scanned<'a>(&'a self, platform: &'a CyclePlatform) -> (&'a Tag, &'a Digest) {
        match (platform.valid_patch(), &self.latest_patch) {
            (Some(digest), Some(latest)) => (&latest.tag, digest),
            _ => (&self.tag, &platform.digest),
        }
    }
}

impl CyclePlatform {
    /// The newest patch's manifest, where that was made from the original as it is now.
    ///
    /// This decides what is scanned, and what the platform keeps when it is not patched again.
    pub fn valid_patch(&self) -> Option<&Digest> {
        let patch = self.patch.as_ref()?;
        (patch.origin.as_ref() == Some(&self.digest)).then_some(&patch.digest)
    }

    /// Whether there is a patch, and it was made from another image than the original is now.
    pub fn has_moved(&self) -> bool {
        self.patch.is_some() && self.valid_patch().is_none()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
