//! Judging a candidate.

use cssc_core::cycle::{Comparison, VerifyOutcome, VerifyStep};
use cssc_core::scan::{ImageConfig, ImageMismatch};

use super::content::ContentError;
use super::scan::{remove_report, report_of, scan};
use super::{StepContext, StepError};

pub(super) fn perform(
    step: &VerifyStep,
    context: &StepContext<'_>,
) -> Result<VerifyOutcome, StepError> {
    let candidate = &step.candidate;
    let repository = &candidate.repository;
    let made = context.candidate(repository, &candidate.digest)?;
    let original = context.manifest(repository, &candidate.manifest)?;
    let [was, is] = [&original, &made].map(|manifest| -> Result<_, StepError> {
        let config = context.config_of(repository, manifest)?;
        let config = ImageConfig::from_slice(&config);
        Ok(config.map_err(|error| ContentError::NotAnImage(error.to_string()))?)
    });
    let (was, is) = (was?, is?);
    // With the layers of the original it has its configuration too, which was written here.
    if !is.begins_with(&was)
        && let Some(mismatch) = ImageMismatch::between_configs(&was, &is, &step.allow_config)
    {
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
    let (after, _) = scan(context, repository, &candidate.original, &made)?;
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
