//! Judging a candidate.

use cssc_core::cycle::{Comparison, VerifyOutcome, VerifyStep};
use cssc_core::scan::ImageMismatch;
use cssc_core::workflow::PatcherKind;

use super::scan::{remove_report, report_of, scan};
use super::{StepContext, StepError, content};

pub(super) fn perform(
    step: &VerifyStep,
    context: &StepContext<'_>,
) -> Result<VerifyOutcome, StepError> {
    let candidate = &step.candidate;
    let (registry, repository) = (context.registry, &candidate.repository);
    let config = |digest| -> Result<_, StepError> {
        let manifest = content::manifest(registry, repository, digest)?;
        Ok(content::config(registry, repository, &manifest)?)
    };
    // Copa and Buildah add layers; what a program of the user's does is its own affair.
    let keeps_layers = step.patcher != PatcherKind::Command;
    let (original, patched) = (config(&candidate.manifest)?, config(&candidate.digest)?);
    let mismatch = ImageMismatch::between_configs(&original, &patched, keeps_layers);
    if let Some(mismatch) = mismatch {
        context.log.line(&format!(
            "the patched image is not the same image: {mismatch}"
        ));
        return Ok(VerifyOutcome {
            mismatch: Some(mismatch),
            comparisons: Vec::new(),
        });
    }
    let original = report_of(
        context,
        repository,
        &candidate.original,
        &candidate.manifest,
    )?;
    let (after, _) = scan(context, repository, &candidate.tag, &candidate.digest)?;
    let before = step.scanned.iter().map(|scanned| {
        let report = report_of(context, repository, &candidate.original, scanned)?;
        Ok((scanned.clone(), report))
    });
    let before: Vec<_> = before.collect::<Result<_, StepError>>()?;
    let outcome = VerifyOutcome::of_scans(&original, &after, &before);
    for Comparison { evidence, .. } in &outcome.comparisons {
        context.log.line(&format!(
            "findings fixed: {}, new: {}, remaining: {}",
            evidence.fixed().len(),
            evidence.introduced().len(),
            evidence.remaining().len()
        ));
    }
    if !step.keeps_report {
        remove_report(context, &candidate.digest)?;
    }
    Ok(outcome)
}
