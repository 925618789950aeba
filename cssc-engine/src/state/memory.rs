//! State in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use cssc_core::Cycle;
use cssc_core::cycle::{CycleId, CyclePlan, CycleRecord, CycleReport, RecordChange, Run, RunId};
use cssc_core::schedule::rfc3339;

use super::temporary_folder::TemporaryFolder;
use super::{
    CancelRequest, CycleState, RunFilter, State, StateError, StoredWorkflow, WorkflowId,
    WorkflowLock,
};

/// State that is kept in this process and gone with it: for tests, and for those who run a cycle
/// at a time and keep its record elsewhere.
///
/// ```
/// use cssc_engine::state::{MemoryState, State};
///
/// let state = MemoryState::default();
/// let now = "2024-01-03T09:30:00Z".parse()?;
/// let workflow = state.add_workflow("localhost:5000", now)?;
/// assert_eq!(state.current_cycle(workflow.id)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryState {
    kept: Mutex<Kept>,
    /// Made when it is needed.
    folder: OnceLock<io::Result<TemporaryFolder>>,
}

#[derive(Debug, Default)]
struct Kept {
    workflows: BTreeMap<WorkflowId, Workflow>,
    /// Identifiers of deleted workflows are not used again.
    last: i64,
}

#[derive(Debug)]
struct Workflow {
    stored: StoredWorkflow,
    /// Whoever has the lock keeps the other half alive.
    holder: Option<(Arc<()>, String)>,
    /// In the order they were begun.
    cycles: Vec<KeptCycle>,
    queue: Vec<DateTime<Utc>>,
}

#[derive(Debug)]
struct KeptCycle {
    record: CycleRecord,
    plan: Option<CyclePlan>,
    report: Option<CycleReport>,
    runs: BTreeMap<RunId, Run>,
    logs: BTreeMap<RunId, String>,
    cancel_requested: Option<DateTime<Utc>>,
}

impl KeptCycle {
    fn state(&self) -> CycleState {
        CycleState {
            id: self.record.id(),
            has_ended: self.record.status().is_final(),
            cancel_requested: self.cancel_requested,
        }
    }
}

impl Workflow {
    fn holder(&self) -> Option<&str> {
        self.holder
            .as_ref()
            .filter(|(guard, _)| Arc::strong_count(guard) > 1)
            .map(|(_, holder)| holder.as_str())
    }

    fn apply(&mut self, place: usize, change: &RecordChange) {
        let Some(cycle) = self.cycles.get_mut(place) else {
            return;
        };
        match change {
            RecordChange::Cycle(record) => cycle.record = record.clone(),
            RecordChange::Plan { plan, .. } => cycle.plan = Some((**plan).clone()),
            RecordChange::Run(run) => {
                cycle.runs.insert(run.id().clone(), (**run).clone());
            }
        }
    }
}

impl Kept {
    fn workflow_mut(&mut self, id: WorkflowId) -> Result<&mut Workflow, StateError> {
        self.workflows.get_mut(&id).ok_or_else(StateError::gone)
    }

    fn cycle(&self, id: CycleId) -> Option<&KeptCycle> {
        let mut cycles = self.workflows.values().flat_map(|kept| &kept.cycles);
        cycles.find(|cycle| cycle.record.id() == id)
    }

    /// The workflow of a cycle, and which of its cycles that is.
    fn place(&mut self, id: CycleId) -> Result<(&mut Workflow, usize), StateError> {
        self.workflows
            .values_mut()
            .find_map(|workflow| {
                let mut cycles = workflow.cycles.iter();
                let place = cycles.position(|cycle| cycle.record.id() == id)?;
                Some((workflow, place))
            })
            .ok_or_else(StateError::gone)
    }
}

impl MemoryState {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State for MemoryState {
    fn add_workflow(&self, key: &str, now: DateTime<Utc>) -> Result<StoredWorkflow, StateError> {
        if let Some(workflow) = self.workflow(key)? {
            return Ok(workflow);
        }
        let mut kept = self.kept();
        kept.last = kept.last.saturating_add(1);
        let stored = StoredWorkflow {
            id: WorkflowId(kept.last),
            key: key.to_owned(),
            checkpoint: now,
        };
        let workflow = Workflow {
            stored: stored.clone(),
            holder: None,
            cycles: Vec::new(),
            queue: Vec::new(),
        };
        kept.workflows.insert(stored.id, workflow);
        Ok(stored)
    }

    fn workflow(&self, key: &str) -> Result<Option<StoredWorkflow>, StateError> {
        Ok(self
            .workflows()?
            .into_iter()
            .find(|stored| stored.key == key))
    }

