//! The step that judges a candidate.

use serde::{Deserialize, Serialize};

use super::candidate::Candidate;
use crate::name::Digest;
use crate::scan::{ConfigKey, Evidence, ImageMismatch, PublishVerdict, ScanReport, Withheld};

/// Find out whether the candidate is still the image that it was made from, and better than what
/// was scanned before.
///
/// Where the report of an earlier scan is not at hand, it is made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyStep {
    /// The candidate.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// The manifests that it is compared with: those that were scanned and need a patch.
    pub scanned: Vec<Digest>,
    /// What of the configuration may differ from the original's, where other layers were brought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_config: Vec<ConfigKey>,
    /// Whether the report of the candidate's scan is needed later.
    #[serde(default)]
    pub keeps_report: bool,
}

/// What was found out about a candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyOutcome {
    /// What shows that it is another image than the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<ImageMismatch>,
    /// What it is measured against, and what the patch did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
}

/// A candidate beside something that was scanned before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// What was scanned before.
    pub scanned: Digest,
    /// What the patch fixed, left and introduced.
    pub evidence: Evidence,
}

impl VerifyOutcome {
    /// What scans tell of a candidate: beside that of the original, whether it is still the same
    /// image, and beside each of those before, what the patch did.
    pub fn of_scans(
        original: &ScanReport,
        candidate: &ScanReport,
        before: &[(Digest, ScanReport)],
    ) -> Self {
        let comparisons = before.iter().map(|(scanned, report)| Comparison {
            scanned: scanned.clone(),
            evidence: Evidence::compare(report, candidate),
        });
        Self {
            mismatch: ImageMismatch::between(original, candidate),
            comparisons: comparisons.collect(),
        }
    }

    /// What the patch did, seen from what was scanned before.
    pub fn evidence(&self, scanned: &Digest) -> Option<&Evidence> {
        let mut comparisons = self.comparisons.iter();
        let found = comparisons.find(|comparison| comparison.scanned == *scanned);
        found.map(|comparison| &comparison.evidence)
    }

    /// Whether the candidate earns the tag of an image of which this was scanned: it is the same
    /// image as the original and, where that is asked for, better than what was scanned.
    pub fn verdict(&self, scanned: &Digest, must_be_better: bool) -> PublishVerdict {
        match (&self.mismatch, self.evidence(scanned)) {
            (Some(mismatch), _) => {
                PublishVerdict::Withhold(Withheld::AnotherImage(mismatch.clone()))
            }
            (None, Some(evidence)) if must_be_better => evidence.decides(),
            (None, None) if must_be_better => PublishVerdict::Withhold(Withheld::NothingFixed),
            (None, _) => PublishVerdict::Publish,
        }
    }
}
