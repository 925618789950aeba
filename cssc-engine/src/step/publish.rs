//! Publishing a patched image.

use cssc_core::Digest;
use cssc_core::cycle::{Exchange, PublishContent, PublishOutcome, PublishStep};
use cssc_registry::{Image, Manifest, Reference};

use super::attachments::Attachments;
use super::origin::{self, MadeFrom, Origin};
use super::statement::{self, Builder, Material};
use super::{StepContext, StepError, content};

pub(super) fn perform(
    step: &PublishStep,
    context: &StepContext<'_>,
) -> Result<PublishOutcome, StepError> {
    let (registry, repository) = (context.registry, &step.repository);
    let manifest = match &step.content {
        PublishContent::Manifest(digest) => {
            registry.get_manifest(repository, &Reference::Digest(digest.clone()))?
        }
        PublishContent::Index {
            original,
            exchanged,
        } => index(step, original, exchanged, context)?,
    };
    let digest = manifest.descriptor().digest;
    let reference = Reference::Tag(step.tag.clone());
    match registry.resolve(repository, &reference)? {
        Some(there) if there.digest == digest => return Ok(PublishOutcome::Published(digest)),
        Some(there) if step.replaces.as_ref() != Some(&there.digest) => {
            return if is_done(step, &manifest, &there.digest, context)? {
                Ok(PublishOutcome::Published(there.digest))
            } else {
                Ok(PublishOutcome::TagTaken)
            };
        }
        _ => {}
    }
    vouch(step, &manifest, context)?;
    registry.put_manifest(repository, &reference, &manifest)?;
    // Registries do not compare and swap: what is there now is the outcome.
    match registry.resolve(repository, &reference)? {
        Some(there) if there.digest == digest => {
            let message = format!("published `{repository}:{}`", step.tag);
            context.log.line(&message);
            Ok(PublishOutcome::Published(digest))
        }
        Some(there) if step.replaces.as_ref() != Some(&there.digest) => {
            Ok(PublishOutcome::TagTaken)
        }
        _ => Err(StepError::transient(format!(
            "`{repository}:{}` was written and now points to something else",
            step.tag
        ))),
    }
}

/// Whether what the tag stands for was published by another worker of this cycle, which did the same
/// work: patched the same platforms of the same original. No two builds are equal to the byte.
fn is_done(
    step: &PublishStep,
    own: &Manifest,
    there: &Digest,
    context: &StepContext<'_>,
) -> Result<bool, StepError> {
    let reference = Reference::Digest(there.clone());
    let there_image = content::image(context.registry, &step.repository, &reference);
    match (Image::read(own), there_image) {
        (Ok(Image::Manifest(_)), Ok((_, Image::Manifest(_)))) => {
            is_same(step, &own.descriptor().digest, there, context)
        }
        (Ok(Image::Index(own)), Ok((_, Image::Index(there))))
            if own.platforms().len() == there.platforms().len() =>
        {
            // Docker's index says nothing; its manifests do.
            let annotations = there.annotations();
            if !annotations.is_empty() && !origin::is_of_cycle(&annotations, step.cycle) {
                return Ok(false);
            }
            for (own, there) in own.platforms().iter().zip(there.platforms()) {
                let is_same_platform = own.platform == there.platform;
                if !is_same_platform || !is_same(step, &own.digest, &there.digest, context)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Whether two manifests are the same, or this cycle made both from one original.
fn is_same(
    step: &PublishStep,
    own: &Digest,
    other: &Digest,
    context: &StepContext<'_>,
) -> Result<bool, StepError> {
    let (registry, repository) = (context.registry, &step.repository);
    if own == other {
        return Ok(true);
    }
    let made = [own, other].map(|digest| MadeFrom::read(registry, repository, digest));
    let [own, other] = made;
    Ok(own?.is_alike(&other?, step.cycle))
}

/// Attaches to an index where it comes from, and has the image signed: nobody sees the tag before.
/// What belongs to a platform was attached to its manifest already.
fn vouch(
    step: &PublishStep,
    manifest: &Manifest,
    context: &StepContext<'_>,
) -> Result<(), StepError> {
    let (registry, repository) = (context.registry, &step.repository);
    let descriptor = manifest.descriptor();
    let image = context.image(repository, &step.tag, &descriptor.digest);
    if let PublishContent::Index { original, .. } = &step.content {
        let by_digest = Reference::Digest(descriptor.digest.clone());
        let attachments =
            Attachments::of(descriptor, step.cycle, repository, step.attach, context)?;
        if attachments.is_some() || context.sign.is_some() {
            registry.put_manifest(repository, &by_digest, manifest)?;
        }
        if let Some(mut attachments) = attachments {
            let original = context.image(repository, &step.original, original);
            let material = Material {
                image: &original,
                platform: None,
            };
            let builder = Builder::of(step.cycle, None, context)?;
            let provenance = builder.provenance(&image, &material, step.policy.as_ref());
            attachments.statement(statement::PROVENANCE, None, &provenance)?;
        }
    }
    if let Some(program) = context.sign {
        context.with_tool(|job| program.sign(&image, job))?;
    }
    Ok(())
}

/// The index of the original with the patched manifests in it: the same each time.
fn index(
    step: &PublishStep,
    original: &Digest,
    exchanged: &[Exchange],
    context: &StepContext<'_>,
) -> Result<Manifest, StepError> {
    let (registry, repository) = (context.registry, &step.repository);
    let reference = Reference::Digest(original.clone());
    let (_, image) = content::image(registry, repository, &reference)?;
    let Image::Index(mut index) = image else {
        let message = format!("`{repository}@{original}` is not an index");
        return Err(StepError::permanent(message));
    };
    let before = index.platforms().to_vec();
    for exchange in exchanged {
        let patched = Reference::Digest(exchange.patched.clone());
        let patched = registry.get_manifest(repository, &patched)?.descriptor();
        if exchange.original != exchange.patched && !index.exchange(&exchange.original, &patched) {
            return Err(StepError::permanent(format!(
                "`{repository}@{original}` does not hold {}",
                exchange.original
            )));
        }
    }
    let expected = before.into_iter().map(|mut entry| {
        let mut exchanged = exchanged.iter();
        if let Some(exchange) = exchanged.find(|one| one.original == entry.digest) {
            entry.digest = exchange.patched.clone();
        }
        entry
    });
    if !expected.eq(index.platforms().iter().cloned()) {
        let message = format!(
            "the index for `{repository}:{}` would lose platforms",
            step.tag
        );
        return Err(StepError::permanent(message));
    }
    let entries = Origin {
        name: &context.name(repository, &step.original),
        digest: original,
        index: None,
        cycle: step.cycle,
        previous: step.previous.as_ref(),
    }
    .entries();
    index.annotate(entries.iter().map(|(key, value)| (*key, value.as_str())));
    Ok(index.to_manifest())
}
