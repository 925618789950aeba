//! What a patch did, seen from the scans before and after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::same::ImageMismatch;
use super::{ScanReport, ScanSkip, ScanUnsupported, ScanVerdict};

/// What a patch did: the findings of the scan before it beside those of the scan after it.
///
/// A finding is known again by its vulnerability and package: an upgrade that leaves a
/// vulnerability in neither fixes it nor brings it in, although the installed version differs.
///
/// ```
/// use cssc_core::{Evidence, ScanReport};
/// use cssc_core::scan::PublishVerdict;
///
/// let report = |findings: &str| ScanReport::from_slice(format!(
///     r#"{{"SchemaVersion": 2, "Metadata": {{"OS": {{"Family": "debian", "Name": "12.5"}}}},
///         "Results": [{{"Class": "os-pkgs", "Packages": [{{"Name": "libc6"}}],
///             "Vulnerabilities": [{findings}]}}]}}"#
/// ).as_bytes());
/// let before = report(r#"{"VulnerabilityID": "CVE-2024-2961", "PkgName": "libc6",
///     "InstalledVersion": "2.36-9+deb12u4", "FixedVersion": "2.36-9+deb12u6"}"#)?;
/// let after = report("")?;
/// assert_eq!(Evidence::compare(&before, &after).decides(), PublishVerdict::Publish);
/// assert!(matches!(
///     Evidence::compare(&before, &before).decides(),
///     PublishVerdict::Withhold(_)
/// ));
/// # Ok::<(), cssc_core::scan::ScanError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    fixed: Vec<Finding>,
    introduced: Vec<Finding>,
    remaining: Vec<Finding>,
    /// What follows from the scan of the candidate alone.
    after: ScanVerdict,
}

impl Evidence {
    /// Evidence that was established elsewhere: what is fixed, introduced and remaining, and the
    /// verdict on the candidate.
    pub fn new(
        fixed: Vec<Finding>,
        introduced: Vec<Finding>,
        remaining: Vec<Finding>,
        after: ScanVerdict,
    ) -> Self {
        Self {
            fixed,
            introduced,
            remaining,
            after,
        }
    }

    /// Compares the scan of an image with the scan of its patched candidate.
    pub fn compare(before: &ScanReport, after: &ScanReport) -> Self {
        let mut identities: BTreeMap<_, (Vec<&Finding>, Vec<&Finding>)> = BTreeMap::new();
        for finding in before.findings() {
            identities
                .entry(finding.identity())
                .or_default()
                .0
                .push(finding);
        }
        for finding in after.findings() {
            identities
                .entry(finding.identity())
                .or_default()
                .1
                .push(finding);
        }
        let mut evidence = Self {
            fixed: Vec::new(),
            introduced: Vec::new(),
            remaining: Vec::new(),
            after: after.verdict(),
        };
        for (mut before, mut after) in identities.into_values() {
            // Of several in one package (two versions of a kernel, say) as many remain as there
            // were: first those that did not change, then those that cannot be fixed, so that
            // what is over, and new, shows as fixable. That is the careful reading.
            let was: BTreeSet<&Finding> = before.iter().copied().collect();
            let is: BTreeSet<&Finding> = after.iter().copied().collect();
            before.sort_by_key(|finding| !is.contains(finding));
            after.sort_by_key(|finding| (!was.contains(finding), finding.is_fixable()));
            let gone = before.iter().skip(after.len()).copied();
            let (known, new) = after.split_at(before.len().min(after.len()));
            let (introduced, unfixable): (Vec<&Finding>, Vec<&Finding>) =
                new.iter().partition(|finding| finding.is_fixable());
            evidence.fixed.extend(gone.cloned());
            evidence.introduced.extend(introduced.into_iter().cloned());
            let remaining = known.iter().copied().chain(unfixable);
            evidence.remaining.extend(remaining.cloned());
        }
        evidence
    }

    /// The findings that are gone.
    pub fn fixed(&self) -> &[Finding] {
        &self.fixed
    }

    /// The findings that are new and can be fixed.
    pub fn introduced(&self) -> &[Finding] {
        &self.introduced
    }

    /// The other findings of the candidate: those that were there before, and new ones that
    /// nothing fixes yet.
    pub fn remaining(&self) -> &[Finding] {
        &self.remaining
    }

    /// How many findings of the candidate can be fixed.
    pub fn fixable_left(&self) -> usize {
        let findings = self.remaining.iter().chain(&self.introduced);
        findings.filter(|finding| finding.is_fixable()).count()
    }

    /// How many findings of the candidate nothing fixes yet.
    pub fn unfixed(&self) -> usize {
        let remaining = self.remaining.iter();
        remaining.filter(|finding| !finding.is_fixable()).count()
    }

    /// The verdict on the candidate by itself.
    pub fn after(&self) -> &ScanVerdict {
        &self.after
    }

    /// Whether the candidate is better: it fixes at least one finding and brings no new fixable
    /// one. Whether it is the same image is [another question](ImageMismatch).
    ///
    /// A candidate that the scanner cannot judge has no findings and earns none.
    pub fn decides(&self) -> PublishVerdict {
        let withheld = match &self.after {
            ScanVerdict::Unsupported(reason) => Withheld::Unsupported(reason.clone()),
            ScanVerdict::Skip(ScanSkip::EndOfServiceLife) => Withheld::EndOfServiceLife,
            _ if !self.introduced.is_empty() => Withheld::NewFixable(self.introduced.len()),
            _ if self.fixed.is_empty() => Withheld::NothingFixed,
            _ => return PublishVerdict::Publish,
        };
        PublishVerdict::Withhold(withheld)
    }
}

/// Whether a patched candidate is published under its patch tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PublishVerdict {
    /// It is better than the image before.
    Publish,
    /// It is not, or nobody can say.
    Withhold(Withheld),
}

impl PublishVerdict {
    /// The verdict on a candidate whose scan is `after`, made from the image whose scan is `before`:
    /// it must be the same image, as far as scans tell, and a better one.
    pub fn between(before: &ScanReport, after: &ScanReport) -> Self {
        match ImageMismatch::between(before, after) {
            Some(mismatch) => Self::Withhold(Withheld::AnotherImage(mismatch)),
            None => Evidence::compare(before, after).decides(),
        }
    }
}

/// Why a patched candidate gets no tag. Prints as the reason, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Withheld {
    /// No finding of the image before is gone.
    #[error("the patch fixes none of the findings")]
    NothingFixed,
    /// It has this many findings that the image before had not and that could be fixed.
    #[error("the patch brings in {}", new_findings(*.0))]
    NewFixable(usize),
    /// It is another image than the one it was made from.
    #[error("the patched image is not the same image: {0}")]
    AnotherImage(ImageMismatch),
    /// The program that tries patched images refused it.
    #[error("the test of the patched image failed: {0}")]
    TestFailed(Box<str>),
    /// Its operating system has reached the end of its service life.
    #[error("the patched image cannot be verified: {}", ScanSkip::EndOfServiceLife)]
    EndOfServiceLife,
    /// The scanner knows nothing of its packages.
    #[error("the patched image cannot be verified: {0}")]
    Unsupported(ScanUnsupported),
}

fn new_findings(count: usize) -> impl fmt::Display {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} new fixable finding{plural}")
}
