//! The loop around the steps of a cycle.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use cssc_core::Cycle;
use cssc_core::cycle::{
    Assignment, CycleErrorKind, Interrupt, NextStep, RunId, Step, StepFailure, StepOutcome,
};

use super::context::RunContext;
use super::{Runner, RunnerError, RunnerEvent, WorkFolder, now};
use crate::relay::RelayOnDemand;
use crate::reports::Reports;
use crate::step::perform;
use crate::tool::StopToken;

/// How often cancellation, the wish to stop and deadlines are checked.
const CHECK: Duration = Duration::from_millis(200);
/// How long a step may go on after its deadline: a tool ends itself at its own time limit.
const GRACE: TimeDelta = TimeDelta::seconds(15);

/// Does what a cycle asks for until it has ended, is canceled, or is to stop.
pub(super) fn drive(
    runner: &Runner<'_>,
    folder: &WorkFolder,
    relay: &RelayOnDemand,
    cycle: &mut Cycle,
    stop: &StopToken,
    on_event: &mut dyn FnMut(RunnerEvent<'_>),
) -> Result<(), RunnerError> {
    let reports = Reports::new(folder.reports());
    thread::scope(|scope| {
        let (sender, done) = mpsc::channel();
        let mut driver = Driver {
            runner,
            folder,
            relay,
            reports: &reports,
            cycle,
            scope,
            sender,
            in_flight: BTreeMap::new(),
            checked: None,
            canceling: false,
        };
        let result = driver.drive(&done, stop, on_event);
        // Whatever went wrong, nobody is left working: the scope waits for them.
        driver.interrupt(Interrupt::Stopped, |_| true);
        result
    })
}

/// A step that is being done.
struct InFlight {
    assignment: Assignment,
    token: StopToken,
}

struct Driver<'scope, 'env, 'a> {
    runner: &'env Runner<'env>,
    folder: &'env WorkFolder,
    relay: &'env RelayOnDemand,
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
                        self.begin(*assignment, stop, on_event)?;
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

    fn begin(
        &mut self,
        assignment: Assignment,
        stop: &StopToken,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<(), RunnerError> {
        if let Some(run) = self.cycle.run(&assignment.run) {
            let (assignment, cycle) = (&assignment, &*self.cycle);
            on_event(RunnerEvent::Begun {
                assignment,
                run,
                cycle,
            });
        }
        // An observer that cannot do its part stops the runner before the step is performed.
        if stop.is_stopped() {
            let (run, attempt) = (&assignment.run, assignment.attempt);
            let stopped = Interrupt::Stopped.into();
            self.cycle.report(run, attempt, stopped, now())?;
            return self.commit();
        }
        let token = StopToken::default();
        let (runner, folder, reports) = (self.runner, self.folder, self.reports);
        let relay = self.relay;
        let (sender, given) = (self.sender.clone(), token.clone());
        let (run, task) = (assignment.run.clone(), assignment.step.clone());
        self.scope.spawn(move || {
            // A tool of somebody else's making that panics must not keep the cycle waiting.
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let context = RunContext {
                    runner,
                    folder,
                    reports,
                    relay,
                    run: &run,
                    token: &given,
                };
                match context.with_context(|context| perform(&task, context)) {
                    (outcome, Ok(())) => outcome,
                    // What is to be recorded next will meet the same failure and stop the cycle.
                    (_, Err(error)) => StepFailure::transient(error.to_string()).into(),
                }
            }));
            let outcome = outcome.unwrap_or_else(|_| {
                StepFailure::permanent(format!("the step `{}` panicked", task.kind())).into()
            });
            // Nobody listens only when the state cannot be written any more.
            let _ = sender.send((run, outcome));
        });
        let run = assignment.run.clone();
        self.in_flight.insert(run, InFlight { assignment, token });
        Ok(())
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
