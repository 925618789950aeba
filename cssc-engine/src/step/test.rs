//! Having a program of the user's try a candidate.

use cssc_core::cycle::{TestOutcome, TestStep};

use super::{StepContext, StepError, relayed};
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
    let repository = &candidate.repository;
    let roots = [
        context.candidate(repository, &candidate.digest)?,
        context.manifest(repository, &candidate.manifest)?,
    ];
    let refused = context.with_login(repository, &roots, |login, job| {
        let named = |digest: &_| relayed(login, &candidate.original, digest);
        let request = TestRequest {
            candidate: &named(&candidate.digest)?,
            original: &named(&candidate.manifest)?,
            platform: &candidate.platform,
        };
        Ok(program.test(&request, job)?)
    })?;
    Ok(match refused {
        None => TestOutcome::Passed,
        Some(why) => {
            let why = context.in_names_of_the_registry(&why);
            context.log.line(&format!("the test refused it: {why}"));
            TestOutcome::Refused(why)
        }
    })
}
