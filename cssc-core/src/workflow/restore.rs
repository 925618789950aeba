//! Cycles out of what was stored of them, and after a crash.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::cycle::Cycle;
use super::error::CycleError;
use super::id::{RunId, Task};
use super::reason::Reason;
use super::record::CycleRecord;
use super::run::{Activity, Run};
use super::step::check_stored;

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct CycleDocument {
    cycle: CycleRecord,
    runs: Vec<Run>,
}

impl From<Cycle> for CycleDocument {
    fn from(cycle: Cycle) -> Self {
        Self {
            cycle: cycle.record,
            runs: cycle.runs.into_values().collect(),
        }
    }
}

impl TryFrom<CycleDocument> for Cycle {
    type Error = CycleError;

    fn try_from(document: CycleDocument) -> Result<Self, CycleError> {
        Self::restore(document.cycle, document.runs)
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
    /// no trigger run; a patch run without its scan run; a run that has ended and is at a step, or
    /// the other way round.
    pub fn restore(
        record: CycleRecord,
        runs: impl IntoIterator<Item = Run>,
    ) -> Result<Self, CycleError> {
        let mut cycle = Self::of(record);
        let mut by_number = BTreeMap::new();
        for run in runs {
            let id = run.id;
            if id.cycle() != cycle.record.id {
                return Err(CycleError::stored(format!("the run `{id}` is of another")));
            }
            if by_number.insert(id.number(), run).is_some() {
                return Err(CycleError::stored(format!("the run `{id}` stands twice")));
            }
        }
        if !by_number.contains_key(&1) {
            return Err(CycleError::stored("its trigger run is missing"));
        }
        for run in by_number.into_values() {
            check_stored(&run)?;
            let id = run.id;
            let before = match (id.task(), id.image()) {
                (Task::Scan, Some(image)) => {
                    image.checked_sub(1).map(|i| RunId::scan(id.cycle(), i))
                }
                (Task::Patch, Some(image)) => Some(RunId::scan(id.cycle(), image)),
                _ => None,
            };
            if before.is_some_and(|before| !cycle.runs.contains_key(&before.number())) {
                return Err(CycleError::stored(format!(
                    "a run before the run `{id}` is missing"
                )));
            }
            cycle.add(run);
        }
        let has_ended = cycle.record.status.is_final();
        if has_ended != (cycle.open == 0) {
            return Err(CycleError::stored("its status is not that of its runs"));
        }
        cycle.changed.clear();
        Ok(cycle)
    }

    /// Says that whoever held steps in hand is gone: they are to be done again.
    ///
    /// Each counts as an interruption of its step, not as a failure; a step that was interrupted
    /// [too often](crate::CycleOptions::interruptions) has failed.
    pub fn recover(&mut self, now: DateTime<Utc>) {
        let lost: Vec<u64> = self
            .runs
            .iter()
            .filter(|(_, run)| {
                let progress = run.progress.as_ref();
                progress.is_some_and(|progress| progress.activity == Activity::InFlight)
            })
            .map(|(&number, _)| number)
            .collect();
        let limit = self.record.options.interruptions;
        for number in lost {
            self.release(number);
            let Some(progress) = self.progress_mut(number) else {
                continue;
            };
            progress.interruptions = progress.interruptions.saturating_add(1);
            let times = progress.interruptions;
            if times > limit {
                self.give_up(number, Reason::Interrupted(times), now);
            } else {
                progress.activity = Activity::Ready;
            }
            self.settle(number, now);
        }
    }
}
