//! Waiting for the schedule, for ever.

use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cssc_core::{Cause, Cycle, Workflow};

use super::monitor::Monitor;
use super::{PolicyTrouble, Runner, RunnerError, RunnerEvent, cycle, now};
use crate::store::{StoredWorkflow, WorkflowLock};
use crate::tool::Cancel;

/// How often the queue and the wish to stop are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often the policy and schedule are read while nothing is to be done.
const REREAD: Duration = Duration::from_secs(60);
/// How long to wait after the first failure to read them; twice as long after each further one,
/// up to the time between two readings.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// What happens while a workflow is served, as it happens.
#[derive(Debug, Clone, Copy)]
pub enum ServeEvent<'a> {
    /// Nothing is to be done before this time, unless somebody asks.
    Waiting {
        /// When the next scheduled cycle begins.
        next: Option<DateTime<Utc>>,
    },
    /// The policy and schedule could not be read; it is tried again.
    Trouble(&'a PolicyTrouble),
    /// There is no workflow; it is looked again.
    Absent,
    /// Something happens in a cycle.
    Cycle(RunnerEvent<'a>),
}

impl Runner<'_> {
    /// Runs the cycles of the workflow when their time comes, and when somebody asks for one,
    /// until `stop` is set.
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
        stop: &Cancel,
        monitor: &Monitor,
        observe: &mut dyn FnMut(ServeEvent<'_>),
    ) -> Result<(), RunnerError> {
        let mut server = Server {
            runner: self,
            stop,
            monitor,
            held: None,
            known: None,
            read: None,
            failures: 0,
            said: Said::Nothing,
        };
        while !stop.is_canceled() {
            server.turn(observe)?;
        }
        Ok(())
    }
}

/// What was said last, which is not said again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Absent,
    Next(Option<DateTime<Utc>>),
}

struct Server<'a> {
    runner: &'a Runner<'a>,
    stop: &'a Cancel,
    monitor: &'a Monitor,
    held: Option<(StoredWorkflow, WorkflowLock)>,
    known: Option<Workflow>,
    /// When the policy was read last.
    read: Option<Instant>,
    failures: u32,
    said: Said,
}

impl Server<'_> {
    /// Looks once what is to be done, and does it or waits a moment.
    fn turn(&mut self, observe: &mut dyn FnMut(ServeEvent<'_>)) -> Result<(), RunnerError> {
        let workflow = self.hold()?;
        let mut ran = false;
        if let Some(cycle) = self.cycle(observe, |runner, stop, observe| {
            cycle::resume(runner, &workflow, stop, observe)
        })? {
            ran = true;
            self.ended(&cycle);
        }
        if self.is_time_to_read() {
            self.read(observe);
        }
        if self.stop.is_canceled() {
            return Ok(());
        }
        if let Some(cause) = self.cause(&workflow)? {
            let begun = self.cycle(observe, |runner, stop, observe| {
                cycle::begin(runner, &workflow, cause, stop, observe).map(Some)
            })?;
            if let Some(cycle) = begun {
                self.ended(&cycle);
            }
            if let Cause::Scheduled(time) = cause {
                self.runner.store.looked_after(workflow.id, time)?;
            }
            // The policy may have changed while the cycle was running.
            self.read = None;
            ran = true;
        }
        if ran {
            self.said = Said::Nothing;
            return Ok(());
        }
        let next = self
            .known
            .as_ref()
            .and_then(|workflow| workflow.schedule().next_after(now()));
        self.monitor.waiting(next);
        if self.known.is_some() && self.said != Said::Next(next) {
            self.said = Said::Next(next);
            observe(ServeEvent::Waiting { next });
        }
        thread::sleep(LOOK);
        Ok(())
    }

    fn cycle(
        &self,
        observe: &mut dyn FnMut(ServeEvent<'_>),
        run: impl FnOnce(
            &Runner<'_>,
            &Cancel,
            &mut dyn FnMut(RunnerEvent<'_>),
        ) -> Result<Option<Cycle>, RunnerError>,
    ) -> Result<Option<Cycle>, RunnerError> {
        let monitor = self.monitor;
        run(self.runner, self.stop, &mut |event| {
            monitor.event(&event);
            observe(ServeEvent::Cycle(event));
        })
    }

    fn ended(&mut self, cycle: &Cycle) {
        if cycle.has_ended() {
            self.monitor.ended(cycle);
        }
    }

    /// The workflow in the state file, which this process alone runs. One that was deleted and
    /// made anew is another one.
    fn hold(&mut self) -> Result<StoredWorkflow, RunnerError> {
        let workflow = self.runner.known()?;
        match &self.held {
            Some((held, _)) if held.id == workflow.id => {}
            _ => {
                self.held = None;
                let lock = self.runner.store.lock(workflow.id, now())?;
                self.held = Some((workflow.clone(), lock));
            }
        }
        Ok(workflow)
    }

    /// Why a cycle is to be run now, if one is.
    fn cause(&self, workflow: &StoredWorkflow) -> Result<Option<Cause>, RunnerError> {
        let Some(known) = &self.known else {
            return Ok(None);
        };
        let since = workflow.looked_after.max(known.created());
        if let Some(due) = known.due(since, now()) {
            // One begun and finished for this time before a crash is not run again.
            let current = self.runner.store.current_cycle(workflow.id)?;
            let last = match current {
                Some(current) => self.runner.store.cycle(current.number)?,
                None => None,
            };
            let cause = Cause::Scheduled(due);
            if last.is_none_or(|last| last.record().cause() != cause) {
                return Ok(Some(cause));
            }
            self.runner.store.looked_after(workflow.id, due)?;
        }
        let queued = self.runner.store.take_queued(workflow.id)?;
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

    fn read(&mut self, observe: &mut dyn FnMut(ServeEvent<'_>)) {
        let read = self.runner.policy.read();
        self.read = Some(Instant::now());
        self.monitor.registry(read.is_ok());
        match read {
            Ok(workflow) => {
                self.failures = 0;
                self.known = Some(workflow);
            }
            Err(trouble) if trouble.absent => {
                self.failures = 0;
                self.known = None;
                if self.said != Said::Absent {
                    self.said = Said::Absent;
                    observe(ServeEvent::Absent);
                }
            }
            Err(trouble) => {
                self.failures = self.failures.saturating_add(1);
                observe(ServeEvent::Trouble(&trouble));
            }
        }
    }
}
