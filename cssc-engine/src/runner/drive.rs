//! The loop around a cycle.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use cssc_core::Cycle;
use cssc_core::cycle::{
    Assignment, Cause, CycleErrorKind, CycleId, CycleImage, CycleOptions, CyclePlan, CycleReport,
    Interrupt, NextStep, RunId, Step, StepFailure, StepOutcome, Until,
};
use cssc_registry::{TagDeletion, delete_tag};

use super::{Runner, RunnerError, RunnerEvent, WorkFolder, now};
use crate::doctor;
use crate::records::{DEFAULT_KEPT, Records};
use crate::reports::Reports;
use crate::state::{StateError, StoredWorkflow};
use crate::step::plan::check_tools;
use crate::step::{StepContext, StepError, perform};
use crate::tool::{Log as _, StopToken};
use crate::workflow;

/// How often cancellation, the wish to stop and deadlines are checked.
const CHECK: Duration = Duration::from_millis(200);
/// How long a step may go on after its deadline: a tool ends itself at its own time limit.
const GRACE: TimeDelta = TimeDelta::seconds(15);
/// How many earlier cycles a new one is told of.
const EARLIER_CYCLES: u32 = 1000;

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
        let earlier = runner.state.cycles(workflow, EARLIER_CYCLES)?;
        let now = now();
        let id = CycleId::new(now, fastrand::u16(..));
        let options = CycleOptions {
            test: runner.settings.test.is_some(),
            ..runner.settings.cycle.clone()
        };
        let mut cycle = Cycle::new(id, cause, options, now)
            .after(
                earlier
                    .iter()
                    .map(|cycle| cycle.id)
                    .chain(runner.settings.ended.iter().copied())
                    .collect(),
            )
            .only(runner.settings.only.clone());
        runner.state.begin_cycle(workflow, &mut cycle)?;
        self.run(cycle, false)
    }

    fn run(&mut self, mut cycle: Cycle, resumed: bool) -> Result<Cycle, RunnerError> {
        (self.on_event)(RunnerEvent::Started {
            cycle: &cycle,
            resumed,
        });
        let reports = Reports::new(self.folder.reports());
        let (runner, folder) = (self.runner, self.folder);
        if resumed {
            // The plan made the scanner ready, in another process. As there, each scan tries for
            // itself where that fails.
            let _ = self.check_tools(&cycle, &[]);
        }
        thread::scope(|scope| {
            let (sender, done) = mpsc::channel();
            let mut driver = Driver {
                runner,
                folder,
                reports: &reports,
                cycle: &mut cycle,
                scope,
                sender,
                in_flight: BTreeMap::new(),
                checked: None,
                canceling: false,
            };
            let result = driver.drive(&done, self.stop, self.on_event);
            // Whatever went wrong, nobody is left working: the scope waits for them.
            driver.interrupt(Interrupt::Stopped, |_| true);
            result
        })?;
        remove_leftovers(runner, &mut cycle)?;
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
        let (registry, settings) = (self.runner.registry, self.runner.settings);
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
        let call = Call {
            runner: self.runner,
            folder: self.folder,
            reports: &Reports::new(self.folder.reports()),
            run: &RunId::trigger(cycle),
            token: self.stop,
        };
        call.with_context(work)
    }
}

/// What a step, or something that belongs to none, is done with.
pub(super) struct Call<'a> {
    pub(super) runner: &'a Runner<'a>,
    pub(super) folder: &'a WorkFolder,
    pub(super) reports: &'a Reports,
    pub(super) run: &'a RunId,
    pub(super) token: &'a StopToken,
}

impl Call<'_> {
    /// What is said goes to the log of the run; whether that could be written.
    pub(super) fn with_context<T>(
        &self,
        work: impl FnOnce(&StepContext<'_>) -> T,
    ) -> (T, Result<(), StateError>) {
        let runner = self.runner;
        let log = runner.state.run_log(self.run);
        let done = work(&StepContext {
            registry: runner.registry,
            host: runner.host,
            policy: runner.policy,
            scanner: runner.scanner,
            patchers: runner.patchers,
            test: runner.settings.test.as_ref(),
            sign: runner.settings.sign.as_ref(),
            access: runner.access,
            reports: self.reports,
            folder: &self.folder.of_run(self.run),
            log: &log,
            stop: self.token,
            list: &runner.settings.list,
        });
        (done, log.finish())
    }
}

/// Removes candidates of canceled runs, as far as that goes: what stays is found again by the
/// plan of the next cycle.
fn remove_leftovers(runner: &Runner<'_>, cycle: &mut Cycle) -> Result<(), RunnerError> {
    let leftovers: Vec<_> = cycle
        .leftovers()
        .map(|(run, image, tag)| (run.clone(), image.repository.clone(), tag.clone()))
        .collect();
    for (run, repository, tag) in leftovers {
        match delete_tag(runner.registry, &repository, &tag) {
            Ok(TagDeletion::Kept(_)) => {}
            Ok(_) => cycle.leftover_removed(&run)?,
            // A registry that is away is away for all of them.
            Err(error) if error.is_retryable() => break,
            Err(_) => {}
        }
    }
    // Whoever deletes a workflow waits for its cycle to end, and not for this.
    let _ = runner.state.record(&cycle.take_changes());
    Ok(())
}

