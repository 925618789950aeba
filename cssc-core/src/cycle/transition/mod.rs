//! What follows from an outcome.

mod candidate;
mod ending;
mod publication;
mod scan;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use crate::cycle::error::CycleError;
use crate::cycle::failure::{FailureKind, StepFailure};
use crate::cycle::id::RunId;
use crate::cycle::interrupt::Interrupt;
use crate::cycle::machine::{Cycle, later};
use crate::cycle::reason::Reason;
use crate::cycle::run::Activity;
use crate::cycle::status::Status;
use crate::cycle::step::{CopyContent, CopyOutcome, CopyStep, SignOutcome, Step, StepOutcome};

impl Cycle {
    /// Takes the outcome of attempt `attempt` at a step of `run`.
    ///
    /// A step that was [interrupted](StepOutcome::Interrupted) since its runner
    /// [stops](Interrupt::Stopped) is there for the next one as if it had not been begun.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, when the cycle has no such run, the run was canceled, no
    /// outcome of this attempt is awaited (it was reported already), or the outcome belongs to
    /// another kind of step.
    pub fn report(
        &mut self,
        run: &RunId,
        attempt: u32,
        outcome: StepOutcome,
        now: DateTime<Utc>,
    ) -> Result<(), CycleError> {
        let step = self.awaited(run, attempt)?;
        let kind = step.kind();
        if outcome.kind().is_some_and(|other| other != kind) {
            return Err(CycleError::mismatch(run.clone(), kind));
        }
        self.release(run);
        // The kinds are the same, as was asked above.
        match (step, outcome) {
            (_, StepOutcome::Interrupted(interrupt)) => self.interrupted(run, interrupt, now),
            (_, StepOutcome::Failed(failure)) => self.failed(run, failure, now),
            (_, StepOutcome::Plan(outcome)) => self.planned(run, outcome, now),
            (_, StepOutcome::Scan(outcome)) => self.scanned(run, outcome, now),
            (Step::Patch(step), StepOutcome::Patch(outcome)) => {
                self.patched(run, step, outcome, now);
            }
            (Step::Verify(step), StepOutcome::Verify(outcome)) => {
                self.verified(run, step, outcome, now);
            }
            (Step::Test(step), StepOutcome::Test(outcome)) => {
                self.tested(run, step, outcome, now);
            }
            (Step::Copy(step), StepOutcome::Copy(outcome)) => {
                self.copied(run, step, outcome, now);
            }
            (_, StepOutcome::Attest(_)) => self.attested(run, now),
            (_, StepOutcome::Sign(SignOutcome::Signed)) => self.signed(run, now),
            (Step::Publish(step), StepOutcome::Publish(outcome)) => {
                self.published(run, step, outcome, now);
            }
            (
                _,
                StepOutcome::Patch(_)
                | StepOutcome::Verify(_)
                | StepOutcome::Test(_)
                | StepOutcome::Copy(_)
                | StepOutcome::Publish(_),
            ) => self.broken(run, "the outcome of another step", now),
        }
        self.settle(run, now);
        Ok(())
    }

    fn copied(&mut self, id: &RunId, step: CopyStep, outcome: CopyOutcome, now: DateTime<Utc>) {
        let CopyOutcome::Copied(copied) = outcome;
        match &step.content {
            // What was verified goes on, and nothing else.
            CopyContent::Manifest(verified) => {
                let verified = verified.clone();
                self.candidate_copied(id, step, verified, now);
            }
            CopyContent::Index { original, .. } => {
                let original = original.clone();
                self.index_copied(id, step, (original, copied), now);
            }
        }
    }

    fn attested(&mut self, id: &RunId, now: DateTime<Utc>) {
        let run = self.runs.get(id);
        if run.is_some_and(|run| run.publishing.is_some()) {
            self.sign_or_publish(id, now);
        } else {
            self.candidate_is_ready(id, now);
        }
    }

    /// The step of a run whose attempt `attempt` is being done.
    fn awaited(&self, run: &RunId, attempt: u32) -> Result<Step, CycleError> {
        let known = self
            .run(run)
            .ok_or_else(|| CycleError::unknown_run(run.clone()))?;
        if known.status == Status::Canceled {
            return Err(CycleError::canceled(run.clone()));
        }
        known
            .progress
            .as_ref()
            .filter(|progress| {
                progress.activity == Activity::InFlight && progress.attempt == attempt
            })
            .map(|progress| progress.step.clone())
            .ok_or_else(|| CycleError::not_awaited(run.clone(), attempt))
    }

    fn interrupted(&mut self, id: &RunId, interrupt: Interrupt, now: DateTime<Utc>) {
        match interrupt {
            Interrupt::Stopped => {
                if let Some(progress) = self.progress_mut(id) {
                    progress.activity = Activity::Ready;
                }
            }
            Interrupt::Canceled => {
                if let Some(run) = self.runs.get_mut(id) {
                    run.cancel(now);
                }
            }
            Interrupt::Overdue => {
                let seconds = self.record.options.step_limit_seconds;
                let message = format!("the step took longer than {seconds} s and was ended");
                self.failed(id, StepFailure::transient(message), now);
            }
        }
    }

    fn failed(&mut self, id: &RunId, failure: StepFailure, now: DateTime<Utc>) {
        let options = &self.record.options;
        let attempts = options.settings.effective_attempts().get();
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let Some(progress) = run.progress.as_mut() else {
            return;
        };
        if failure.kind == FailureKind::Lost {
            run.lost = run.lost.saturating_add(1);
            let is_last = run.lost >= attempts;
            // Only what is in the relay can be lost: no tag was written.
            if is_last || run.publishing.is_some() || !self.patch_again(id) {
                self.give_up(id, Reason::Failed(failure), now);
            }
            return;
        }
        progress.failures = progress.failures.saturating_add(1);
        let failures = progress.failures;
        let is_last = failures >= attempts;
        if failure.is_transient() && !is_last {
            let is_last_next = failures.saturating_add(1) >= attempts;
            if let Step::Plan(step) = &mut progress.step {
                step.leave_out_unavailable = is_last_next;
            }
            progress.activity = Activity::WaitingUntil(later(now, options.pause()));
            run.reason = Some(Reason::Failed(failure));
        } else {
            self.give_up(id, Reason::Failed(failure), now);
        }
    }
}
