//! Waiting for the schedule, for ever.

use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cssc_core::cycle::Cause;
use cssc_core::{Cycle, Workflow};

use super::execution::Execution;
use super::{Runner, RunnerError, RunnerEvent, WorkFolder, now};
use crate::monitor::Monitor;
use crate::policy_source::PolicyReadError;
use crate::state::{State, StateError, StoredWorkflow, WorkflowLock};
use crate::tool::StopToken;
use crate::workflow;

/// How often the queue and the wish to stop are checked.
const CHECK: Duration = Duration::from_millis(200);
/// How often the policy and schedule are read while nothing is to be done.
const REREAD: Duration = Duration::from_secs(60);
/// How long to wait after the first failure to read them; twice as long after each further one,
/// up to the time between two readings.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// What happens while a workflow is served, as it happens.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ServeEvent<'a> {
    /// Nothing is to be done before this time, unless somebody asks.
    Waiting {
        /// When the next scheduled cycle begins.
        next: Option<DateTime<Utc>>,
    },
    /// The policy and schedule could not be read; it will be retried.
    Unreadable(&'a PolicyReadError),
    /// There is no workflow; it is looked again.
    Absent,
    /// Something happens in a cycle.
    Cycle(RunnerEvent<'a>),
}

impl Runner<'_> {
    /// Runs the cycles of the workflow when their time comes, and when somebody asks for one,
    /// until `stop` says so.
    ///
    /// A cycle that was stopped or killed is finished first. Of runs that were missed while
    /// nobody served the workflow, one is made up for. When the registry is away the last known
    /// schedule holds. The monitor is told how things stand.
    ///
    /// # Errors
    ///
    /// Fails when another process runs the workflow ([`RunnerError::is_held`]) and when the
    /// state cannot be read or written.
    pub fn serve(
        &self,
        stop: &StopToken,
        monitor: &Monitor,
        on_event: &mut dyn FnMut(ServeEvent<'_>),
    ) -> Result<(), RunnerError> {
        let mut server = Server {
            runner: self,
            folder: self.folder()?,
            stop,
            monitor,
            held: None,
            known: None,
            read: None,
            failures: 0,
            notified: Notice::Nothing,
        };
        while !stop.is_stopped() {
            server.turn(on_event)?;
        }
        Ok(())
    }
}

/// What was told last, which is not told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    Nothing,
    Absent,
    Next(Option<DateTime<Utc>>),
}

struct Server<'a> {
    runner: &'a Runner<'a>,
    folder: WorkFolder,
    stop: &'a StopToken,
    monitor: &'a Monitor,
    held: Option<(StoredWorkflow, WorkflowLock)>,
    known: Option<Workflow>,
    /// When the policy was read last.
    read: Option<Instant>,
    failures: u32,
    notified: Notice,
}

