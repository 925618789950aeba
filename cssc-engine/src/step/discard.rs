//! Removing the tags of candidates without removing what they stand for.

use cssc_core::cycle::{DiscardOutcome, DiscardStep};
use cssc_registry::{TagDeletion, delete_tag};

use super::{StepContext, StepError};

pub(super) fn perform(
    step: &DiscardStep,
    context: &StepContext<'_>,
) -> Result<DiscardOutcome, StepError> {
    let (repository, candidate) = (&step.repository, &step.candidate);
    let deletion = delete_tag(context.registry, repository, candidate)?;
    Ok(match deletion {
        TagDeletion::Removed => DiscardOutcome::Removed,
        TagDeletion::Kept(reason) => {
            let message = format!("`{repository}:{candidate}` is left over: {reason}");
            context.log.line(&message);
            DiscardOutcome::Kept(reason.to_string())
        }
        _ => DiscardOutcome::Emptied,
    })
}
