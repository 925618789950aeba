//! Attaching to a candidate what is known of it.

use std::fs;

use cssc_core::cycle::{AttestOutcome, AttestStep};
use cssc_registry::Reference;

use super::attachments::Attachments;
use super::scan::{kept_report, remove_report};
use super::statement::{self, Builder, Material, Report};
use super::{StepContext, StepError};
use crate::tool::ImageRef;

pub(super) fn perform(
    step: &AttestStep,
    context: &StepContext<'_>,
) -> Result<AttestOutcome, StepError> {
    let (registry, repository) = (context.registry, &step.repository);
    let reference = Reference::Digest(step.subject.clone());
    let subject = registry.get_manifest(repository, &reference)?.descriptor();
    let Some(mut attachments) =
        Attachments::of(subject, step.cycle, repository, step.attach, context)?
    else {
        context
            .log
            .line("the registry has no API for referrers: nothing is attached");
        return Ok(AttestOutcome::Unsupported);
    };
    let patcher = step.platform.is_some().then_some(step.patcher);
    let builder = Builder::of(step.cycle, patcher, context)?;
    let subject = context.image(repository, &step.original, &step.subject);
    let original = context.image(repository, &step.original, &step.origin);
    let material = Material {
        image: &original,
        platform: step.platform.as_ref(),
    };
    let provenance = builder.provenance(&subject, &material, step.policy.as_ref());
    attachments.statement(statement::PROVENANCE, None, &provenance)?;
    if step.platform.is_some() {
        attach_scans(
            step,
            &builder,
            (&original, &subject),
            &mut attachments,
            context,
        )?;
    }
    Ok(AttestOutcome::Attached(attachments.count()))
}

/// Attaches what belongs to the manifest of a platform: both scans, what was fixed, and what is in
/// the image.
fn attach_scans(
    step: &AttestStep,
    builder: &Builder<'_>,
    (original, subject): (&ImageRef, &ImageRef),
    attachments: &mut Attachments<'_>,
    context: &StepContext<'_>,
) -> Result<(), StepError> {
    let report = |digest| kept_report(context, &step.repository, &step.original, digest);
    let before = Report::open(&report(&step.origin)?)?;
    let after_path = report(&step.subject)?;
    let after = Report::open(&after_path)?;
    for (part, image, report) in [("before", original, &before), ("after", subject, &after)] {
        let scan = builder.scan(image, report);
        attachments.statement(statement::SCAN, Some(part), &scan)?;
    }
    let vex = builder.vex(subject, &before, &after);
    attachments.statement(statement::VEX, None, &vex)?;
    if let Some(sbom) = context.with_tool(|job| context.scanner.sbom(&after_path, job))? {
        let sbom = fs::read_to_string(&sbom).map_err(|error| {
            StepError::transient(format!("cannot read `{}`: {error}", sbom.display()))
        })?;
        attachments.sbom(sbom)?;
    }
    // No later step needs it.
    remove_report(context, &step.subject)
}
