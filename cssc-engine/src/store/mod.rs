//! Workflows, cycles, runs and logs, kept in one SQLite file.
//!
//! One process writes at a time, the others wait for it a moment; readers never wait. What a
//! call has recorded is there as a whole, or not at all, whenever the process is killed. (When
//! the power fails the last moments may be missing; the file stays sound.)
//!
//! The state of a cycle is a document and the events since it was written: recording an
//! outcome costs the same in a cycle of ten images and of ten thousand.

mod error;
mod lock;
mod log;
mod place;
mod prune;
mod run;
mod schema;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

pub use error::StoreError;
pub use lock::WorkflowLock;
pub use log::RunLog;
pub use place::default_path;
pub use run::{RunFilter, RunRecord, RunRow};

/// How long a writer waits for another one.
const BUSY: Duration = Duration::from_secs(30);

/// The state of all workflows of a user; shared between threads by reference.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use cssc_engine::store::{Changes, Store};
///
/// let now: DateTime<Utc> = "2024-01-03T09:30:00Z".parse()?;
/// let folder = tempfile::tempdir()?;
/// let store = Store::open(folder.path().join("state.db"))?;
/// let workflow = store.put_workflow("localhost:5000", "{}", now)?;
/// let cycle = store.begin_cycle(workflow, "{}", now, &Changes::default())?;
/// let outcome = Changes { events: &[r#"{"scanned":"python:3.11"}"#], ..Changes::default() };
/// store.record(cycle, &outcome)?;
/// let cycle = store.current_cycle(workflow)?.unwrap();
/// assert_eq!(cycle.events, [r#"{"scanned":"python:3.11"}"#]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// A workflow in the state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkflowId(i64);

/// A cycle in the state file; a later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CycleId(i64);

/// A workflow as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWorkflow {
    /// Names it in further calls.
    pub id: WorkflowId,
    /// What it was stored under.
    pub key: String,
    /// Its JSON document.
    pub document: String,
    /// When it was stored last.
    pub modified: DateTime<Utc>,
}

/// A cycle as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCycle {
    /// Names it in further calls.
    pub id: CycleId,
    /// The JSON document it was stored with last.
    pub document: String,
    /// The events since then, in order.
    pub events: Vec<String>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended, unless it is still going on.
    pub ended: Option<DateTime<Utc>>,
    /// When somebody asked to cancel it.
    pub cancel_requested: Option<DateTime<Utc>>,
}

/// What a step of a cycle has changed; recorded as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes<'a> {
    /// The whole state of the cycle anew: the events before it are not needed any more.
    pub document: Option<&'a str>,
    /// What happened, as JSON, in order; of a call that also brings a document, after it.
    pub events: &'a [&'a str],
    /// The runs that are new or have changed.
    pub runs: &'a [RunRecord<'a>],
    /// When the cycle ended, if it has.
    pub ended: Option<DateTime<Utc>>,
}

