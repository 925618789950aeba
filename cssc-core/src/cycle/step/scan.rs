//! The step that scans an image.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::name::{Digest, Platform, Repository, Tag};
use crate::scan::{Finding, ScanReport, ScanVerdict};

/// Scan the manifest of one platform, and keep the report for as long as the verdict asks for a
/// patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanStep {
    /// The repository.
    pub repository: Repository,
    /// The tag it is found under: the newest patch, or the original. For people.
    pub tag: Tag,
    /// The manifest.
    pub digest: Digest,
    /// The platform it is for.
    pub platform: Platform,
}

/// What a scan came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanOutcome {
    /// What follows from the report.
    pub verdict: ScanVerdict,
    /// The findings that can be fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixable: Vec<Finding>,
    /// How many findings nothing fixes yet.
    #[serde(default)]
    pub unfixed: usize,
    /// When the database that the scanner used was made, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DateTime<Utc>>,
}

impl From<&ScanReport> for ScanOutcome {
    fn from(report: &ScanReport) -> Self {
        let findings = report.findings().iter();
        let fixable: Vec<Finding> = findings.filter(|one| one.is_fixable()).cloned().collect();
        Self {
            verdict: report.verdict(),
            unfixed: report.findings().len().saturating_sub(fixable.len()),
            fixable,
            database: None,
        }
    }
}
