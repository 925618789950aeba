//! Scanning a manifest.

use std::path::{Path, PathBuf};

use cssc_core::cycle::{ScanOutcome, ScanStep};
use cssc_core::scan::ScanVerdict;
use cssc_core::{Digest, Repository, ScanReport, Tag};

use super::{StepContext, StepError};
use crate::tool::Scan;

pub(super) fn perform(
    step: &ScanStep,
    context: &StepContext<'_>,
) -> Result<ScanOutcome, StepError> {
    let report = report_of(context, &step.repository, &step.tag, &step.digest)?;
    let outcome = ScanOutcome::from(&report);
    if !matches!(outcome.verdict, ScanVerdict::Patch { .. }) {
        // Nothing follows, and reports of clean images are most of them.
        context.reports.remove(&step.digest);
    }
    Ok(outcome)
}

/// Where the report of a manifest is kept: that of an earlier step if it is still there, or else
/// a new one.
pub(super) fn kept_report(
    context: &StepContext<'_>,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<PathBuf, StepError> {
    match context.reports.find(digest) {
        Some(path) => Ok(path),
        None => Ok(scan(context, repository, tag, digest)?.1),
    }
}

/// The report of a manifest: that of an earlier step if it is still there and whole, or else a
/// new one.
pub(super) fn report_of(
    context: &StepContext<'_>,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<ScanReport, StepError> {
    if let Some(path) = context.reports.find(digest)
        && let Ok(kept) = Scan::read(Path::new(context.scanner.name()), path)
    {
        return Ok(kept.report);
    }
    Ok(scan(context, repository, tag, digest)?.0)
}

/// Scans a manifest; the report is kept.
pub(super) fn scan(
    context: &StepContext<'_>,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<(ScanReport, PathBuf), StepError> {
    let image = context.image(repository, tag, digest);
    let Scan { report, path } = context.with_tool(|job| context.scanner.scan(&image, job))?;
    let kept = context.reports.keep(digest, &path);
    let kept =
        kept.map_err(|error| StepError::transient(format!("cannot keep the report: {error}")))?;
    for count in report.counts() {
        let total = count.fixed.saturating_add(count.unfixed);
        if total > 0 {
            context.log.line(&format!(
                "{}: {total}, {} fixable",
                count.severity, count.fixed
            ));
        }
    }
    Ok((report, kept))
}
