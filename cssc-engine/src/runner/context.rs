//! What the steps of a run are done with.

use cssc_core::cycle::RunId;

use super::{Runner, WorkFolder};
use crate::relay::RelayOnDemand;
use crate::reports::Reports;
use crate::state::StateError;
use crate::step::StepContext;
use crate::tool::StopToken;

/// What a step, or something that belongs to none, is done with.
pub(super) struct RunContext<'a> {
    pub(super) runner: &'a Runner<'a>,
    pub(super) folder: &'a WorkFolder,
    pub(super) reports: &'a Reports,
    pub(super) relay: &'a RelayOnDemand,
    pub(super) run: &'a RunId,
    pub(super) token: &'a StopToken,
}

impl RunContext<'_> {
    /// What is said goes to the log of the run; whether that could be written.
    pub(super) fn with_context<T>(
        &self,
        work: impl FnOnce(&StepContext<'_>) -> T,
    ) -> (T, Result<(), StateError>) {
        let runner = self.runner;
        let log = runner.state.run_log(self.run);
        let done = work(&StepContext {
            registry: &**runner.registry,
            host: runner.host,
            policy: runner.policy,
            scanner: runner.scanner,
            patchers: runner.patchers,
            test: runner.settings.test.as_ref(),
            sign: runner.settings.sign.as_ref(),
            relay: self.relay,
            reports: self.reports,
            folder: &self.folder.of_run(self.run),
            kept: &self.folder.kept(),
            log: &log,
            stop: self.token,
            list: &runner.settings.list,
        });
        (done, log.finish())
    }
}