    fn workflows(&self) -> Result<Vec<StoredWorkflow>, StateError> {
        let kept = self.kept();
        let mut stored: Vec<_> = kept
            .workflows
            .values()
            .map(|workflow| workflow.stored.clone())
            .collect();
        stored.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(stored)
    }

    fn set_checkpoint(&self, workflow: WorkflowId, at: DateTime<Utc>) -> Result<(), StateError> {
        self.kept().workflow_mut(workflow)?.stored.checkpoint = at;
        Ok(())
    }

    fn delete_workflow(&self, workflow: WorkflowId) -> Result<bool, StateError> {
        Ok(self.kept().workflows.remove(&workflow).is_some())
    }

    fn lock(&self, workflow: WorkflowId, now: DateTime<Utc>) -> Result<WorkflowLock, StateError> {
        let mut kept = self.kept();
        let workflow = kept.workflow_mut(workflow)?;
        if let Some(holder) = workflow.holder() {
            let key = workflow.stored.key.clone();
            return Err(StateError::held(key, holder.to_owned()));
        }
        let since = rfc3339(now);
        let guard = Arc::new(());
        let holder = format!("process {} since {since}", std::process::id());
        workflow.holder = Some((Arc::clone(&guard), holder));
        Ok(WorkflowLock::new(guard))
    }

    fn holder(&self, workflow: WorkflowId) -> Result<Option<String>, StateError> {
        let kept = self.kept();
        let workflow = kept.workflows.get(&workflow);
        Ok(workflow.and_then(Workflow::holder).map(str::to_owned))
    }

    fn begin_cycle(&self, workflow: WorkflowId, cycle: &mut Cycle) -> Result<(), StateError> {
        let mut kept = self.kept();
        let id = cycle.record().id();
        if kept.cycle(id).is_some() {
            return Err(StateError::begun(id));
        }
        let workflow = kept.workflow_mut(workflow)?;
        let place = workflow.cycles.len();
        workflow.cycles.push(KeptCycle {
            record: cycle.record().clone(),
            plan: None,
            report: None,
            runs: BTreeMap::new(),
            logs: BTreeMap::new(),
            cancel_requested: None,
        });
        for change in cycle.take_changes() {
            workflow.apply(place, &change);
        }
        Ok(())
    }

    fn record(&self, changes: &[RecordChange]) -> Result<(), StateError> {
        let mut kept = self.kept();
        // All or nothing: first whether all of them are there.
        for cycle in changes
            .iter()
            .map(RecordChange::cycle)
            .collect::<BTreeSet<_>>()
        {
            kept.place(cycle)?;
        }
        for change in changes {
            let (workflow, place) = kept.place(change.cycle())?;
            workflow.apply(place, change);
        }
        Ok(())
    }

    fn cycle(&self, id: CycleId) -> Result<Option<Cycle>, StateError> {
        let kept = self.kept();
        let restored = kept.cycle(id).map(|cycle| {
            let runs = cycle.runs.values().cloned();
            Cycle::restore(cycle.record.clone(), cycle.plan.clone(), runs)
        });
        // What a cycle gave makes up a cycle.
        restored.transpose().map_err(|_| StateError::gone())
    }

    fn keep_report(&self, report: &CycleReport) -> Result<(), StateError> {
        let mut kept = self.kept();
        let (workflow, place) = kept.place(report.cycle())?;
        if let Some(cycle) = workflow.cycles.get_mut(place) {
            cycle.report = Some(report.clone());
        }
        Ok(())
    }

    fn report(&self, id: CycleId) -> Result<Option<CycleReport>, StateError> {
        Ok(self.kept().cycle(id).and_then(|kept| kept.report.clone()))
    }

    fn current_cycle(&self, workflow: WorkflowId) -> Result<Option<CycleState>, StateError> {
        Ok(self.cycles(workflow, 1)?.pop())
    }

    fn cycles(&self, workflow: WorkflowId, top: u32) -> Result<Vec<CycleState>, StateError> {
        let kept = self.kept();
        let top = usize::try_from(top).unwrap_or(usize::MAX);
        let cycles = kept.workflows.get(&workflow).map(|kept| &kept.cycles);
        let newest = cycles.into_iter().flatten().rev().take(top);
        Ok(newest.map(KeptCycle::state).collect())
    }

