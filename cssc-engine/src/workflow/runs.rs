//! What has been done for a workflow, and what is to be done next.

use chrono::{DateTime, Utc};
use cssc_core::cycle::{CycleFigures, CycleId, CycleReport};
use cssc_core::{Cycle, Registry};

use super::WorkflowError;
use crate::records::SHOWN_EARLIER;
use crate::state::{State, StateError, WorkflowId};

/// What a cancellation came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cancellation {
    /// How many cycles were queued, and are no more.
    pub queued: usize,
    /// What became of the cycle that goes on, if one does.
    pub running: Option<CanceledCycle>,
}

/// What became of a cycle that was to be canceled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanceledCycle {
    /// Whoever runs it was asked, and cancels within a second.
    Requested,
    /// Nobody was running it, and so many of its runs are canceled now.
    Canceled(usize),
}

/// Cancels what is queued or running in the current cycle of the workflow kept under `key`,
/// whoever runs it. The next scheduled cycle is not affected.
///
/// # Errors
///
/// Fails when the state cannot be read or written.
pub fn cancel(
    state: &dyn State,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Cancellation, WorkflowError> {
    let Some(known) = state.workflow(key)? else {
        return Ok(Cancellation::default());
    };
    let asked = state.request_cancel(known.id, now)?;
    let queued = asked.queued;
    let Some(id) = asked.running else {
        let running = None;
        return Ok(Cancellation { queued, running });
    };
    // Of a runner that was killed nobody will do it.
    let running = match state.lock(known.id, now) {
        Ok(_lock) => {
            match state.cycle(id)? {
                Some(mut cycle) if !cycle.has_ended() => {
                    let canceled = cycle.cancel(now);
                    state.record(&cycle.take_changes())?;
                    CanceledCycle::Canceled(canceled)
                }
                // Whoever was running it has been faster.
                _ => CanceledCycle::Requested,
            }
        }
        Err(error) if error.is_held() => CanceledCycle::Requested,
        Err(error) => return Err(error.into()),
    };
    let running = Some(running);
    Ok(Cancellation { queued, running })
}

/// Asks for a cycle of the workflow of `host` as soon as whoever serves it can run one.
///
/// # Errors
///
/// Fails when the state file cannot be written.
pub fn enqueue(
    state: &dyn State,
    host: &Registry,
    now: DateTime<Utc>,
) -> Result<(), WorkflowError> {
    let known = state.add_workflow(&host.key(), now)?;
    Ok(state.enqueue(known.id, now)?)
}

/// The report of a cycle, which says since when findings are open as far as earlier cycles of the
/// workflow tell.
///
/// # Errors
///
/// Fails when the state cannot be read.
pub fn report(
    state: &dyn State,
    workflow: WorkflowId,
    cycle: &Cycle,
) -> Result<CycleReport, StateError> {
    let id = cycle.record().id();
    if let Some(kept) = state.report(id)? {
        return Ok(kept);
    }
    let mut report = CycleReport::new(cycle);
    let cycles = state.cycles(workflow, u32::MAX)?.into_iter();
    let earlier = cycles.skip_while(|cycle| cycle.id != id).skip(1);
    let mut failure = None;
    report.follow(
        earlier
            .map_while(|cycle| state.report(cycle.id).map_err(|e| failure = Some(e)).ok())
            .flatten(),
    );
    match failure {
        Some(error) => Err(error),
        None => Ok(report),
    }
}

/// The cycles of a workflow before this one in numbers, the newest first: as many as are shown.
///
/// # Errors
///
/// Fails when the state cannot be read.
pub fn earlier(
    state: &dyn State,
    workflow: WorkflowId,
    cycle: CycleId,
) -> Result<Vec<CycleFigures>, StateError> {
    let cycles = state.cycles(workflow, u32::MAX)?.into_iter();
    let earlier = cycles.skip_while(|known| known.id != cycle).skip(1);
    let reports = earlier.filter_map(|known| state.report(known.id).transpose());
    let figures = reports.map(|report| report.map(|report| report.figures()));
    figures.take(SHOWN_EARLIER).collect()
}

/// The cycle with this name of the workflow kept under `key`, or else the current one.
///
/// # Errors
///
/// Fails when the state cannot be read.
pub fn cycle(
    state: &dyn State,
    key: &str,
    id: Option<CycleId>,
) -> Result<Option<Cycle>, WorkflowError> {
    let Some(known) = state.workflow(key)? else {
        return Ok(None);
    };
    // Other workflows may be kept there, too.
    let known = state.cycles(known.id, if id.is_some() { u32::MAX } else { 1 })?;
    let known = known
        .into_iter()
        .find(|cycle| id.is_none_or(|id| cycle.id == id));
    Ok(match known {
        Some(known) => state.cycle(known.id)?,
        None => None,
    })
}
