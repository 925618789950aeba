//! What passes between a cycle and whoever runs it, beside the outcomes of steps.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{CycleId, RunId};
use super::plan::CyclePlan;
use super::record::CycleRecord;
use super::run::Run;
use super::step::Step;

/// What a cycle answers when it is asked for the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NextStep {
    /// Do this and report the outcome.
    Assigned(Box<Assignment>),
    /// Nothing before this time, unless an outcome is reported earlier.
    WaitUntil(DateTime<Utc>),
    /// Nothing until an outcome is reported: all jobs are taken, or all that is left is being
    /// done.
    Idle,
    /// The cycle has ended.
    Done,
}

/// One step of a run, to be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The run it belongs to.
    pub run: RunId,
    /// Which attempt at this step it is, from 1, interrupted ones counted. The outcome is
    /// reported for it.
    pub attempt: u32,
    /// When it must be given up.
    pub deadline: DateTime<Utc>,
    /// What to do.
    #[serde(flatten)]
    pub step: Step,
}

/// Something to store: a record in place of what was stored under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RecordChange {
    /// The cycle itself.
    Cycle(CycleRecord),
    /// Its plan, which is stored once.
    Plan {
        /// The cycle.
        cycle: CycleId,
        /// The plan.
        plan: Box<CyclePlan>,
    },
    /// One of its runs.
    Run(Box<Run>),
}

impl RecordChange {
    /// The cycle that it is a change of.
    pub fn cycle(&self) -> CycleId {
        match self {
            Self::Cycle(record) => record.id(),
            Self::Plan { cycle, .. } => *cycle,
            Self::Run(run) => run.id().cycle(),
        }
    }
}