    fn request_cancel(
        &self,
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<CancelRequest, StateError> {
        let mut kept = self.kept();
        let Some(workflow) = kept.workflows.get_mut(&workflow) else {
            return Ok(CancelRequest::default());
        };
        let queued = std::mem::take(&mut workflow.queue).len();
        let current = workflow.cycles.last_mut();
        let running = current.filter(|cycle| !cycle.state().has_ended);
        Ok(CancelRequest {
            running: running.map(|cycle| {
                cycle.cancel_requested.get_or_insert(now);
                cycle.record.id()
            }),
            queued,
        })
    }

    fn is_cancel_requested(&self, cycle: CycleId) -> Result<bool, StateError> {
        let kept = self.kept();
        let cycle = kept.cycle(cycle);
        Ok(cycle.is_none_or(|cycle| cycle.cancel_requested.is_some()))
    }

    fn runs(&self, workflow: WorkflowId, filter: &RunFilter) -> Result<Vec<Run>, StateError> {
        let kept = self.kept();
        let cycles = kept.workflows.get(&workflow).map(|kept| &kept.cycles);
        let selected = |run: &&Run| {
            filter.task.is_none_or(|task| run.task() == task)
                && filter.status.is_none_or(|status| run.status() == status)
        };
        let mut runs: Vec<(usize, &Run)> = cycles
            .into_iter()
            .flatten()
            .enumerate()
            .flat_map(|(place, cycle)| cycle.runs.values().map(move |run| (place, run)))
            .filter(|(_, run)| selected(run))
            .collect();
        runs.sort_by_key(|(place, run)| (run.created(), *place, run.id()));
        let top = filter
            .top
            .map_or(usize::MAX, |top| usize::try_from(top).unwrap_or(usize::MAX));
        let newest = runs.into_iter().rev().take(top);
        Ok(newest.map(|(_, run)| run.clone()).collect())
    }

    fn run(&self, run: &RunId) -> Result<Option<Run>, StateError> {
        let kept = self.kept();
        let cycle = kept.cycle(run.cycle());
        Ok(cycle.and_then(|cycle| cycle.runs.get(run)).cloned())
    }

    fn append_log(&self, run: &RunId, text: &str) -> Result<(), StateError> {
        let mut kept = self.kept();
        let (workflow, place) = kept.place(run.cycle())?;
        let cycle = workflow.cycles.get_mut(place);
        let cycle = cycle.filter(|cycle| cycle.runs.contains_key(run));
        let cycle = cycle.ok_or_else(StateError::gone)?;
        cycle.logs.entry(run.clone()).or_default().push_str(text);
        Ok(())
    }

    fn log(&self, run: &RunId, offset: usize) -> Result<Option<String>, StateError> {
        let kept = self.kept();
        let cycle = kept.cycle(run.cycle());
        let Some(cycle) = cycle.filter(|cycle| cycle.runs.contains_key(run)) else {
            return Ok(None);
        };
        let log = cycle.logs.get(run).map_or("", String::as_str);
        Ok(Some(log.get(offset..).unwrap_or_default().to_owned()))
    }

    fn enqueue(&self, workflow: WorkflowId, now: DateTime<Utc>) -> Result<(), StateError> {
        self.kept().workflow_mut(workflow)?.queue.push(now);
        Ok(())
    }

    fn queued(&self, workflow: WorkflowId) -> Result<Vec<DateTime<Utc>>, StateError> {
        let kept = self.kept();
        let workflow = kept.workflows.get(&workflow);
        Ok(workflow.map(|kept| kept.queue.clone()).unwrap_or_default())
    }

    fn take_queued(&self, workflow: WorkflowId) -> Result<Option<DateTime<Utc>>, StateError> {
        let mut kept = self.kept();
        let queue = kept.workflow_mut(workflow).map(|kept| &mut kept.queue);
        Ok(queue.map_or(None, |queue| std::mem::take(queue).into_iter().next()))
    }

    fn prune(&self, workflow: WorkflowId, keep: u32) -> Result<usize, StateError> {
        let mut kept = self.kept();
        let Some(Workflow { cycles, .. }) = kept.workflows.get_mut(&workflow) else {
            return Ok(0);
        };
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let mut newer: usize = 0;
        let mut oldest = cycles.len().saturating_sub(1);
        for (place, cycle) in cycles.iter().enumerate().rev() {
            oldest = oldest.min(place);
            newer = newer.saturating_add(cycle.runs.len());
            if newer >= keep {
                break;
            }
        }
        let removed = cycles.drain(..oldest);
        Ok(removed.map(|cycle| cycle.runs.len()).sum())
    }

    fn work_folder(&self) -> Result<PathBuf, StateError> {
        match self.folder.get_or_init(TemporaryFolder::create) {
            Ok(folder) => Ok(folder.path().to_owned()),
            Err(error) => Err(StateError::no_folder(&std::env::temp_dir(), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_folder_ends_with_it() {
        let (state, other) = (MemoryState::default(), MemoryState::default());
        let folder = state.work_folder().unwrap();
        assert_ne!(folder, other.work_folder().unwrap());
        std::fs::create_dir_all(folder.join("runs")).unwrap();
        drop(state);
        assert!(!folder.exists());
    }
}
