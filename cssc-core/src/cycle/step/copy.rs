//! The step that copies into the registry what has passed the gate.

use serde::{Deserialize, Serialize};

use crate::cycle::CycleId;
use crate::name::{Digest, Repository, Tag};

/// Copy into the registry, by digest and without a tag, what is going to be published: blobs that
/// it lacks, then the manifest.
///
/// What is there already stays as it is, so that the step can be done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyStep {
    /// The cycle, which an index names.
    pub cycle: CycleId,
    /// The repository.
    pub repository: Repository,
    /// The tag of the original; of several with one digest, the first in byte order.
    pub original: Tag,
    /// What to copy.
    pub content: CopyContent,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CopyContent {
    /// The candidate with this digest, as it was verified.
    Manifest(Digest),
    /// The index of the original with other manifests in it, which are in the registry.
    #[serde(rename_all = "camelCase")]
    Index {
        /// The digest of the original's index.
        original: Digest,
        /// What takes the place of what. Whatever else the index holds stays as it is.
        replacements: Vec<ManifestReplacement>,
        /// The digest of the patch before, which the new index names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Digest>,
    },
}

/// A manifest of an index that another one takes the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestReplacement {
    /// The manifest in the index of the original.
    pub original: Digest,
    /// The patched one: a candidate of this cycle, or what the newest patch has.
    pub patched: Digest,
}

/// What is in the registry now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum CopyOutcome {
    /// This manifest, with all that it names.
    Copied(Digest),
}
