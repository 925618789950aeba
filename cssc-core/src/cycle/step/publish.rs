//! The step that publishes an image.

use serde::{Deserialize, Serialize};

use crate::name::{Digest, Repository, Tag};

/// Write the patch tag of an image that is in the registry by its digest, with all that is
/// attached to it.
///
/// The tag is looked at first: the same digest there already is success, for an earlier attempt
/// wrote it; another digest is [`PublishOutcome::TagTaken`], unless it is the one that may be
/// replaced. Afterwards the tag is looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishStep {
    /// The repository.
    pub repository: Repository,
    /// The tag to write.
    pub tag: Tag,
    /// The digest that the tag may stand for until now; none when it must not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// The digest that it stands for afterwards.
    pub digest: Digest,
}

/// Whether the image got its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PublishOutcome {
    /// The patch tag stands for the image.
    Published,
    /// The patch tag stands for something else that must not be replaced.
    TagTaken,
}
