//! Making a candidate.

use cssc_core::cycle::{PatchOutcome, PatchStep};
use cssc_core::scan::ImageConfig;
use cssc_core::{Digest, Tag};
use cssc_registry::{Image, ImageManifest, Reference, TagDeletion, delete_tag};

use super::content::{self, ContentError};
use super::origin::{self, MadeFrom, Origin};
use super::scan::kept_report;
use super::{StepContext, StepError};
use crate::tool::PatchRequest;

pub(super) fn perform(
    step: &PatchStep,
    context: &StepContext<'_>,
) -> Result<PatchOutcome, StepError> {
    let (registry, repository) = (context.registry, &step.repository);
    if let Some(candidate) = made_already(step, context)? {
        let message = format!("this cycle has made it already: {candidate}");
        context.log.line(&message);
        return Ok(PatchOutcome::Made(candidate));
    }
    let original = Original::read(step, context)?;
    original.warn_of_label(context);
    let report = kept_report(context, repository, &step.original, &step.manifest)?;
    let request = PatchRequest {
        original: &context.image(repository, &step.original, &step.manifest),
        platform: &step.platform,
        report: &report,
        target: &step.candidate,
    };
    let patcher = context.patchers.get(step.patcher)?;
    let beside = patcher.side_tags(&request);
    delete_tag(registry, repository, &step.candidate)?;
    remove(&beside, step, context)?;
    let reference = Reference::Tag(step.candidate.clone());
    // Something may be left where the registry deletes nothing.
    let before = registry.resolve(repository, &reference)?;
    let made = context.with_tool(|job| patcher.patch(&request, job));
    // Neither exit code nor text tells what a patcher has pushed.
    let after = registry.resolve(repository, &reference);
    let outcome = made.and_then(|()| match after? {
        Some(after) if Some(&after) != before.as_ref() => finish(step, &original, context),
        _ => Ok(None),
    });
    remove(&beside, step, context)?;
    if let Some(candidate) = outcome? {
        return Ok(PatchOutcome::Made(candidate));
    }
    let message = "the patcher succeeded without producing a new image";
    context.log.line(message);
    Ok(PatchOutcome::NothingMade)
}

/// What this cycle has published of the platform already: by a worker that was killed, or that
/// does the same work at the same time.
fn made_already(step: &PatchStep, context: &StepContext<'_>) -> Result<Option<Digest>, StepError> {
    for tag in &step.published {
        let reference = Reference::Tag(tag.clone());
        match content::image(context.registry, &step.repository, &reference) {
            Ok((digest, image)) => {
                if let Some(made) = made_in(step, tag, (digest, &image), context)? {
                    return Ok(Some(made));
                }
            }
            // Whatever it is, it is not of this cycle.
            Err(ContentError::NotAnImage(_)) => {}
            Err(ContentError::Registry(error)) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The manifest for the platform, if this cycle has made it from the same original.
fn made_in(
    step: &PatchStep,
    tag: &Tag,
    (digest, image): (Digest, &Image),
    context: &StepContext<'_>,
) -> Result<Option<Digest>, StepError> {
    let (registry, repository) = (context.registry, &step.repository);
    let digest = match image {
        Image::Index(index) => {
            let mut platforms = index.platforms().iter();
            match platforms.find(|one| one.platform == step.platform) {
                Some(one) => one.digest.clone(),
                None => return Ok(None),
            }
        }
        _ => digest,
    };
    let made = MadeFrom::read(registry, repository, &digest)?;
    match image {
        _ if made.is(step.cycle, &step.manifest) => Ok(Some(digest)),
        Image::Index(index) if origin::is_of_cycle(&index.annotations(), step.cycle) => {
            Err(StepError::permanent(format!(
                "this cycle has published `{repository}:{tag}` without a patch for {}",
                step.platform
            )))
        }
        _ => Ok(None),
    }
}

/// The original's manifest for the platform.
struct Original {
    manifest: ImageManifest,
    config: ImageConfig,
}

impl Original {
    fn read(step: &PatchStep, context: &StepContext<'_>) -> Result<Self, StepError> {
        let (registry, repository) = (context.registry, &step.repository);
        let manifest = content::manifest(registry, repository, &step.manifest)?;
        let config = content::config(registry, repository, &manifest)?;
        Ok(Self { manifest, config })
    }

    /// Copa takes an image with this label for one that it has patched, and patches what the label
    /// names.
    fn warn_of_label(&self, context: &StepContext<'_>) {
        if let Some(base) = self.config.label(origin::COPA_LABEL) {
            context.log.line(&format!(
                "warning: the original has the label `{}`, which Copa leaves on what it has \
                 patched, with the value `{base}`: Copa may patch that instead",
                origin::COPA_LABEL
            ));
        }
    }
}

/// Makes the candidate's manifest final: the manifest of the platform, which says where it comes
/// from, under the tag of the candidate. None when it is the original.
fn finish(
    step: &PatchStep,
    original: &Original,
    context: &StepContext<'_>,
) -> Result<Option<Digest>, StepError> {
    let (registry, repository) = (context.registry, &step.repository);
    let reference = Reference::Tag(step.candidate.clone());
    let (digest, image) = content::image(registry, repository, &reference)?;
    let (digest, mut manifest) = match image {
        Image::Manifest(manifest) => (digest, manifest),
        Image::Index(index) => match index.platforms() {
            // Copa makes an index of one for another platform than its own, and names it without
            // its variant there. The gate reads the platform in the configuration.
            [one] => (
                one.digest.clone(),
                content::manifest(registry, repository, &one.digest)?,
            ),
            platforms => {
                return Err(StepError::permanent(format!(
                    "the patcher pushed an index of {} platforms instead of an image for {}",
                    platforms.len(),
                    step.platform
                )));
            }
        },
        _ => return Err(StepError::permanent("the patcher pushed no image")),
    };
    if digest == step.manifest {
        return Ok(None);
    }
    manifest.annotate(original.manifest.annotations());
    Origin {
        name: &context.name(repository, &step.original),
        digest: &step.manifest,
        index: Some(&step.image).filter(|image| **image != step.manifest),
        cycle: step.cycle,
        previous: step.previous.as_ref(),
    }
    .write(&mut manifest, &original.config, registry, repository)?;
    let manifest = manifest.to_manifest();
    registry.put_manifest(repository, &reference, &manifest)?;
    Ok(Some(manifest.descriptor().digest))
}

/// Removes what the patcher pushes beside the candidate.
fn remove(tags: &[Tag], step: &PatchStep, context: &StepContext<'_>) -> Result<(), StepError> {
    for tag in tags {
        if let TagDeletion::Kept(reason) = delete_tag(context.registry, &step.repository, tag)? {
            let message = format!("`{}:{tag}` is left over: {reason}", step.repository);
            context.log.line(&message);
        }
    }
    Ok(())
}
