//! Scanning a manifest.

use std::fs;
use std::path::{Path, PathBuf};

use cssc_core::cycle::{ScanOutcome, ScanStep};
use cssc_core::scan::ScanVerdict;
use cssc_core::{Digest, Repository, ScanReport, Tag};

use super::{StepContext, StepError, attachments};
use crate::tool::Scan;

pub(super) fn perform(
    step: &ScanStep,
    context: &StepContext<'_>,
) -> Result<ScanOutcome, StepError> {
    if let Some(report) = from_sbom(step, context)? {
        return Ok(ScanOutcome {
            database: context.database()?,
            ..ScanOutcome::from(&report)
        });
    }
    let report = report_of(context, &step.repository, &step.tag, &step.digest)?;
    let outcome = ScanOutcome {
        database: context.database()?,
        ..ScanOutcome::from(&report)
    };
    if !matches!(outcome.verdict, ScanVerdict::Patch { .. }) {
        // Nothing follows, and reports of clean images are most of them.
        remove_report(context, &step.digest)?;
    }
    Ok(outcome)
}

/// The report of a patch of ours by the SBOM that was attached to it, for which no layer is pulled.
/// It is not kept: what a candidate is compared with, and what a patcher is given, is made from the
/// layers.
fn from_sbom(step: &ScanStep, context: &StepContext<'_>) -> Result<Option<ScanReport>, StepError> {
    if !step.is_patch || find_report(context, &step.digest)?.is_some() {
        return Ok(None);
    }
    let Some(sbom) = attachments::sbom_of(context.registry, &step.repository, &step.digest)? else {
        return Ok(None);
    };
    context.make_folder()?;
    let path = context.folder.join("attached-sbom.json");
    fs::write(&path, sbom).map_err(|error| {
        StepError::transient(format!("cannot write `{}`: {error}", path.display()))
    })?;
    let report = match context.call(|job| context.scanner.scan_sbom(&path, job))? {
        Ok(scan) => scan.map(|scan| scan.report),
        Err(error) if error.interrupt().is_some() => return Err(error.into()),
        Err(error) => {
            let message = format!("the attached SBOM cannot be scanned, so the image is: {error}");
            context.log.line(&message);
            None
        }
    };
    // An SBOM that says less than the image would makes nothing look clean.
    let report = report.filter(|report| !matches!(report.verdict(), ScanVerdict::Unsupported(_)));
    if report.is_some() {
        context
            .log
            .line("scanned by the SBOM that is attached to it");
    }
    Ok(report)
}

/// The report of an earlier step, made with the database that is in use.
fn find_report(context: &StepContext<'_>, digest: &Digest) -> Result<Option<PathBuf>, StepError> {
    Ok(context.reports.find(digest, context.database()?))
}

/// Removes the report of what no later step asks for.
pub(super) fn remove_report(context: &StepContext<'_>, digest: &Digest) -> Result<(), StepError> {
    context.reports.remove(digest, context.database()?);
    Ok(())
}

/// Where the report of a manifest is kept: that of an earlier step if it is still there, or else
/// a new one.
pub(super) fn kept_report(
    context: &StepContext<'_>,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<PathBuf, StepError> {
    match find_report(context, digest)? {
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
    if let Some(path) = find_report(context, digest)?
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
    let kept = context.reports.keep(digest, context.database()?, &path);
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