/// A step that is being done.
struct InFlight {
    assignment: Assignment,
    token: StopToken,
}

struct Driver<'scope, 'env, 'a> {
    runner: &'env Runner<'env>,
    folder: &'env WorkFolder,
    reports: &'env Reports,
    cycle: &'a mut Cycle,
    scope: &'scope Scope<'scope, 'env>,
    sender: Sender<(RunId, StepOutcome)>,
    in_flight: BTreeMap<RunId, InFlight>,
    checked: Option<Instant>,
    canceling: bool,
}

impl Driver<'_, '_, '_> {
    fn drive(
        &mut self,
        done: &mpsc::Receiver<(RunId, StepOutcome)>,
        stop: &StopToken,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<(), RunnerError> {
        loop {
            self.check(stop, on_event)?;
            let wait = if self.canceling || stop.is_stopped() {
                if self.in_flight.is_empty() {
                    if self.canceling {
                        self.cycle.cancel(now());
                    }
                    return self.commit();
                }
                CHECK
            } else {
                let now = now();
                match self.cycle.next_step(now) {
                    NextStep::Assigned(assignment) => {
                        self.commit()?;
                        self.begin(*assignment, on_event);
                        continue;
                    }
                    NextStep::Done => return self.commit(),
                    NextStep::Idle => CHECK,
                    NextStep::WaitUntil(time) => until(time, now).min(CHECK),
                }
            };
            match done.recv_timeout(wait) {
                Ok((run, outcome)) => self.take(&run, &outcome, on_event)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn begin(&mut self, assignment: Assignment, on_event: &mut dyn FnMut(RunnerEvent<'_>)) {
        if let Some(run) = self.cycle.run(&assignment.run) {
            let assignment = &assignment;
            on_event(RunnerEvent::Begun { assignment, run });
        }
        let token = StopToken::default();
        let (runner, folder, reports) = (self.runner, self.folder, self.reports);
        let (sender, given) = (self.sender.clone(), token.clone());
        let (run, step) = (assignment.run.clone(), assignment.step.clone());
        self.scope.spawn(move || {
            // A tool of somebody else's making that panics must not keep the cycle waiting.
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let call = Call {
                    runner,
                    folder,
                    reports,
                    run: &run,
                    token: &given,
                };
                match call.with_context(|context| perform(&step, context)) {
                    (outcome, Ok(())) => outcome,
                    // What is to be recorded next will meet the same failure and stop the cycle.
                    (_, Err(error)) => StepFailure::transient(error.to_string()).into(),
                }
            }));
            let outcome = outcome.unwrap_or_else(|_| {
                StepFailure::permanent(format!("the step `{}` panicked", step.kind())).into()
            });
            // Nobody listens only when the state cannot be written any more.
            let _ = sender.send((run, outcome));
        });
        let run = assignment.run.clone();
        self.in_flight.insert(run, InFlight { assignment, token });
    }

    fn take(
        &mut self,
        id: &RunId,
        outcome: &StepOutcome,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<(), RunnerError> {
        let Some(InFlight { assignment, .. }) = self.in_flight.remove(id) else {
            return Ok(());
        };
        let attempt = assignment.attempt;
        match self.cycle.report(id, attempt, outcome.clone(), now()) {
            Ok(()) => {}
            Err(error) if error.kind() == CycleErrorKind::Canceled => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.commit()?;
        if let Some(run) = self.cycle.run(id) {
            on_event(RunnerEvent::Done {
                assignment: &assignment,
                outcome,
                run,
                cycle: self.cycle,
            });
        }
        Ok(())
    }

    /// Checks, now and then, whether to cancel, to stop, or to end what takes too long.
    fn check(
        &mut self,
        stop: &StopToken,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<(), RunnerError> {
        if self.checked.is_some_and(|at| at.elapsed() < CHECK) {
            return Ok(());
        }
        self.checked = Some(Instant::now());
        if let Some(interrupt) = stop.interrupt() {
            self.interrupt(interrupt, |_| true);
        }
        on_event(RunnerEvent::Checked);
        let cycle = self.cycle.record().id();
        if !self.canceling && self.runner.state.is_cancel_requested(cycle)? {
            self.canceling = true;
            on_event(RunnerEvent::Canceled);
        }
        if self.canceling && !self.cycle.has_ended() {
            self.interrupt(Interrupt::Canceled, |_| true);
            // A tag that is being written will be there: that is recorded before the end.
            let publishing = |flight: &InFlight| matches!(flight.assignment.step, Step::Publish(_));
            if !self.in_flight.values().any(publishing) {
                self.cycle.cancel(now());
                self.commit()?;
            }
        }
        let now = now();
        self.interrupt(Interrupt::Overdue, |assignment| {
            let deadline = assignment.deadline.checked_add_signed(GRACE);
            deadline.is_some_and(|deadline| deadline < now)
        });
        Ok(())
    }

    fn commit(&mut self) -> Result<(), RunnerError> {
        Ok(self.runner.state.record(&self.cycle.take_changes())?)
    }

    fn interrupt(&self, interrupt: Interrupt, which: impl Fn(&Assignment) -> bool) {
        let flights = self.in_flight.values();
        for flight in flights.filter(|flight| which(&flight.assignment)) {
            flight.token.stop(interrupt);
        }
    }
}

fn until(time: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    time.signed_duration_since(now).to_std().unwrap_or_default()
}
