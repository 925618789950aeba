//! How a run ends: its candidates are cleared away first.

use chrono::{DateTime, Utc};

use crate::cycle::id::{RunId, Task};
use crate::cycle::machine::Cycle;
use crate::cycle::reason::Reason;
use crate::cycle::run::{Decided, Run};
use crate::cycle::status::Status;
use crate::cycle::step::{DiscardOutcome, DiscardStep, Step};

impl Cycle {
    /// Decides how a run ends, and goes on to clear its candidates away.
    pub(super) fn decide(
        &mut self,
        id: &RunId,
        status: Status,
        reason: Option<Reason>,
        now: DateTime<Utc>,
    ) {
        let discard = self.next_discard(id, None);
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        match discard {
            Some(step) => {
                run.enter(step);
                run.decided = Some(Decided { status, reason });
            }
            None => run.end(status, reason, now),
        }
    }

    /// The candidate that a run clears away next: its own or, for a run that publishes an index,
    /// those of the platforms, each once.
    fn next_discard(&self, id: &RunId, after: Option<&RunId>) -> Option<DiscardStep> {
        let own = self.runs.get(id).filter(|run| run.candidate.is_some());
        let run = match own {
            Some(run) => after.is_none().then_some(run)?,
            None => self.runs.values().find(|run| {
                let is_part = run.id.task() == Task::Patch
                    && run.id.image() == id.image()
                    && run.id.platform().is_some();
                is_part && run.candidate.is_some() && after.is_none_or(|after| run.id > *after)
            })?,
        };
        Some(DiscardStep {
            repository: run.image.as_ref()?.repository.clone(),
            candidate: run.candidate.clone()?,
        })
    }

    pub(super) fn discarded(
        &mut self,
        id: &RunId,
        step: &DiscardStep,
        outcome: &DiscardOutcome,
        now: DateTime<Utc>,
    ) {
        let is_its = |run: &&mut Run| {
            run.id.image() == id.image() && run.candidate.as_ref() == Some(&step.candidate)
        };
        let mut cleared = None;
        if let Some(run) = self.runs.values_mut().find(is_its) {
            cleared = Some(run.id.clone());
            if !matches!(outcome, DiscardOutcome::Kept(_)) {
                run.candidate = None;
            }
        }
        if let Some(cleared) = &cleared {
            self.changed.insert(cleared.clone());
        }
        let next = match &cleared {
            Some(cleared) if cleared != id => self.next_discard(id, Some(cleared)),
            _ => None,
        };
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        match (next, run.decided.clone()) {
            (Some(step), Some(decided)) => {
                run.enter(step);
                run.decided = Some(decided);
            }
            _ => run.end_as_decided(now),
        }
    }

    /// Ends what cannot go on; a candidate that may be there is cleared away first.
    pub(in crate::cycle) fn give_up(&mut self, id: &RunId, reason: Reason, now: DateTime<Utc>) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let step = run.progress.as_ref().map(|progress| &progress.step);
        if run.decided.is_some() {
            // The candidate stays behind, and stays recorded.
            run.end_as_decided(now);
        } else if let Some(Step::Publish(_)) = step {
            self.publication_ended(id, None, Some(reason), now);
        } else if run.candidate.is_some() {
            self.decide(id, Status::Failed, Some(reason), now);
        } else {
            run.end(Status::Failed, Some(reason), now);
        }
    }
}
