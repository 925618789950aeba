//! Copying into the registry what has passed the gate.

use cssc_core::Digest;
use cssc_core::cycle::{CopyContent, CopyOutcome, CopyStep, ManifestReplacement};
use cssc_registry::{Image, Manifest, Reference};

use super::origin::Origin;
use super::{StepContext, StepError, content};
use crate::image::ImageDocument;

pub(super) fn perform(
    step: &CopyStep,
    context: &StepContext<'_>,
) -> Result<CopyOutcome, StepError> {
    let manifest = match &step.content {
        CopyContent::Manifest(digest) => candidate(step, digest, context)?,
        CopyContent::Index {
            original,
            replacements,
            previous,
        } => index(step, original, replacements, previous.as_ref(), context)?,
    };
    let digest = manifest.descriptor().digest;
    let reference = Reference::Digest(digest.clone());
    context
        .registry
        .put_manifest(&step.repository, &reference, &manifest)?;
    let message = format!("copied `{}@{digest}`", step.repository);
    context.log.line(&message);
    // From now on the registry has it.
    let blobs = ImageDocument::blobs(&manifest).into_iter();
    let copied = blobs.map(|blob| blob.digest).chain([digest.clone()]);
    context.relay()?.forget(copied);
    Ok(CopyOutcome::Copied(digest))
}

/// The candidate's manifest, with its blobs copied.
fn candidate(
    step: &CopyStep,
    digest: &Digest,
    context: &StepContext<'_>,
) -> Result<Manifest, StepError> {
    let (registry, repository) = (context.registry, &step.repository);
    let manifest = context.candidate(repository, digest)?;
    let relay = context.relay()?;
    for blob in ImageDocument::blobs(&manifest) {
        if registry.has_blob(repository, &blob.digest)? {
            continue;
        }
        let Some(file) = relay.blob_file(&blob.digest) else {
            return Err(StepError::lost(digest));
        };
        registry.put_blob_file(repository, &blob, &file)?;
    }
    Ok(manifest)
}

/// The index of the original with the patched manifests in it: the same each time.
fn index(
    step: &CopyStep,
    original: &Digest,
    replacements: &[ManifestReplacement],
    previous: Option<&Digest>,
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
    for one in replacements {
        let patched = Reference::Digest(one.patched.clone());
        let patched = registry.get_manifest(repository, &patched)?.descriptor();
        if one.original != one.patched && !index.exchange(&one.original, &patched) {
            return Err(StepError::permanent(format!(
                "`{repository}@{original}` does not hold {}",
                one.original
            )));
        }
    }
    let expected = before.into_iter().map(|mut entry| {
        let mut replacements = replacements.iter();
        if let Some(one) = replacements.find(|one| one.original == entry.digest) {
            entry.digest = one.patched.clone();
        }
        entry
    });
    if !expected.eq(index.platforms().iter().cloned()) {
        let message = format!(
            "the index for `{repository}:{}` would lose platforms",
            step.original
        );
        return Err(StepError::permanent(message));
    }
    let entries = Origin {
        name: &context.name(repository, &step.original),
        digest: original,
        index: None,
        cycle: step.cycle,
        previous,
    }
    .entries();
    index.annotate(entries.iter().map(|(key, value)| (*key, value.as_str())));
    Ok(index.to_manifest())
}
