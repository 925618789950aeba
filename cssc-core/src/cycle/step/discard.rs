//! The step that clears a candidate away.

use serde::{Deserialize, Serialize};

use crate::name::{Repository, Tag};

/// Remove the tag of the candidate, and never the image it stands for, which may be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscardStep {
    /// The repository.
    pub repository: Repository,
    /// The tag of the candidate.
    pub candidate: Tag,
}

/// What became of the tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum DiscardOutcome {
    /// It is not there any more.
    Removed,
    /// The registry deletes nothing: the tag is still there and stands for an empty manifest. A
    /// later candidate may use it again.
    Emptied,
    /// The tag is still there and stands for the candidate, for this reason. It stays recorded as
    /// [left over](crate::Cycle::leftovers).
    Kept(String),
}
