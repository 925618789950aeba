//! The step that puts a candidate to the test of whoever runs the images.

use serde::{Deserialize, Serialize};

use super::candidate::Candidate;

/// Have a program of the user's try the candidate, which was judged and is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestStep {
    /// The candidate.
    #[serde(flatten)]
    pub candidate: Candidate,
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
