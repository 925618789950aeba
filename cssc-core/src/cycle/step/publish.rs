//! The step that publishes an image.

use serde::{Deserialize, Serialize};

use super::attest::Attach;
use crate::cycle::CycleId;
use crate::name::{Digest, Repository, Tag};

/// Write a patched image under its patch tag: the candidate as it was verified, or an index of
/// such candidates.
///
/// The tag is looked at first: the same digest there already is success, for an earlier attempt
/// wrote it; another digest is [`PublishOutcome::TagTaken`], unless it is the one that may be
/// replaced. Afterwards the tag is looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishStep {
    /// The cycle it is published by.
    pub cycle: CycleId,
    /// The repository.
    pub repository: Repository,
    /// The tag of the original; of several with one digest, the first in byte order.
    pub original: Tag,
    /// The tag to write.
    pub tag: Tag,
    /// The digest that the tag may stand for until now; none when it must not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// The digest of the patch before, which an index names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The digest of the policy that the plan follows, which the provenance of an index names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
    /// Whether to attach to an index where it comes from.
    #[serde(default)]
    pub attach: Attach,
    /// What to publish.
    pub content: PublishContent,
}

/// What to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PublishContent {
    /// This manifest.
    Manifest(Digest),
    /// The index of the original with other manifests in it.
    #[serde(rename_all = "camelCase")]
    Index {
        /// The digest of the original's index.
        original: Digest,
        /// What is exchanged. Whatever else it holds stays as it is.
        exchanged: Vec<Exchange>,
    },
}

/// A manifest of an index that another takes the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// The manifest in the index of the original.
    pub original: Digest,
    /// The patched one: a candidate of this cycle, or what the newest patch has.
    pub patched: Digest,
}

/// Whether the image got its tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PublishOutcome {
    /// The patch tag stands for the image: its digest.
    Published(Digest),
    /// The patch tag stands for something else that must not be replaced.
    TagTaken,
}
