//! Having a program of the user's try a candidate.

use cssc_core::cycle::{TestOutcome, TestStep};

use super::{StepContext, StepError};
use crate::tool::TestRequest;

pub(super) fn perform(
    step: &TestStep,
    context: &StepContext<'_>,
) -> Result<TestOutcome, StepError> {
    let Some(program) = context.test else {
        let message =
            "patched images of this cycle are to be tested, and no program is given for it";
        return Err(StepError::permanent(message));
    };
    let candidate = &step.candidate;
    let request = TestRequest {
        candidate: &context.image(&candidate.repository, &candidate.tag, &candidate.digest),
        original: &context.image(
            &candidate.repository,
            &candidate.original,
            &candidate.manifest,
        ),
        platform: &candidate.platform,
    };
    let refused = context.with_tool(|job| program.test(&request, job))?;
    Ok(match refused {
        None => TestOutcome::Passed,
        Some(why) => {
            context.log.line(&format!("the test refused it: {why}"));
            TestOutcome::Refused(why)
        }
    })
}
