//! What the commands that run cycles share.

pub(crate) mod fail_on;
pub(crate) mod on_end;
pub(crate) mod progress;
pub(crate) mod relay;
pub(crate) mod selection;
mod signals;
pub(crate) mod tools;

use cssc_engine::policy_source::PolicySource;
use cssc_engine::runner::{Runner, RunnerError, RunnerSettings};
use cssc_engine::state::State;

pub(crate) use signals::stop_on_signals;

use crate::exit::Failure;
use crate::registry::Registry;
use tools::Tools;

/// Has a runner work.
pub(crate) fn with_runner<T>(
    registry: &Registry,
    state: &dyn State,
    tools: &Tools,
    (settings, policy): (&RunnerSettings, &dyn PolicySource),
    work: impl FnOnce(&Runner<'_>) -> Result<T, RunnerError>,
) -> Result<T, Failure> {
    let host = registry.host()?;
    let done = work(&Runner {
        state,
        registry: registry.shared_client(),
        host,
        policy,
        scanner: &tools.scanner,
        patchers: tools,
        tooling: tools.tooling.as_ref(),
        settings,
    })?;
    Ok(done)
}

impl From<RunnerError> for Failure {
    fn from(error: RunnerError) -> Self {
        Self::new(error.to_string())
    }
}
