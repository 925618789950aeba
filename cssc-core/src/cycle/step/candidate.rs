//! What a patch made, before it is published.

use serde::{Deserialize, Serialize};

use crate::name::{Digest, Platform, Repository, Tag};

/// A candidate, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The repository.
    pub repository: Repository,
    /// The tag of the original.
    pub original: Tag,
    /// The original's manifest for the platform.
    pub manifest: Digest,
    /// The platform.
    pub platform: Platform,
    /// The tag of the candidate.
    #[serde(rename = "candidate")]
    pub tag: Tag,
    /// Its digest.
    pub digest: Digest,
}
