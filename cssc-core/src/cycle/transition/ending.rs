//! How a run ends that cannot go on.

use chrono::{DateTime, Utc};

use crate::cycle::failure::StepFailure;
use crate::cycle::id::RunId;
use crate::cycle::machine::Cycle;
use crate::cycle::reason::Reason;
use crate::cycle::status::Status;

impl Cycle {
    /// Ends what cannot go on: a publication, after which the next image of the group has its turn,
    /// or else the run.
    pub(in crate::cycle) fn give_up(&mut self, id: &RunId, reason: Reason, now: DateTime<Utc>) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        if run.publishing.is_some() {
            self.publication_ended(id, Some(reason), now);
        } else {
            run.end(Status::Failed, Some(reason), now);
        }
    }

    /// Makes a new candidate in place of one that is lost, which counts as a failure of the patch.
    /// Whether there is a patch to be made again.
    pub(super) fn patch_again(&mut self, id: &RunId) -> bool {
        let (Some(leader), Some(plan)) = (id.image(), &self.plan) else {
            return false;
        };
        let platforms = plan.image(leader).map_or(0, |image| image.platforms.len());
        let index =
            (0..platforms).find(|index| plan.patch_run(self.record.id, leader, *index) == *id);
        let step = index.and_then(|index| self.patch_step(leader, index));
        let (Some(step), Some(run)) = (step, self.runs.get_mut(id)) else {
            return false;
        };
        (run.made, run.verified, run.tested) = (None, None, None);
        run.enter(step);
        if let Some(progress) = &mut run.progress {
            progress.failures = run.lost;
        }
        true
    }

    /// Fails a run for what cannot be: a defect of this program, which must not look like a run that
    /// is still being done.
    pub(super) fn broken(&mut self, id: &RunId, what: &str, now: DateTime<Utc>) {
        debug_assert!(false, "{id}: {what}");
        let failure = StepFailure::permanent(format!("a defect of this program: {what}"));
        if let Some(run) = self.runs.get_mut(id) {
            run.publishing = None;
            run.end(Status::Failed, Some(Reason::Failed(failure)), now);
        }
    }
}
