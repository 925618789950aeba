//! One vulnerability of one installed package.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A vulnerability that a scan found in an installed OS package.
///
/// The same vulnerability in two packages is two findings, as in Trivy's table. Ordered by
/// vulnerability, package, installed version, fixed version and severity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub(super) vulnerability_id: Box<str>,
    pub(super) package: Box<str>,
    pub(super) installed_version: Box<str>,
    pub(super) fixed_version: Option<Box<str>>,
    pub(super) severity: Severity,
}

impl Finding {
    /// A finding that was read elsewhere; a blank fixed version stands for none.
    pub fn new(
        vulnerability_id: impl Into<Box<str>>,
        package: impl Into<Box<str>>,
        installed_version: impl Into<Box<str>>,
        fixed_version: Option<&str>,
        severity: Severity,
    ) -> Self {
        Self {
            vulnerability_id: vulnerability_id.into(),
            package: package.into(),
            installed_version: installed_version.into(),
            fixed_version: fixed_version
                .filter(|version| !version.trim().is_empty())
                .map(Into::into),
            severity,
        }
    }

    /// The vulnerability: `CVE-2024-2961`. Empty when the report does not say.
    pub fn vulnerability_id(&self) -> &str {
        &self.vulnerability_id
    }

    /// The name of the package: `libc6`. Empty when the report does not say.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// The version that is installed: `2.36-9+deb12u4`. Empty when the report does not say.
    pub fn installed_version(&self) -> &str {
        &self.installed_version
    }

    /// The version that fixes it, when there is one.
    pub fn fixed_version(&self) -> Option<&str> {
        self.fixed_version.as_deref()
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Whether an upgrade of the package fixes it.
    pub fn is_fixable(&self) -> bool {
        self.fixed_version.is_some()
    }

    /// What a finding keeps when its package is upgraded.
    pub(super) fn identity(&self) -> (&str, &str) {
        (&self.vulnerability_id, &self.package)
    }
}

/// How bad a vulnerability is, as the scanner says. Ordered from unknown to critical.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// `UNKNOWN`, nothing, or a word this version does not know.
    #[default]
    Unknown,
    /// `LOW`
    Low,
    /// `MEDIUM`
    Medium,
    /// `HIGH`
    High,
    /// `CRITICAL`
    Critical,
}

impl Severity {
    /// All severities, the worst first.
    pub const ALL: [Self; 5] = [
        Self::Critical,
        Self::High,
        Self::Medium,
        Self::Low,
        Self::Unknown,
    ];

    /// The word for it, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a scanner's word, in any case.
    pub(super) fn read(word: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str().eq_ignore_ascii_case(word))
            .unwrap_or_default()
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many findings of one severity a report holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeverityCount {
    /// Of which severity.
    pub severity: Severity,
    /// Findings with a fixed version.
    pub fixed: usize,
    /// Findings without one.
    pub unfixed: usize,
}
