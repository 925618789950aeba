//! Making a candidate.

use std::path::Path;

use cssc_core::ScanReport;
use cssc_core::cycle::{PatchOutcome, PatchRefusal, PatchStep};
use cssc_core::scan::Finding;
use cssc_core::schedule::rfc3339;
use cssc_registry::{Image, Manifest, Reference};
use serde_json::{Value, json};

use super::origin::Origin;
use super::scan::kept_report;
use super::{StepContext, StepError, content, relayed};
use crate::image::{Assembly, Built, ImageDocument, assemble, neutral};
use crate::relay::Relay;
use crate::tool::{PatchRequest, Scan};

pub(super) fn perform(
    step: &PatchStep,
    context: &StepContext<'_>,
) -> Result<PatchOutcome, StepError> {
    if let Some(before) = published_before(step, context)? {
        let message = "the image was published before this worker was ended";
        context.log.line(message);
        return Ok(before);
    }
    let patcher = context.patchers.get(step.patcher)?;
    if let Err(why) = patcher.can_run(&step.platform) {
        context.log.line(&format!("refused: {why}"));
        return Ok(PatchOutcome::Refused(PatchRefusal::NotRunnable(why)));
    }
    let (repository, relay) = (&step.repository, context.relay()?);
    let manifest = context.manifest(repository, &step.manifest)?;
    let config = context.config_of(repository, &manifest)?;
    let original = ImageDocument::read(&manifest, &config)?;
    let report = kept_report(context, repository, &step.original, &step.manifest)?;
    let given = if step.patcher.only_adds_layers() {
        store(relay, &neutral(&original)?)?
    } else {
        manifest
    };
    let readable = std::slice::from_ref(&given);
    let login = if step.patcher.has_tooling_images() {
        relay.login_with_tooling(repository, readable)
    } else {
        relay.login(repository, readable)
    };
    let digest = given.descriptor().digest;
    let outcome = context.with(&login, |login, job| {
        let request = PatchRequest {
            original: &relayed(login, &step.original, &digest)?,
            platform: &step.platform,
            report: &report,
            target: login.tag(),
        };
        patcher.patch(&request, job)?;
        // Neither exit code nor text tells what a patcher has pushed.
        let Some(pushed) = login.pushed() else {
            return Ok(nothing_made(context));
        };
        let pushed = of_platform(step, context, &pushed)?;
        let config = context.config_of(repository, &pushed)?;
        let pushed = ImageDocument::read(&pushed, &config)?;
        finish(step, context, &original, &pushed, &report)
    });
    if step.patcher.only_adds_layers() {
        let config = Image::read(&given).ok().and_then(|image| match image {
            Image::Manifest(image) => Some(image.config().digest.clone()),
            _ => None,
        });
        relay.forget(config.into_iter().chain([digest]));
    }
    outcome
}

fn nothing_made(context: &StepContext<'_>) -> PatchOutcome {
    let message = "the patcher succeeded without producing a new image";
    context.log.line(message);
    PatchOutcome::NothingMade
}

/// What the image holds for the platform that this worker had published when it was ended, by its own
/// notes. Nothing else is believed: annotations can be written by all who may push.
fn published_before(
    step: &PatchStep,
    context: &StepContext<'_>,
) -> Result<Option<PatchOutcome>, StepError> {
    for begun in &step.begun {
        let tag = Reference::Tag(begun.tag.clone());
        let there = context.registry.resolve(&begun.repository, &tag)?;
        if there.is_none_or(|there| there.digest != begun.digest) {
            continue;
        }
        let digest = Reference::Digest(begun.digest.clone());
        let (_, image) = content::image(context.registry, &begun.repository, &digest)?;
        let held = match image {
            Image::Index(index) => {
                let mut platforms = index.platforms().iter();
                let held = platforms.find(|one| one.platform == step.platform);
                held.map(|one| one.digest.clone())
            }
            _ => Some(begun.digest.clone()),
        };
        // An index keeps what was not patched, and would be another one if it were patched now.
        return Ok(Some(match held.filter(|held| *held != step.manifest) {
            Some(made) => PatchOutcome::Made(made),
            None => PatchOutcome::NothingMade,
        }));
    }
    Ok(None)
}

/// Puts an image into the relay.
fn store(relay: &Relay, image: &Built) -> Result<Manifest, StepError> {
    relay.put_blob(&image.config)?;
    relay.put_manifest(&image.manifest)?;
    Ok(image.manifest.clone())
}

/// What was pushed for the platform. Copa makes an index of one for another platform than its own.
fn of_platform(
    step: &PatchStep,
    context: &StepContext<'_>,
    pushed: &Manifest,
) -> Result<Manifest, StepError> {
    match Image::read(pushed)
        .map_err(|what| StepError::permanent(format!("the patcher pushed no image: {what}")))?
    {
        Image::Index(index) => match index.platforms() {
            [one] => context.manifest(&step.repository, &one.digest),
            platforms => Err(StepError::permanent(format!(
                "the patcher pushed an index of {} platforms instead of an image for {}",
                platforms.len(),
                step.platform
            ))),
        },
        _ => Ok(pushed.clone()),
    }
}

/// Makes the candidate of what was pushed, and keeps it until it is published or refused.
fn finish(
    step: &PatchStep,
    context: &StepContext<'_>,
    original: &ImageDocument,
    pushed: &ImageDocument,
    report: &Path,
) -> Result<PatchOutcome, StepError> {
    let origin = Origin {
        name: &context.name(&step.repository, &step.original),
        digest: &step.manifest,
        index: Some(&step.image).filter(|image| **image != step.manifest),
        cycle: step.cycle,
        previous: step.previous.as_ref(),
    };
    let labels = origin.labels(original.is_docker());
    let takes_other_layers = !step.patcher.only_adds_layers();
    let history = history(step, report)?;
    match assemble(original, pushed, &labels, &history, takes_other_layers)? {
        Assembly::Same => Ok(nothing_made(context)),
        Assembly::Refused(why) => {
            context.log.line(&format!("refused: {why}"));
            Ok(PatchOutcome::Refused(why))
        }
        Assembly::Built(built) => {
            let relay = context.relay()?;
            let manifest = store(relay, &built)?;
            let digest = manifest.descriptor().digest;
            let blobs = ImageDocument::blobs(&manifest).into_iter();
            let own = blobs.filter(|blob| !original.has_layer(&blob.digest));
            relay.keep(own.map(|blob| blob.digest));
            Ok(PatchOutcome::Made(digest))
        }
    }
}

/// The entry of the history for a layer that was added: the same each time a cycle makes it.
fn history(step: &PatchStep, report: &Path) -> Result<Value, StepError> {
    let Scan { report, .. } = Scan::read(Path::new("scanner"), report.to_owned())?;
    let count = vulnerable_packages(&report);
    let plural = if count == 1 { "" } else { "s" };
    Ok(json!({
        "created": rfc3339(step.cycle.started()),
        "created_by": format!(
            "cssc: patched by {} for {count} package{plural} with fixable vulnerabilities",
            step.patcher
        ),
    }))
}

fn vulnerable_packages(report: &ScanReport) -> usize {
    let fixable = report.findings().iter().filter(|one| one.is_fixable());
    let packages: std::collections::BTreeSet<&str> = fixable.map(Finding::package).collect();
    packages.len()
}
