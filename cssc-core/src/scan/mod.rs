//! What a vulnerability scan found, and what follows from it.

mod error;
mod evidence;
mod finding;
mod guard;
mod package;
mod read;
mod same;
mod version;

use std::io::Read;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use error::{ScanError, ScanErrorKind};
pub use evidence::{Evidence, PublishVerdict, Withheld};
pub use finding::{Finding, Severity, SeverityCount};
pub use package::{Package, PackageChange, PackageChanges};
pub use same::{ConfigKey, ConfigKeyError, ImageConfig, ImageConfigError, ImageMismatch};
pub use version::PackageKind;

/// The schema version of the reports that are understood.
const SCHEMA_VERSION: u64 = 2;

/// What Trivy found in the OS packages of an image: the part of its JSON report that decides.
///
/// Reads what `trivy image --format json` writes (schema version 2), from version 0.20 on, best
/// with `--scanners vuln --pkg-types os --list-all-pkgs`. Only the findings in OS packages, the
/// names and versions of these packages and a few facts about the image are kept. Unknown fields
/// are ignored, and null or missing lists are empty ones.
///
/// ```
/// use cssc_core::ScanReport;
/// use cssc_core::scan::ScanVerdict;
///
/// let report = ScanReport::from_slice(br#"{
///     "SchemaVersion": 2,
///     "ArtifactName": "python:3.11",
///     "Metadata": {"OS": {"Family": "debian", "Name": "12.5"}},
///     "Results": [{
///         "Target": "python:3.11 (debian 12.5)", "Class": "os-pkgs", "Type": "debian",
///         "Vulnerabilities": [{
///             "VulnerabilityID": "CVE-2024-2961", "PkgName": "libc6", "Severity": "HIGH",
///             "InstalledVersion": "2.36-9+deb12u4", "FixedVersion": "2.36-9+deb12u6"
///         }]
///     }]
/// }"#)?;
/// assert_eq!(report.verdict(), ScanVerdict::Patch { fixable: 1 });
/// # Ok::<(), cssc_core::scan::ScanError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanReport {
    artifact_name: Option<Box<str>>,
    image_id: Option<Box<str>>,
    repo_digests: Vec<Box<str>>,
    created_at: Option<DateTime<Utc>>,
    os: Option<ImageOs>,
    /// The OS family as the result about its packages names it.
    os_type: Option<Box<str>>,
    /// `windows` or `linux`, as the image's configuration has it.
    image_os: Option<Box<str>>,
    architecture: Option<Box<str>>,
    /// `None` when there is no result about OS packages, which is not the same as none found.
    findings: Option<Vec<Finding>>,
    /// Sorted.
    packages: Vec<Package>,
}

impl ScanReport {
    /// How large a report may be unless told otherwise: 256 MiB.
    pub const DEFAULT_LIMIT: u64 = 256 << 20;