impl Store {
    /// Opens the state file, and makes it, with its folder, if it is not there.
    ///
    /// # Errors
    ///
    /// Fails when the path is a folder or cannot be written, when the file is a database of
    /// something else or no database, and when a newer version of this program has written it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        make_private(&path).map_err(|error| StoreError::cannot_open(&path, &error))?;
        let failed = |error| StoreError::sqlite(&path, error);
        let mut connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(64);
        schema::migrate(&mut connection, &path, schema::MIGRATIONS)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON",
            )
            .map_err(failed)?;
        let connection = Mutex::new(connection);
        Ok(Self { path, connection })
    }

    /// Where the state is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores a workflow under a key, in the place of what was there.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn put_workflow(
        &self,
        key: &str,
        document: &str,
        at: DateTime<Utc>,
    ) -> Result<WorkflowId, StoreError> {
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO workflows (key, document, modified) VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET document = ?2, modified = ?3
                     RETURNING id",
                )?
                .query_row(params![key, document, millis(at)], |row| row.get(0))
                .map(WorkflowId)
        })
    }

    /// The workflow that was stored under a key.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn workflow(&self, key: &str) -> Result<Option<StoredWorkflow>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT id, key, document, modified FROM workflows WHERE key = ?1")?
                .query_row([key], stored_workflow)
                .optional()
        })
    }

    /// All workflows, by key.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn workflows(&self) -> Result<Vec<StoredWorkflow>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT id, key, document, modified FROM workflows ORDER BY key")?
                .query_map([], stored_workflow)?
                .collect()
        })
    }

    /// Removes a workflow with its cycles, runs and logs; whether it was there.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn delete_workflow(&self, workflow: WorkflowId) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let deleted =
                transaction.execute("DELETE FROM workflows WHERE id = ?1", [workflow.0])?;
            Ok(deleted != 0)
        })
    }

    /// Begins a cycle, which is the current one from now on, with its first changes.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn begin_cycle(
        &self,
        workflow: WorkflowId,
        document: &str,
        at: DateTime<Utc>,
        changes: &Changes<'_>,
    ) -> Result<CycleId, StoreError> {
        self.write(|transaction| {
            let cycle = transaction
                .prepare_cached(
                    "INSERT INTO cycles (workflow, document, started) VALUES (?1, ?2, ?3)
                     RETURNING id",
                )?
                .query_row(params![workflow.0, document, millis(at)], |row| row.get(0))
                .map(CycleId)?;
            apply(transaction, cycle, changes)?;
            Ok(cycle)
        })
    }

    /// Records what a step of a cycle has changed.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written, and then nothing is recorded.
    pub fn record(&self, cycle: CycleId, changes: &Changes<'_>) -> Result<(), StoreError> {
        self.write(|transaction| apply(transaction, cycle, changes))
    }

    /// The cycle of a workflow that began last, whether it goes on or has ended.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn current_cycle(&self, workflow: WorkflowId) -> Result<Option<StoredCycle>, StoreError> {
        self.read(|connection| {
            let cycle = connection
                .prepare_cached(
                    "SELECT id, document, started, ended, cancel_requested FROM cycles
                     WHERE workflow = ?1 ORDER BY id DESC LIMIT 1",
                )?
                .query_row([workflow.0], stored_cycle)
                .optional()?;
            cycle
                .map(|cycle| with_events(connection, cycle))
                .transpose()
        })
    }

    /// A cycle.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn cycle(&self, cycle: CycleId) -> Result<Option<StoredCycle>, StoreError> {
        self.read(|connection| {
            let cycle = connection
                .prepare_cached(
                    "SELECT id, document, started, ended, cancel_requested FROM cycles
                     WHERE id = ?1",
                )?
                .query_row([cycle.0], stored_cycle)
                .optional()?;
            cycle
                .map(|cycle| with_events(connection, cycle))
                .transpose()
        })
    }

    /// Asks whoever runs the current cycle to cancel it, and forgets the runs that are queued.
    /// The cycle, if one is going on.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn request_cancel(
        &self,
        workflow: WorkflowId,
        at: DateTime<Utc>,
    ) -> Result<Option<CycleId>, StoreError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM queue WHERE workflow = ?1", [workflow.0])?;
            transaction
                .prepare_cached(
                    "UPDATE cycles SET cancel_requested = coalesce(cancel_requested, ?2)
                     WHERE id = (SELECT max(id) FROM cycles WHERE workflow = ?1)
                       AND ended IS NULL
                     RETURNING id",
                )?
                .query_row(params![workflow.0, millis(at)], |row| row.get(0))
                .optional()
                .map(|cycle| cycle.map(CycleId))
        })
    }

    /// Whether somebody asked to cancel a cycle; cheap, to be asked often.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn is_cancel_requested(&self, cycle: CycleId) -> Result<bool, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT cancel_requested IS NOT NULL FROM cycles WHERE id = ?1")?
                .query_row([cycle.0], |row| row.get(0))
                .optional()
                // A workflow that was deleted takes its cycle along.
                .map(|requested| requested.unwrap_or(true))
        })
    }

    /// Asks for a cycle as soon as whoever serves the workflow can run one.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn enqueue(&self, workflow: WorkflowId, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = "INSERT INTO queue (workflow, requested) VALUES (?1, ?2)";
            transaction.execute(sql, params![workflow.0, millis(at)])?;
            Ok(())
        })
    }

    /// Takes all that was asked for with [`enqueue`](Self::enqueue): when it was first asked, if
    /// it was. One cycle answers all that came before it.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn take_queued(&self, workflow: WorkflowId) -> Result<Option<DateTime<Utc>>, StoreError> {
        let first = |connection: &Connection| {
            connection
                .prepare_cached("SELECT min(requested) FROM queue WHERE workflow = ?1")?
                .query_row([workflow.0], |row| row.get::<_, Option<i64>>(0))
        };
        // Mostly there is nothing, which is found out without keeping other writers waiting.
        if self.read(first)?.is_none() {
            return Ok(None);
        }
        self.write(|transaction| {
            let requested = first(transaction)?;
            transaction.execute("DELETE FROM queue WHERE workflow = ?1", [workflow.0])?;
            Ok(requested.map(time))
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic between two statements leaves a transaction that was rolled back.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        read(&self.connection()).map_err(|error| StoreError::sqlite(&self.path, error))
    }

    /// Does all or nothing. The lock is taken at the start: one taken in the middle cannot be
    /// waited for.
    fn write<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection();
        connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let answer = write(&transaction)?;
                transaction.commit()?;
                Ok(answer)
            })
            .map_err(|error| StoreError::sqlite(&self.path, error))
    }
}

