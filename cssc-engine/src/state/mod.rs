//! What workflows have done: cycles, runs and logs, and who runs them.
//!
//! Everything else depends on [`State`] alone. [`SqliteState`] keeps it in a file, survives being
//! killed at any instant and may be shared by processes; [`MemoryState`] keeps it in this process
//! and is gone with it. Both pass the same tests, which a third implementation should as well.

mod default_path;
mod error;
mod log;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
mod temporary_folder;

use std::any::Any;
use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use cssc_core::Cycle;
use cssc_core::cycle::{CycleId, CycleReport, RecordChange, Run, RunId, Status, Task};

pub use default_path::default_path;
pub use error::{StateError, StateErrorKind};
pub use log::RunLog;
pub use memory::MemoryState;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteState;
pub(crate) use temporary_folder::abandoned_folders;

/// A workflow in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkflowId(pub(crate) i64);

/// What the state knows of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWorkflow {
    /// Names it in further calls.
    pub id: WorkflowId,
    /// What it was added under: the [key](cssc_core::Registry::key) of its registry.
    pub key: String,
    /// Up to when runs of its schedule were begun or are known to be none.
    pub checkpoint: DateTime<Utc>,
}

/// What is asked of a cycle without reading its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CycleState {
    /// Its name.
    pub id: CycleId,
    /// Whether nothing more will happen in it.
    pub has_ended: bool,
    /// When somebody asked to cancel it.
    pub cancel_requested: Option<DateTime<Utc>>,
}

/// What a request to cancel met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CancelRequest {
    /// The cycle that goes on, which whoever runs it is asked to cancel.
    pub running: Option<CycleId>,
    /// How many cycles were queued, and are no more.
    pub queued: usize,
}

/// Which runs of a workflow to list; all of them by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunFilter {
    /// Only those of this task.
    pub task: Option<Task>,
    /// Only those with this status.
    pub status: Option<Status>,
    /// At most so many, the newest.
    pub top: Option<u32>,
}

/// That its owner alone runs a workflow, until it is dropped or the process dies.
pub struct WorkflowLock(#[expect(dead_code, reason = "held, and never read")] Box<dyn Any + Send>);

impl WorkflowLock {
    /// A lock that is given back when `guard` is dropped.
    pub fn new(guard: impl Any + Send) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for WorkflowLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkflowLock")
    }
}

/// Where workflows, cycles, runs and logs are kept.
///
/// Implementers: calls block, and come from many threads at once. Each changes everything it
/// should or nothing, and what it has changed is seen by every later call, of whichever thread or
/// process. Times are given in and kept at least to the millisecond; the clock may go back, so
/// what is newest is told by the order of calls and not by times. Identifiers of deleted
/// workflows are not used again.
///
/// # Errors
///
/// Every call fails when the state cannot be read or, where it changes something, written. One
/// that changes or locks a workflow, cycle or run fails when that is not there
/// ([`StateError::is_gone`]); one that reads, removes or cancels finds nothing then. What else
/// makes one fail is told there.
#[expect(clippy::missing_errors_doc, reason = "said once, for all of them")]
pub trait State: Send + Sync {
    /// The workflow with this key, which is added if it is not there.
    fn add_workflow(&self, key: &str, now: DateTime<Utc>) -> Result<StoredWorkflow, StateError>;

    /// The workflow with this key.
    fn workflow(&self, key: &str) -> Result<Option<StoredWorkflow>, StateError>;

    /// All workflows, by key.
    fn workflows(&self) -> Result<Vec<StoredWorkflow>, StateError>;

    /// Sets the checkpoint of a workflow's schedule.
    fn set_checkpoint(&self, workflow: WorkflowId, at: DateTime<Utc>) -> Result<(), StateError>;

    /// Removes a workflow with its cycles, runs, logs and queue; whether it was there.
    fn delete_workflow(&self, workflow: WorkflowId) -> Result<bool, StateError>;