impl Server<'_> {
    /// Looks once what is to be done, and does it or waits a moment.
    fn turn(&mut self, on_event: &mut dyn FnMut(ServeEvent<'_>)) -> Result<(), RunnerError> {
        let workflow = self.hold()?;
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method is not general enough over the lifetime of what it runs with"
        )]
        let resumed = self.execute(&workflow, on_event, |execution| execution.resume())?;
        let mut ran = resumed.is_some();
        if self.is_time_to_read() {
            self.read(on_event);
        }
        if self.stop.is_stopped() {
            return Ok(());
        }
        if let Some(cause) = self.cause(&workflow)? {
            self.execute(&workflow, on_event, |execution| {
                execution.begin(cause).map(Some)
            })?;
            if let Cause::Scheduled(time) = cause {
                self.runner.state.set_checkpoint(workflow.id, time)?;
            }
            // The policy may have changed while the cycle was running.
            self.read = None;
            ran = true;
        }
        if ran {
            self.notified = Notice::Nothing;
            return Ok(());
        }
        let next = self
            .known
            .as_ref()
            .and_then(|workflow| workflow.schedule().next_after(now()));
        self.monitor.waiting(next);
        if self.known.is_some() && self.notified != Notice::Next(next) {
            self.notified = Notice::Next(next);
            on_event(ServeEvent::Waiting { next });
        }
        thread::sleep(CHECK);
        Ok(())
    }

    /// Runs a cycle, whose events the monitor sees, too.
    fn execute(
        &self,
        workflow: &StoredWorkflow,
        on_event: &mut dyn FnMut(ServeEvent<'_>),
        run: impl FnOnce(&mut Execution<'_>) -> Result<Option<Cycle>, RunnerError>,
    ) -> Result<Option<Cycle>, RunnerError> {
        let monitor = self.monitor;
        run(&mut Execution {
            runner: self.runner,
            workflow,
            folder: &self.folder,
            stop: self.stop,
            on_event: &mut |event| {
                monitor.event(&event);
                on_event(ServeEvent::Cycle(event));
            },
        })
    }

    /// The workflow in the state file, which this process alone runs. One that was deleted and
    /// made anew is another one.
    fn hold(&mut self) -> Result<StoredWorkflow, RunnerError> {
        let workflow = self.runner.known()?;
        match &self.held {
            Some((held, _)) if held.id == workflow.id => {}
            _ => {
                self.held = None;
                let lock = self.runner.state.lock(workflow.id, now())?;
                self.held = Some((workflow.clone(), lock));
                let state = self.runner.state;
                let last = state.current_cycle(workflow.id)?;
                let last = last
                    .map(|last| state.report(last.id))
                    .transpose()?
                    .flatten();
                let earlier = match &last {
                    Some(last) => workflow::earlier(state, workflow.id, last.cycle())?,
                    None => Vec::new(),
                };
                let name = self.runner.host.to_string();
                self.monitor.serves(name, last, earlier);
            }
        }
        Ok(workflow)
    }

    /// Why a cycle is to be run now, if one is.
    fn cause(&self, workflow: &StoredWorkflow) -> Result<Option<Cause>, RunnerError> {
        let Some(known) = &self.known else {
            return Ok(None);
        };
        let (state, now) = (self.runner.state, now());
        if let Some(due) = due(state, workflow, known, now)? {
            // One begun and finished for this time before a crash is not run again.
            let last = match state.current_cycle(workflow.id)? {
                Some(current) => state.cycle(current.id)?,
                None => None,
            };
            let cause = Cause::Scheduled(due);
            if last.is_none_or(|last| last.record().cause() != cause) {
                return Ok(Some(cause));
            }
            state.set_checkpoint(workflow.id, due)?;
        }
        let queued = state.take_queued(workflow.id)?;
        Ok(queued.map(|_| Cause::Immediate))
    }

    fn is_time_to_read(&self) -> bool {
        let wait = match self.failures.checked_sub(1) {
            None => REREAD,
            Some(before) => FIRST_RETRY
                .saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX))
                .min(REREAD),
        };
        self.read.is_none_or(|read| read.elapsed() >= wait)
    }

    fn read(&mut self, on_event: &mut dyn FnMut(ServeEvent<'_>)) {
        let read = self.runner.policy.read();
        self.read = Some(Instant::now());
        let answered = read.as_ref().err().is_none_or(|error| error.is_absent);
        self.monitor.registry(answered);
        match read {
            Ok(workflow) => {
                self.failures = 0;
                self.known = Some(workflow);
            }
            Err(error) if error.is_absent => {
                self.failures = 0;
                self.known = None;
                if self.notified != Notice::Absent {
                    self.notified = Notice::Absent;
                    on_event(ServeEvent::Absent);
                }
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                on_event(ServeEvent::Unreadable(&error));
            }
        }
    }
}

/// The run of the schedule that is due at `now`, if one is.
fn due(
    state: &dyn State,
    stored: &StoredWorkflow,
    known: &Workflow,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StateError> {
    let mut checkpoint = stored.checkpoint;
    if checkpoint > now {
        // The clock was ahead and is back. Waiting until it is there again would leave out every
        // run before that.
        checkpoint = now;
        state.set_checkpoint(stored.id, now)?;
    }
    Ok(known.due(checkpoint.max(known.created()), now))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use cssc_core::Dialect;

    use super::*;
    use crate::state::MemoryState;

    #[test]
    fn a_clock_that_was_ahead_leaves_out_no_run() {
        let created: DateTime<Utc> = "2024-01-03T09:30:00Z".parse().unwrap();
        let workflow = Workflow::new("{}", "1d".parse().unwrap(), Dialect::Service, created);
        let state = MemoryState::default();
        let id = state.add_workflow("a", created).unwrap().id;
        let hours = (0..=80).chain(365 * 24..=365 * 24 + 5).chain(76..=150);
        let mut begun = Vec::new();
        for hour in hours {
            let now = created + TimeDelta::hours(hour);
            let stored = state.workflow("a").unwrap().unwrap();
            if let Some(run) = due(&state, &stored, &workflow, now).unwrap() {
                begun.push((run - workflow.schedule().next_after(created).unwrap()).num_days() + 1);
                state.set_checkpoint(id, run).unwrap();
            }
            assert!(state.workflow("a").unwrap().unwrap().checkpoint <= now);
        }
        assert_eq!(begun, [1, 2, 3, 365, 4, 5, 6]);
    }
}
