//! Publishing an image: writing its tag, and nothing else.

use cssc_core::cycle::{PublishOutcome, PublishStep};
use cssc_registry::{Reference, RegistryClient, RegistryError};

use super::{StepContext, StepError};

pub(super) fn perform(
    step: &PublishStep,
    context: &StepContext<'_>,
) -> Result<PublishOutcome, StepError> {
    let outcome = publish(step, context.registry)?;
    if outcome == PublishOutcome::Published {
        let message = format!("published `{}:{}`", step.repository, step.tag);
        context.log.line(&message);
    }
    Ok(outcome)
}

/// Performs a [`PublishStep`], which needs nothing but the registry.
///
/// # Errors
///
/// Fails when the registry does, when it lacks the image, and when the tag is written by others at
/// the same time.
pub fn publish(
    step: &PublishStep,
    registry: &dyn RegistryClient,
) -> Result<PublishOutcome, RegistryError> {
    let repository = &step.repository;
    let tag = Reference::Tag(step.tag.clone());
    match registry.resolve(repository, &tag)? {
        Some(there) if there.digest == step.digest => return Ok(PublishOutcome::Published),
        Some(there) if step.replaces.as_ref() != Some(&there.digest) => {
            return Ok(PublishOutcome::TagTaken);
        }
        _ => {}
    }
    let digest = Reference::Digest(step.digest.clone());
    let manifest = registry.get_manifest(repository, &digest)?;
    registry.put_manifest(repository, &tag, &manifest)?;
    // Registries do not compare and swap: what is there now is the outcome.
    match registry.resolve(repository, &tag)? {
        Some(there) if there.digest == step.digest => Ok(PublishOutcome::Published),
        Some(there) if step.replaces.as_ref() != Some(&there.digest) => {
            Ok(PublishOutcome::TagTaken)
        }
        _ => Err(RegistryError::unavailable(format!(
            "`{repository}:{}` was written and now points to something else",
            step.tag
        ))),
    }
}
