//! Cycles out of what was stored of them, and after a crash.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::error::CycleError;
use super::id::{RunId, Task};
use super::machine::Cycle;
use super::plan::CyclePlan;
use super::reason::Reason;
use super::record::CycleRecord;
use super::run::{Activity, Run};
use super::step::{CopyContent, Step};

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredCycle {
    cycle: CycleRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<CyclePlan>,
    runs: Vec<Run>,
}

impl From<Cycle> for StoredCycle {
    fn from(cycle: Cycle) -> Self {
        Self {
            cycle: cycle.record,
            plan: cycle.plan,
            runs: cycle.runs.into_values().collect(),
        }
    }
}

impl TryFrom<StoredCycle> for Cycle {
    type Error = CycleError;

    fn try_from(document: StoredCycle) -> Result<Self, CycleError> {
        Self::restore(document.cycle, document.plan, document.runs)
    }
}

impl Cycle {
    /// The cycle that these records were stored of, runs in any order.
    ///
    /// It stands exactly as it stood. To go on with it after a crash, [recover](Self::recover);
    /// to show it, do not.
    ///
    /// # Errors
    ///
    /// Fails when the records do not make up a cycle: a run of another cycle, or standing twice;
    /// no trigger run; a run that the plan has no place for, or a scan run of it that is missing; a
    /// run that has ended and is at a step, or the other way round; a run that publishes something
    /// else than its step says.
    pub fn restore(
        record: CycleRecord,
        plan: Option<CyclePlan>,
        runs: impl IntoIterator<Item = Run>,
    ) -> Result<Self, CycleError> {
        let mut cycle = Self::of(record);
        if let Some(plan) = plan {
            cycle.set_plan(plan);
        }
        let mut by_id = BTreeMap::new();
        for run in runs {
            let id = run.id.clone();
            if id.cycle() != cycle.record.id {
                return Err(CycleError::stored(format!("the run `{id}` is of another")));
            }
            if let Some(twice) = by_id.insert(id, run) {
                return Err(CycleError::stored(format!(
                    "the run `{}` is stored twice",
                    twice.id
                )));
            }
        }
        if !by_id.contains_key(&RunId::trigger(cycle.record.id)) {
            return Err(CycleError::stored("its trigger run is missing"));
        }
        for run in by_id.into_values() {
            check_stored(&run)?;
            if !cycle.has_place_for(&run.id) {
                let message = format!("the plan has no place for the run `{}`", run.id);
                return Err(CycleError::stored(message));
            }
            cycle.add(run);
        }
        if let Some(missing) = cycle.missing_scan() {
            return Err(CycleError::stored(format!(
                "the run `{missing}` is missing"
            )));
        }
        cycle.count_all();
        let has_ended = cycle.record.status.is_final();
        if has_ended != (cycle.open == 0) {
            return Err(CycleError::stored("its status is not that of its runs"));
        }
        cycle.changed.clear();
        cycle.plan_changed = false;
        Ok(cycle)
    }

    /// Whether the plan asks for a run of this name, or may come to do so.
    fn has_place_for(&self, id: &RunId) -> bool {
        let Some(index) = id.image() else { return true };
        let Some(plan) = &self.plan else { return false };
        let places = plan.image(index).map_or(0, |image| image.platforms.len());
        let cycle = self.record.id;
        match id.task() {
            Task::Trigger => false,
            Task::Scan => (0..places).any(|place| plan.scan_run(cycle, index, place) == *id),
            Task::Patch => {
                plan.publishing_run(cycle, index) == *id
                    || (0..places).any(|place| plan.patch_run(cycle, index, place) == *id)
            }
        }
    }

    /// A scan run that the plan asks for and that is not there.
    fn missing_scan(&self) -> Option<RunId> {
        let plan = self.plan.as_ref()?;
        let mut runs = plan.here().flat_map(|(index, image)| {
            let places = 0..image.platforms.len();
            places.map(move |place| plan.scan_run(self.record.id, index, place))
        });
        runs.find(|run| !self.runs.contains_key(run))
    }

    /// Says that whoever was performing steps is gone: they are to be done again.
    ///
    /// Each counts as an interruption of its step, not as a failure; a step that was interrupted
    /// [too often](crate::cycle::CycleOptions::interruptions) has failed.
    pub fn recover(&mut self, now: DateTime<Utc>) {
        let lost = self.ids(|run| {
            let progress = run.progress.as_ref();
            progress.is_some_and(|progress| progress.activity == Activity::InFlight)
        });
        let limit = self.record.options.interruptions;
        for id in lost {
            self.release(&id);
            let Some(progress) = self.progress_mut(&id) else {
                continue;
            };
            progress.interruptions = progress.interruptions.saturating_add(1);
            let times = progress.interruptions;
            if times > limit {
                self.give_up(&id, Reason::Interrupted(times), now);
            } else {
                progress.activity = Activity::Ready;
            }
            self.settle(&id, now);
        }
    }
}

fn check_stored(run: &Run) -> Result<(), CycleError> {
    let id = &run.id;
    let Some(progress) = &run.progress else {
        return if run.status.is_final() {
            Ok(())
        } else {
            Err(CycleError::stored(format!("the run `{id}` is at no step")))
        };
    };
    let kind = progress.step.kind();
    let has_image = id.task() == Task::Trigger || run.image.is_some();
    let is_complete = has_image && is_publishing_as_its_step_says(run, &progress.step);
    if !run.status.is_final() && kind.task() == id.task() && is_complete {
        Ok(())
    } else {
        Err(CycleError::stored(format!(
            "the run `{id}` cannot be at its step `{kind}`"
        )))
    }
}

/// Whether a run that is at a step of a publication knows which, and with the digest of the step.
fn is_publishing_as_its_step_says(run: &Run, step: &Step) -> bool {
    let digest = run.publishing.as_ref().map(|one| one.digest.as_ref());
    match step {
        Step::Publish(step) => digest == Some(Some(&step.digest)),
        Step::Sign(step) => digest == Some(Some(&step.digest)),
        Step::Copy(step) => match step.content {
            CopyContent::Index { .. } => digest == Some(None),
            CopyContent::Manifest(_) => digest.is_none() && run.made.is_some(),
        },
        Step::Attest(step) => match step.platform {
            None => digest == Some(Some(&step.subject)),
            Some(_) => digest.is_none() && run.made.is_some(),
        },
        Step::Verify(_) | Step::Test(_) => digest.is_none() && run.made.is_some(),
        Step::Patch(_) | Step::Scan(_) | Step::Plan(_) => digest.is_none(),
    }
}
