//! Scanning a manifest.

use std::fs;
use std::path::{Path, PathBuf};

use cssc_core::cycle::{ScanOutcome, ScanStep};
use cssc_core::scan::ScanVerdict;
use cssc_core::{Digest, Repository, ScanReport, Tag};
use cssc_registry::Manifest;

use super::{StepContext, StepError, relayed};
use crate::tool::Scan;

pub(super) fn perform(
    step: &ScanStep,
    context: &StepContext<'_>,
) -> Result<ScanOutcome, StepError> {
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
    if let Some(path) = find_report(context, digest)? {
        return Ok(path);
    }
    let manifest = context.manifest(repository, digest)?;
    Ok(scan(context, repository, tag, &manifest)?.1)
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
    let manifest = context.manifest(repository, digest)?;
    Ok(scan(context, repository, tag, &manifest)?.0)
}

/// Scans a manifest; the report is kept, in the names of the registry.
pub(super) fn scan(
    context: &StepContext<'_>,
    repository: &Repository,
    tag: &Tag,
    manifest: &Manifest,
) -> Result<(ScanReport, PathBuf), StepError> {
    let digest = manifest.descriptor().digest;
    let Scan { report, path } =
        context.with_login(repository, std::slice::from_ref(manifest), |login, job| {
            let image = relayed(login, tag, &digest)?;
            Ok(context.scanner.scan(&image, job)?)
        })?;
    rename_in_file(context, &path)?;
    let kept = context.reports.keep(&digest, context.database()?, &path);
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

/// Names images in a report as the registry does: what is kept and attached knows no relay.
fn rename_in_file(context: &StepContext<'_>, path: &Path) -> Result<(), StepError> {
    let unusable =
        |error| StepError::transient(format!("cannot rewrite `{}`: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(unusable)?;
    fs::write(path, context.in_names_of_the_registry(&text)).map_err(unusable)
}
