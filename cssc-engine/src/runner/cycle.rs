//! The loop around a cycle.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use cssc_core::{Cause, Cycle, Next, Outcome, RunId, Step, Work};

use super::candidate::bury;
use super::step::Hands;
use super::{Runner, RunnerError, RunnerEvent, folder, now};
use crate::store::StoredWorkflow;
use crate::tool::Cancel;

/// How often cancellation, the wish to stop and deadlines are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a step may go on after its deadline: a tool ends itself at its own time limit.
const GRACE: TimeDelta = TimeDelta::seconds(15);

/// Finishes the cycle that was begun last, or else begins a new one and runs it. The caller has
/// the lock.
pub(super) fn resume_or_begin(
    runner: &Runner<'_>,
    workflow: &StoredWorkflow,
    cause: Cause,
    stop: &Cancel,
    observe: &mut dyn FnMut(RunnerEvent<'_>),
) -> Result<Cycle, RunnerError> {
    match resume(runner, workflow, stop, observe)? {
        Some(cycle) => Ok(cycle),
        None => begin(runner, workflow, cause, stop, observe),
    }
}

/// Finishes the cycle that was begun last, if it has not ended.
pub(super) fn resume(
    runner: &Runner<'_>,
    workflow: &StoredWorkflow,
    stop: &Cancel,
    observe: &mut dyn FnMut(RunnerEvent<'_>),
) -> Result<Option<Cycle>, RunnerError> {
    let current = runner.store.current_cycle(workflow.id)?;
    let Some(current) = current.filter(|current| !current.has_ended) else {
        return Ok(None);
    };
    let Some(mut cycle) = runner.store.cycle(current.number)? else {
        return Ok(None);
    };
    folder::end_leftover_tools(&runner.folder());
    cycle.recover(now());
    commit(runner, &mut cycle)?;
    let resumed = true;
    observe(RunnerEvent::Started {
        cycle: &cycle,
        resumed,
    });
    drive(runner, workflow, cycle, stop, observe).map(Some)
}

/// Begins a new cycle and runs it. The one before must have ended.
pub(super) fn begin(
    runner: &Runner<'_>,
    workflow: &StoredWorkflow,
    cause: Cause,
    stop: &Cancel,
    observe: &mut dyn FnMut(RunnerEvent<'_>),
) -> Result<Cycle, RunnerError> {
    let folder = runner.folder();
    folder::remove_runs(&folder);
    if let Some(keep) = runner.settings.keep_runs {
        runner.store.prune(workflow.id, keep)?;
        folder::prune_vex(&folder, |run| match run.parse() {
            // Where that cannot be told, the document stays.
            Ok(run) => !matches!(runner.store.run(run), Ok(None)),
            Err(_) => true,
        });
    }
    let cycle = runner.store.begin_cycle(workflow.id, |number| {
        let owner = workflow.owner.clone();
        Cycle::new(number, owner, cause, runner.settings.cycle, now())
    })?;
    let resumed = false;
    observe(RunnerEvent::Started {
        cycle: &cycle,
        resumed,
    });
    drive(runner, workflow, cycle, stop, observe)
}

fn drive(
    runner: &Runner<'_>,
    workflow: &StoredWorkflow,
    mut cycle: Cycle,
    stop: &Cancel,
    observe: &mut dyn FnMut(RunnerEvent<'_>),
) -> Result<Cycle, RunnerError> {
    let result = thread::scope(|scope| {
        let (sender, done) = mpsc::channel();
        let mut driver = Driver {
            runner,
            workflow,
            cycle: &mut cycle,
            scope,
            sender,
            hands: BTreeMap::new(),
            looked: None,
            canceling: false,
        };
        let result = driver.drive(&done, stop, observe);
        // Whatever went wrong, nobody is left working: the scope waits for them.
        driver.cancel_tools(|_| true);
        result
    });
    result?;
    sweep(runner, &mut cycle)?;
    if cycle.has_ended() {
        folder::remove_runs(&runner.folder());
    }
    observe(RunnerEvent::Ended { cycle: &cycle });
    Ok(cycle)
}

/// Stores what has changed, in one piece.
fn commit(runner: &Runner<'_>, cycle: &mut Cycle) -> Result<(), RunnerError> {
    Ok(runner.store.record(&cycle.take_changes())?)
}

/// Removes candidates of canceled runs, as far as that goes: what stays is found again by the
/// plan of the next cycle.
fn sweep(runner: &Runner<'_>, cycle: &mut Cycle) -> Result<(), RunnerError> {
    let leftovers: Vec<_> = cycle
        .leftovers()
        .map(|(run, image, tag)| (run, image.repository.clone(), tag.clone()))
        .collect();
    for (run, repository, tag) in leftovers {
        match bury(runner.registry, &repository, &tag) {
            Ok(()) => cycle.leftover_removed(run)?,
            // A registry that is away is away for all of them.
            Err(error) if error.is_retryable() => break,
            Err(_) => {}
        }
    }
    // Whoever deletes a workflow waits for its cycle to end, and not for this.
    let _ = commit(runner, cycle);
    Ok(())
}

/// Work that is being done.
struct InHand {
    work: Work,
    cancel: Cancel,
    /// Whether it was ended because its time was over.
    overdue: bool,
}

type Done = (RunId, Outcome);

struct Driver<'scope, 'env, 'a> {
    runner: &'env Runner<'env>,
    workflow: &'env StoredWorkflow,
    cycle: &'a mut Cycle,
    scope: &'scope Scope<'scope, 'env>,
    sender: Sender<Done>,
    hands: BTreeMap<RunId, InHand>,
    looked: Option<Instant>,
    canceling: bool,
}

impl Driver<'_, '_, '_> {
    fn drive(
        &mut self,
        done: &mpsc::Receiver<Done>,
        stop: &Cancel,
        observe: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<(), RunnerError> {
        loop {
            self.look(stop, observe)?;
            let stopping = stop.is_canceled();
            let wait = if stopping || self.canceling {
                if self.hands.is_empty() {
                    if self.canceling {
                        self.cycle.cancel(now());
                    }
                    return self.commit();
                }
                LOOK
            } else {
                let now = now();
                match self.cycle.next_work(now) {
                    Next::Work(work) => {
                        self.commit()?;
                        self.begin(work, observe);
                        continue;
                    }
                    Next::Done => return self.commit(),
                    Next::Idle => LOOK,
                    Next::WaitUntil(time) => until(time, now).min(LOOK),
                }
            };
            match done.recv_timeout(wait) {
                Ok((run, outcome)) => self.take(run, outcome, stopping, observe)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn begin(&mut self, work: Work, observe: &mut dyn FnMut(RunnerEvent<'_>)) {
        let cycle = &*self.cycle;
        if let Some(run) = cycle.run(work.run) {
            observe(RunnerEvent::Begun { work: &work, run });
        }
        let scanned = match &work.step {
            Step::Patch { scan_run, .. } | Step::Verify { scan_run, .. } => {
                cycle.run(*scan_run).and_then(|run| run.digest())
            }
            _ => None,
        };
        let scanned = scanned.map(str::to_owned);
        let cancel = Cancel::default();
        let (runner, workflow) = (self.runner, self.workflow);
        let (sender, token, given) = (self.sender.clone(), cancel.clone(), work.clone());
        self.scope.spawn(move || {
            let hands = Hands {
                runner,
                workflow,
                cancel: &token,
                scanned,
            };
            // A tool of somebody else's making that panics must not keep the cycle waiting.
            let outcome = catch_unwind(AssertUnwindSafe(|| hands.perform(&given)));
            let outcome = outcome.unwrap_or_else(|_| Outcome::Failed {
                reason: format!("the step `{}` panicked", given.step.name()),
                retry: false,
            });
            // Nobody listens only when the state cannot be written any more.
            let _ = sender.send((given.run, outcome));
        });
        let run = work.run;
        let overdue = false;
        self.hands.insert(
            run,
            InHand {
                work,
                cancel,
                overdue,
            },
        );
    }

    fn take(
        &mut self,
        run: RunId,
        outcome: Outcome,
        stopping: bool,
        observe: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<(), RunnerError> {
        let Some(hand) = self.hands.remove(&run) else {
            return Ok(());
        };
        let InHand {
            work,
            cancel,
            overdue,
        } = hand;
        let failed = matches!(outcome, Outcome::Failed { .. });
        let cycle = &mut *self.cycle;
        if failed && cancel.is_canceled() && !overdue {
            // It was ended from here: by a stop, which gives it back, or a cancellation.
            if stopping && !self.canceling {
                cycle.give_back(run, work.attempt, now())?;
            }
            return self.commit();
        }
        let outcome = match outcome {
            Outcome::Failed { .. } if overdue => Outcome::Failed {
                reason: format!(
                    "the step took longer than {} s and was ended",
                    self.cycle.record().options().step_limit_seconds
                ),
                retry: true,
            },
            outcome => outcome,
        };
        let cycle = &mut *self.cycle;
        match cycle.report(run, work.attempt, outcome.clone(), now()) {
            Ok(()) => {}
            Err(error) if error.is_canceled() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.commit()?;
        let cycle = &*self.cycle;
        if let Some(run) = cycle.run(run) {
            observe(RunnerEvent::Done {
                work: &work,
                outcome: &outcome,
                run,
                summary: cycle.summary(),
            });
        }
        Ok(())
    }

    /// Looks, now and then, whether to cancel, to stop, or to end what takes too long.
    fn look(
        &mut self,
        stop: &Cancel,
        observe: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<(), RunnerError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        if stop.is_canceled() {
            self.cancel_tools(|_| true);
        }
        if !self.canceling
            && self
                .runner
                .store
                .is_cancel_requested(self.cycle.record().id())?
        {
            self.canceling = true;
            observe(RunnerEvent::Canceled);
        }
        if self.canceling && !self.cycle.has_ended() {
            self.cancel_tools(|_| true);
            // A tag that is being written will be there: that is recorded before the end.
            let publishing = self
                .hands
                .values()
                .any(|hand| matches!(hand.work.step, Step::Publish { .. }));
            if !publishing {
                self.cycle.cancel(now());
                self.commit()?;
            }
        }
        let now = now();
        self.cancel_tools(|work| {
            work.deadline
                .checked_add_signed(GRACE)
                .is_some_and(|deadline| deadline < now)
        });
        for hand in self.hands.values_mut() {
            let deadline = hand.work.deadline.checked_add_signed(GRACE);
            if deadline.is_some_and(|deadline| deadline < now) && !stop.is_canceled() {
                hand.overdue = !self.canceling;
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), RunnerError> {
        commit(self.runner, self.cycle)
    }

    fn cancel_tools(&self, which: impl Fn(&Work) -> bool) {
        for hand in self.hands.values().filter(|hand| which(&hand.work)) {
            hand.cancel.cancel();
        }
    }
}

fn until(time: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    time.signed_duration_since(now).to_std().unwrap_or_default()
}
