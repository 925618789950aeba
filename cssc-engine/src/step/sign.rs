//! Having an image signed.

use cssc_core::cycle::{SignOutcome, SignStep};

use super::{StepContext, StepError};

pub(super) fn perform(
    step: &SignStep,
    context: &StepContext<'_>,
) -> Result<SignOutcome, StepError> {
    let Some(program) = context.sign else {
        let message = "images of this cycle are to be signed, and no program is given for it";
        return Err(StepError::permanent(message));
    };
    let image = context.image(&step.repository, &step.tag, &step.digest);
    context.with_tool(|job| program.sign(&image, job))?;
    Ok(SignOutcome::Signed)
}
