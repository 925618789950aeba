//! The step that has an image signed.

use serde::{Deserialize, Serialize};

use crate::name::{Digest, Repository, Tag};

/// Have a program of the user's sign an image, which is in the registry by its digest and has no
/// tag yet. Signing it twice must do no harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignStep {
    /// The repository.
    pub repository: Repository,
    /// The tag that it gets afterwards.
    pub tag: Tag,
    /// The digest to sign.
    pub digest: Digest,
}

/// What the program did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum SignOutcome {
    /// The image is signed.
    Signed,
}
