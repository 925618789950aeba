//! Attaching to a candidate what is known of it.

use std::fs;

use cssc_core::cycle::{AttestOutcome, AttestStep};
use cssc_registry::Reference;

use super::attachments::Attachments;
use super::scan::{kept_report, remove_report};
use super::statement::{self, Builder, Material, Report};
use super::{StepContext, StepError};

pub(super) fn perform(
    step: &AttestStep,
    context: &StepContext<'_>,
) -> Result<AttestOutcome, StepError> {
    let candidate = &step.candidate;
    let (registry, repository) = (context.registry, &candidate.repository);
    let reference = Reference::Digest(candidate.digest.clone());
    let subject = registry.get_manifest(repository, &reference)?.descriptor();
    let Some(mut attachments) =
        Attachments::of(subject, step.cycle, repository, step.attach, context)?
    else {
        context
            .log
            .line("the registry has no API for referrers: nothing is attached");
        return Ok(AttestOutcome::Unsupported);
    };
    let report = |tag, digest| kept_report(context, repository, tag, digest);
    let before = Report::open(&report(&candidate.original, &candidate.manifest)?)?;
    let after_path = report(&candidate.tag, &candidate.digest)?;
    let after = Report::open(&after_path)?;
    let builder = Builder::of(step.cycle, Some(step.patcher), context)?;
    let subject = context.image(repository, &candidate.original, &candidate.digest);
    let original = context.image(repository, &candidate.original, &candidate.manifest);
    let material = Material {
        image: &original,
        platform: Some(&candidate.platform),
    };
    let provenance = builder.provenance(&subject, &material, step.policy.as_ref());
    attachments.statement(statement::PROVENANCE, None, &provenance)?;
    for (part, image, report) in [("before", &original, &before), ("after", &subject, &after)] {
        let scan = builder.scan(image, report);
        attachments.statement(statement::SCAN, Some(part), &scan)?;
    }
    let vex = builder.vex(&subject, &before, &after);
    attachments.statement(statement::VEX, None, &vex)?;
    if let Some(sbom) = context.with_tool(|job| context.scanner.sbom(&after_path, job))? {
        let sbom = fs::read(&sbom).map_err(|error| {
            StepError::transient(format!("cannot read `{}`: {error}", sbom.display()))
        })?;
        attachments.sbom(sbom)?;
    }
    // No later step needs it.
    remove_report(context, &candidate.digest)?;
    Ok(AttestOutcome::Attached(attachments.count()))
}