    /// Reads a report from memory, of at most [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) bytes.
    ///
    /// # Errors
    ///
    /// As [`from_reader`](Self::from_reader), but for a reader that fails.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ScanError> {
        read::read_slice(bytes, Self::DEFAULT_LIMIT)
    }

    /// Reads a report from a stream, of at most [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) bytes. Of a
    /// report of up to 128 MiB the text is held while it is read, which is much faster.
    ///
    /// # Errors
    ///
    /// Fails for an empty or cut-off report; for what is not JSON (a log, a table), not an object
    /// with a `SchemaVersion` (SARIF, `CycloneDX`, `[]`), or of another schema version than 2; for
    /// a field of the wrong type (`"Results": {}`) and a key that is read standing twice; for a
    /// report over the limit, with over 500000 findings, a text of over 4 MiB (4 KiB where the
    /// text is kept) or nesting over 128 deep; and when the reader fails.
    ///
    /// None of them says that an image is clean: the scan failed.
    pub fn from_reader(reader: impl Read) -> Result<Self, ScanError> {
        Self::from_reader_with_limit(reader, Self::DEFAULT_LIMIT)
    }

    /// Reads a report from a stream, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`from_reader`](Self::from_reader).
    pub fn from_reader_with_limit(reader: impl Read, limit: u64) -> Result<Self, ScanError> {
        read::read(reader, limit)
    }

    /// What follows from the report.
    ///
    /// The end of service life wins over any finding. A fixable finding then asks for a patch,
    /// unless the image is of Windows. Without one an image is clean only where the scanner knew
    /// the operating system and lists packages of it.
    pub fn verdict(&self) -> ScanVerdict {
        if self
            .os
            .as_ref()
            .is_some_and(ImageOs::is_end_of_service_life)
        {
            return ScanVerdict::Skip(ScanSkip::EndOfServiceLife);
        }
        if self.is_windows() {
            return ScanVerdict::Unsupported(ScanUnsupported::Windows);
        }
        let family = self.os_family();
        match (self.fixable(), family, &self.findings) {
            (fixable @ 1.., _, _) => ScanVerdict::Patch { fixable },
            (_, None, _) => ScanVerdict::Unsupported(ScanUnsupported::UnknownOs),
            (_, Some(family), Some(_)) if self.packages.is_empty() => {
                ScanVerdict::Unsupported(ScanUnsupported::NoPackages(family.into()))
            }
            (_, Some(_), Some(_)) => ScanVerdict::Skip(ScanSkip::NoVulnerability),
            (_, Some(family), None) => {
                ScanVerdict::Unsupported(ScanUnsupported::NoOsPackages(family.into()))
            }
        }
    }

    /// The findings in OS packages, in order.
    pub fn findings(&self) -> &[Finding] {
        self.findings.as_deref().unwrap_or_default()
    }

    /// The OS packages that are installed, in order; empty unless the report lists them
    /// (`--list-all-pkgs`).
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// How many of the findings have a fixed version.
    pub fn fixable(&self) -> usize {
        self.findings()
            .iter()
            .filter(|finding| finding.is_fixable())
            .count()
    }

    /// How many findings there are of each severity, the worst first.
    pub fn counts(&self) -> [SeverityCount; 5] {
        Severity::ALL.map(|severity| {
            let of_severity = || self.findings().iter().filter(|f| f.severity() == severity);
            let fixed = of_severity().filter(|finding| finding.is_fixable()).count();
            SeverityCount {
                severity,
                fixed,
                unfixed: of_severity().count().saturating_sub(fixed),
            }
        })
    }

    /// The operating system, when the scanner found one out.
    pub fn os(&self) -> Option<&ImageOs> {
        self.os.as_ref()
    }

    /// The processor architecture the image is for: `amd64`.
    pub fn architecture(&self) -> Option<&str> {
        self.architecture.as_deref()
    }

    /// What was scanned, as it was named to the scanner: `python:3.11`.
    pub fn artifact_name(&self) -> Option<&str> {
        self.artifact_name.as_deref()
    }

    /// The digest of the image's configuration: `sha256:…`.
    pub fn image_id(&self) -> Option<&str> {
        self.image_id.as_deref()
    }

    /// The digests the image is known by in registries: `python@sha256:…`.
    pub fn repo_digests(&self) -> impl ExactSizeIterator<Item = &str> {
        self.repo_digests.iter().map(|digest| &**digest)
    }

    /// When the report was made, if it says so.
    pub fn created_at(&self) -> Option<DateTime<Utc>> {
        self.created_at
    }

    fn is_windows(&self) -> bool {
        [self.os_family(), self.image_os.as_deref()]
            .into_iter()
            .flatten()
            .any(|os| os.eq_ignore_ascii_case("windows"))
    }

    /// The family of the operating system, unless nobody knows it.
    fn os_family(&self) -> Option<&str> {
        let family = self.os.as_ref().and_then(ImageOs::family);
        family
            .or(self.os_type.as_deref())
            .filter(|family| !matches!(*family, "none" | "unknown"))
    }
}

/// The operating system of a scanned image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageOs {
    family: Option<Box<str>>,
    name: Option<Box<str>>,
    is_end_of_service_life: bool,
}

impl ImageOs {
    /// The distribution: `debian`, `alpine`, `redhat`.
    pub fn family(&self) -> Option<&str> {
        self.family.as_deref()
    }

    /// Its version: `12.5`.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether its vendor no longer fixes it.
    pub fn is_end_of_service_life(&self) -> bool {
        self.is_end_of_service_life
    }
}

/// What follows from a scan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ScanVerdict {
    /// Something can be fixed: patch the image.
    Patch {
        /// How many findings have a fixed version.
        fixable: usize,
    },
    /// There is nothing to patch.
    Skip(ScanSkip),
    /// The image cannot be judged, which does not mean that it is clean.
    Unsupported(ScanUnsupported),
}

/// Why a scanned image is not patched. Prints as the reason, for people.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ScanSkip {
    /// The operating system is out of service: nobody mends its packages any more.
    #[error("end of service life")]
    EndOfServiceLife,
    /// No finding has a fixed version.
    #[error("no fixable OS finding")]
    NoVulnerability,
}

/// Why a scan says nothing about an image. Prints as the reason, for people.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ScanUnsupported {
    /// The scanner knows the operating system, here by its family, and has not looked at packages.
    #[error("unsupported: the scanner did not analyze packages of the operating system `{0}`")]
    NoOsPackages(Box<str>),
    /// The report lists no package of the operating system, here by its family: there is none, no
    /// database of them, or the scanner was not told to list them.
    #[error(
        "unsupported: the report lists no packages of the operating system `{0}`; Trivy lists them with `--list-all-pkgs`"
    )]
    NoPackages(Box<str>),
    /// The scanner could not tell the operating system.
    #[error("unsupported: the operating system of the image is unknown to the scanner")]
    UnknownOs,
    /// The image is of Windows, which is not patched package by package.
    #[error("unsupported: images of Windows cannot be patched")]
    Windows,
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests;
