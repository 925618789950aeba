//! What a patch made, before it is published.

use serde::{Deserialize, Serialize};

use crate::name::{Digest, Platform, Repository, Tag};

/// A candidate: the patched image of one platform, which is in the relay until it has passed the
/// gate, and what it was made from.
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
    /// The candidate's own manifest, byte for byte what would be published.
    pub digest: Digest,
}