fn apply(
    transaction: &Transaction<'_>,
    cycle: CycleId,
    changes: &Changes<'_>,
) -> rusqlite::Result<()> {
    if let Some(document) = changes.document {
        transaction
            .prepare_cached("UPDATE cycles SET document = ?2 WHERE id = ?1")?
            .execute(params![cycle.0, document])?;
        transaction
            .prepare_cached("DELETE FROM events WHERE cycle = ?1")?
            .execute([cycle.0])?;
    }
    let mut add =
        transaction.prepare_cached("INSERT INTO events (cycle, document) VALUES (?1, ?2)")?;
    for event in changes.events {
        add.execute(params![cycle.0, event])?;
    }
    run::put(transaction, cycle, changes.runs)?;
    if let Some(ended) = changes.ended {
        transaction
            .prepare_cached("UPDATE cycles SET ended = ?2 WHERE id = ?1")?
            .execute(params![cycle.0, millis(ended)])?;
    }
    Ok(())
}

fn stored_workflow(row: &Row<'_>) -> rusqlite::Result<StoredWorkflow> {
    Ok(StoredWorkflow {
        id: WorkflowId(row.get(0)?),
        key: row.get(1)?,
        document: row.get(2)?,
        modified: time(row.get(3)?),
    })
}

fn stored_cycle(row: &Row<'_>) -> rusqlite::Result<StoredCycle> {
    Ok(StoredCycle {
        id: CycleId(row.get(0)?),
        document: row.get(1)?,
        events: Vec::new(),
        started: time(row.get(2)?),
        ended: row.get::<_, Option<i64>>(3)?.map(time),
        cancel_requested: row.get::<_, Option<i64>>(4)?.map(time),
    })
}

fn with_events(connection: &Connection, mut cycle: StoredCycle) -> rusqlite::Result<StoredCycle> {
    cycle.events = connection
        .prepare_cached("SELECT document FROM events WHERE cycle = ?1 ORDER BY id")?
        .query_map([cycle.id.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(cycle)
}

/// What runs printed and which images there are is nobody else's business.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.write(true).create_new(true).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Times are kept in milliseconds since 1970.
fn millis(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}

fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}
