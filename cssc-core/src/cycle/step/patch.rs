//! The step that makes a candidate.

use serde::{Deserialize, Serialize};

use crate::cycle::CycleId;
use crate::name::{Digest, Platform, Repository, Tag};
use crate::workflow::PatcherKind;

/// Patch one platform of the original, and push the result under the candidate's tag: a manifest
/// that says where it comes from and is published as it is.
///
/// Where one of [`published`](Self::published) holds what this cycle has made already, whoever did
/// it, that is the candidate: it is judged again and nothing is made anew.
///
/// What the candidate's tag stands for before is from an earlier attempt and of no value. The
/// patcher needs the report of the original: where it is not at hand, the original is scanned
/// first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PatchStep {
    /// The cycle it is patched in.
    pub cycle: CycleId,
    /// The repository.
    pub repository: Repository,
    /// The tag of the original, never a patch itself; of several with one digest, the first in
    /// byte order.
    pub original: Tag,
    /// What that tag stands for: the index, or the manifest.
    pub image: Digest,
    /// The original's manifest for the platform: what is patched.
    pub manifest: Digest,
    /// The platform.
    pub platform: Platform,
    /// The tag to push to.
    pub candidate: Tag,
    /// The tags that the patch may have been published under by this cycle: the patch tags of the
    /// images that share it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Tag>,
    /// The digest of the patch before, if the manifest is to name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// What patches.
    #[serde(default)]
    pub patcher: PatcherKind,
}

/// What a patcher made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PatchOutcome {
    /// A candidate was pushed: its digest.
    Made(Digest),
    /// The patcher ended well, and there is no candidate.
    NothingMade,
}
