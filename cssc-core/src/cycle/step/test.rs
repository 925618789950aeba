//! The step that puts a candidate to the test of whoever runs the images.

use serde::{Deserialize, Serialize};

use super::verify::VerifyStep;
use crate::name::{Digest, Platform, Repository, Tag};

/// Have a program of the user's try the candidate, which was judged and is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestStep {
    /// The repository.
    pub repository: Repository,
    /// The tag of the original.
    pub original: Tag,
    /// The original's manifest for the platform.
    pub manifest: Digest,
    /// The platform.
    pub platform: Platform,
    /// The tag of the candidate.
    pub candidate: Tag,
    /// Its digest.
    pub digest: Digest,
}

impl From<VerifyStep> for TestStep {
    fn from(step: VerifyStep) -> Self {
        Self {
            repository: step.repository,
            original: step.original,
            manifest: step.manifest,
            platform: step.platform,
            candidate: step.candidate,
            digest: step.digest,
        }
    }
}

/// What the test came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum TestOutcome {
    /// The candidate is fit to be published.
    Passed,
    /// It is not, for this reason.
    Refused(String),
}