    /// Takes the workflow for the caller alone.
    ///
    /// Fails also when another process, or another part of this one, has it
    /// ([`StateError::is_held`]).
    fn lock(&self, workflow: WorkflowId, now: DateTime<Utc>) -> Result<WorkflowLock, StateError>;

    /// Who holds the lock of a workflow, in words; none when nobody does.
    fn holder(&self, workflow: WorkflowId) -> Result<Option<String>, StateError>;

    /// Stores a new cycle of a workflow, which is its current one from now on. Fails also when a
    /// cycle with its identifier was begun before, in whichever workflow.
    fn begin_cycle(&self, workflow: WorkflowId, cycle: &mut Cycle) -> Result<(), StateError>;

    /// Records what has changed in a cycle that was begun here.
    fn record(&self, changes: &[RecordChange]) -> Result<(), StateError>;

    /// A cycle with its runs, exactly as it was recorded.
    fn cycle(&self, id: CycleId) -> Result<Option<Cycle>, StateError>;

    /// Keeps the report of a cycle that has ended, in place of one that was kept before.
    fn keep_report(&self, report: &CycleReport) -> Result<(), StateError>;

    /// The report of a cycle; none before one was kept.
    fn report(&self, id: CycleId) -> Result<Option<CycleReport>, StateError>;

    /// The cycle of a workflow that began last, whether it goes on or has ended.
    fn current_cycle(&self, workflow: WorkflowId) -> Result<Option<CycleState>, StateError>;

    /// The newest cycles of a workflow, at most `top`, the newest first.
    fn cycles(&self, workflow: WorkflowId, top: u32) -> Result<Vec<CycleState>, StateError>;

    /// Asks whoever runs the current cycle to cancel it, and empties the queue.
    fn request_cancel(
        &self,
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<CancelRequest, StateError>;

    /// Whether somebody asked to cancel a cycle, or deleted its workflow; cheap, to be asked
    /// often.
    fn is_cancel_requested(&self, cycle: CycleId) -> Result<bool, StateError>;

    /// The runs of a workflow, the newest first.
    fn runs(&self, workflow: WorkflowId, filter: &RunFilter) -> Result<Vec<Run>, StateError>;

    /// A run.
    fn run(&self, run: &RunId) -> Result<Option<Run>, StateError>;

    /// Appends text to the log of a run.
    fn append_log(&self, run: &RunId, text: &str) -> Result<(), StateError>;

    /// The log of a run from `offset`, in bytes, on; none when there is no such run.
    ///
    /// To follow a log, ask again with the offset increased by the length of the answer.
    fn log(&self, run: &RunId, offset: usize) -> Result<Option<String>, StateError>;

    /// Asks for a cycle as soon as whoever serves the workflow can run one.
    fn enqueue(&self, workflow: WorkflowId, now: DateTime<Utc>) -> Result<(), StateError>;

    /// When the cycles that are queued were asked for, the first first.
    fn queued(&self, workflow: WorkflowId) -> Result<Vec<DateTime<Utc>>, StateError>;

    /// Empties the queue: when the first was asked for, if any was. One cycle answers all that
    /// came before it.
    fn take_queued(&self, workflow: WorkflowId) -> Result<Option<DateTime<Utc>>, StateError>;

    /// Removes the oldest cycles of a workflow, with their runs and logs, as long as at least
    /// `keep` runs are left. A cycle is removed as a whole, and the current one never. How many
    /// runs were removed.
    fn prune(&self, workflow: WorkflowId, keep: u32) -> Result<usize, StateError>;

    /// Where files of runs are kept while a cycle goes on: a folder for this state alone, which need
    /// not be there.
    fn work_folder(&self) -> Result<PathBuf, StateError>;
}

impl dyn State + '_ {
    /// A log that writes the lines of a tool to a run, some at a time.
    pub fn run_log(&self, run: &RunId) -> RunLog<'_> {
        RunLog::new(self, run.clone())
    }
}
