//! A cycle from its beginning to its end, with what comes before its steps and after them.

use cssc_core::Cycle;
use cssc_core::cycle::{
    Cause, CycleId, CycleImage, CycleOptions, CyclePlan, CycleReport, RunId, Until,
};

use super::context::RunContext;
use super::drive::drive;
use super::{Runner, RunnerError, RunnerEvent, WorkFolder, now};
use crate::doctor;
use crate::records::{DEFAULT_KEPT, Records};
use crate::reports::Reports;
use crate::state::{StateError, StoredWorkflow};
use crate::step::plan::check_tools;
use crate::step::{StepContext, StepError};
use crate::tool::{Log as _, StopToken};
use crate::workflow;

/// What a cycle is run with, by whoever has the lock of its workflow.
pub(super) struct Execution<'a> {
    pub(super) runner: &'a Runner<'a>,
    pub(super) workflow: &'a StoredWorkflow,
    pub(super) folder: &'a WorkFolder,
    pub(super) stop: &'a StopToken,
    pub(super) on_event: &'a mut dyn FnMut(RunnerEvent<'_>),
}

impl Execution<'_> {
    /// Finishes the cycle that was begun last, or else begins a new one and runs it.
    pub(super) fn resume_or_begin(&mut self, cause: Cause) -> Result<Cycle, RunnerError> {
        match self.resume()? {
            Some(cycle) => Ok(cycle),
            None => self.begin(cause),
        }
    }

    /// Finishes the cycle that was begun last, if it has not ended.
    pub(super) fn resume(&mut self) -> Result<Option<Cycle>, RunnerError> {
        let state = self.runner.state;
        let current = state.current_cycle(self.workflow.id)?;
        let Some(current) = current.filter(|current| !current.has_ended) else {
            return Ok(None);
        };
        let Some(mut cycle) = state.cycle(current.id)? else {
            return Ok(None);
        };
        self.folder.end_leftover_tools();
        cycle.recover(now());
        state.record(&cycle.take_changes())?;
        self.run(cycle, true).map(Some)
    }

    /// Begins a new cycle and runs it. The one before must have ended.
    pub(super) fn begin(&mut self, cause: Cause) -> Result<Cycle, RunnerError> {
        let (runner, workflow) = (self.runner, self.workflow.id);
        self.folder.remove_runs();
        if let Some(keep) = runner.settings.keep_runs {
            runner.state.prune(workflow, keep)?;
        }
        let now = now();
        let id = CycleId::new(now, fastrand::u16(..));
        let options = CycleOptions {
            test: runner.settings.test.is_some(),
            sign: runner.settings.sign.is_some(),
            ..runner.settings.cycle.clone()
        };
        let mut cycle = Cycle::new(id, cause, options, now).only(runner.settings.only.clone());
        runner.state.begin_cycle(workflow, &mut cycle)?;
        self.run(cycle, false)
    }

    fn run(&mut self, mut cycle: Cycle, resumed: bool) -> Result<Cycle, RunnerError> {
        (self.on_event)(RunnerEvent::Started {
            cycle: &cycle,
            resumed,
        });
        let (runner, folder) = (self.runner, self.folder);
        if resumed {
            // The plan made the scanner ready, in another process. As there, each scan tries for
            // itself where that fails.
            let _ = self.check_tools(&cycle, &[]);
        }
        let relay = folder.relay(runner);
        drive(runner, folder, &relay, &mut cycle, self.stop, self.on_event)?;
        drop(relay);
        runner.scanner.release();
        if cycle.has_ended() {
            folder.remove_runs();
            self.end(&cycle)?;
        } else {
            (self.on_event)(RunnerEvent::Stopped { cycle: &cycle });
        }
        Ok(cycle)
    }

    /// Tells what came of a cycle: its log, whoever asks for its report later, and who observes.
    fn end(&mut self, cycle: &Cycle) -> Result<(), StateError> {
        let state = self.runner.state;
        let report = &workflow::report(state, self.workflow.id, cycle)?;
        // What cannot be kept is made anew whenever it is asked for.
        let _ = state.keep_report(report);
        let log = state.run_log(&RunId::trigger(report.cycle()));
        log.line(&report.lines().to_string());
        let _ = log.finish();
        self.record(cycle, report);
        self.tell_of_end(report);
        (self.on_event)(RunnerEvent::Ended { report });
        Ok(())
    }

    /// Has the user's program know, where there is one.
    fn tell_of_end(&mut self, report: &CycleReport) {
        let Some(command) = &self.runner.settings.on_end else {
            return;
        };
        let host = self.runner.host;
        let (told, _) = self.for_cycle(report.cycle(), |context| {
            context.with_tool(|job| command.tell(report, host, job))
        });
        self.folder.remove_runs();
        let reason = match told {
            Ok(()) => return,
            Err(StepError::Failed(failure)) => failure.to_string(),
            Err(StepError::Interrupted(interrupt)) => interrupt.to_string(),
        };
        (self.on_event)(RunnerEvent::NotTold(&reason));
    }

    /// Keeps a record in the registry, where the workflow says so.
    fn record(&mut self, cycle: &Cycle, report: &CycleReport) {
        let options = cycle.record().options();
        if !options.settings.keeps_records() || options.until.is_some() || options.plan_only {
            return;
        }
        let (registry, settings) = (&**self.runner.registry, self.runner.settings);
        let keep = settings.keep_records.unwrap_or(DEFAULT_KEPT);
        // Where they cannot be listed there are none, perhaps, and none is removed.
        let mut records = Records::list(registry).unwrap_or_default();
        if let Err(error) = records.write(registry, report, keep) {
            (self.on_event)(RunnerEvent::NotRecorded(&error));
        }
    }

    /// Does the part of a cycle that was planned elsewhere.
    pub(super) fn take_over(&mut self, mut cycle: Cycle) -> Result<Cycle, RunnerError> {
        self.runner
            .state
            .begin_cycle(self.workflow.id, &mut cycle)?;
        let images = cycle.plan().map_or(&[][..], CyclePlan::images);
        if !cycle.has_ended()
            && let Err(StepError::Failed(failure)) = self.check_tools(&cycle, images)?
        {
            return Err(RunnerError::tool(failure));
        }
        self.run(cycle, false)
    }

    /// Finds out whether the tools can be used, makes the scanner ready, and warns of what patches of
    /// these images will lack.
    fn check_tools(
        &self,
        cycle: &Cycle,
        images: &[CycleImage],
    ) -> Result<Result<(), StepError>, StateError> {
        let options = cycle.record().options();
        let kind = options.settings.effective_patcher();
        let patcher = (options.until != Some(Until::Scan)).then_some(kind);
        let check = |context: &StepContext<'_>| {
            check_tools(patcher, context)?;
            patcher.map_or(Ok(()), |patcher| doctor::warn(patcher, images, context))
        };
        let (checked, logged) = self.for_cycle(cycle.record().id(), check);
        logged.map(|()| checked)
    }

    /// Does something that belongs to no step: what is said goes to the log of the cycle.
    fn for_cycle<T>(
        &self,
        cycle: CycleId,
        work: impl FnOnce(&StepContext<'_>) -> T,
    ) -> (T, Result<(), StateError>) {
        let context = RunContext {
            runner: self.runner,
            folder: self.folder,
            reports: &Reports::new(self.folder.reports()),
            relay: &self.folder.relay(self.runner),
            run: &RunId::trigger(cycle),
            token: self.stop,
        };
        context.with_context(work)
    }
}
