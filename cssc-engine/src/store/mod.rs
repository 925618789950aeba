//! Cycles, runs and logs of workflows, kept in one SQLite file.
//!
//! One process writes at a time, the others wait for it a moment; readers never wait. What a
//! call has recorded is there as a whole, or not at all, whenever the process is killed. (When
//! the power fails the last moments may be missing; the file stays sound.)
//!
//! The policy and the schedule are not here: they live in the registry.

mod cycle;
mod error;
mod lock;
mod log;
mod place;
mod prune;
mod queue;
mod run;
mod schema;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cssc_core::Owner;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Row, Transaction, TransactionBehavior, params,
};

pub use cycle::{CycleState, PatchedImage};
pub use error::StoreError;
pub use lock::WorkflowLock;
pub use log::RunLog;
pub use place::default_path;
pub use run::RunFilter;

/// How long a writer waits for another one.
const BUSY: Duration = Duration::from_secs(30);

/// The state of all workflows of a user; shared between threads by reference.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use cssc_core::{Cause, Cycle, CycleOptions, Owner};
/// use cssc_engine::store::Store;
///
/// let now: DateTime<Utc> = "2024-01-03T09:30:00Z".parse()?;
/// let folder = tempfile::tempdir()?;
/// let store = Store::open(folder.path().join("state.db"))?;
/// let workflow = store.add_workflow("localhost:5000", &Owner::new(7), now)?;
/// let mut cycle = store.begin_cycle(workflow.id, |number| {
///     Cycle::new(number, workflow.owner.clone(), Cause::Immediate, CycleOptions::default(), now)
/// })?;
/// cycle.next_work(now);
/// store.record(&cycle.take_changes())?;
/// // After a crash:
/// let number = store.current_cycle(workflow.id)?.unwrap().number;
/// assert_eq!(store.cycle(number)?, Some(cycle));
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

/// What is known here of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWorkflow {
    /// Names it in further calls.
    pub id: WorkflowId,
    /// What it was added under: its registry.
    pub key: String,
    /// Whose candidates its runs make.
    pub owner: Owner,
    /// Until when its schedule was looked after.
    pub looked_after: DateTime<Utc>,
}

const WORKFLOW: &str = "SELECT id, key, owner, looked_after FROM workflows";

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
        let begin = Instant::now();
        while let Err(error) = set_up(&connection) {
            // SQLite does not wait by itself while others are opening the same new file.
            let is_busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
            if !is_busy || begin.elapsed() > BUSY {
                return Err(failed(error));
            }
            thread::sleep(Duration::from_millis(5));
        }
        let connection = Mutex::new(connection);
        Ok(Self { path, connection })
    }

    /// Where the state is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The workflow with this key, which is added if it is not there. An owner that it has
    /// already is kept.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn add_workflow(
        &self,
        key: &str,
        owner: &Owner,
        now: DateTime<Utc>,
    ) -> Result<StoredWorkflow, StoreError> {
        if let Some(workflow) = self.workflow(key)? {
            return Ok(workflow);
        }
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR IGNORE INTO workflows (key, owner, looked_after) VALUES (?1, ?2, ?3)",
                params![key, owner.as_str(), millis(now)],
            )?;
            transaction.query_row(
                &format!("{WORKFLOW} WHERE key = ?1"),
                [key],
                stored_workflow,
            )
        })
    }

    /// The workflow with this key.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn workflow(&self, key: &str) -> Result<Option<StoredWorkflow>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{WORKFLOW} WHERE key = ?1"))?
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
                .prepare_cached(&format!("{WORKFLOW} ORDER BY key"))?
                .query_map([], stored_workflow)?
                .collect()
        })
    }

    /// Records until when the schedule of a workflow was looked after.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn looked_after(&self, workflow: WorkflowId, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = "UPDATE workflows SET looked_after = ?2 WHERE id = ?1";
            transaction.execute(sql, params![workflow.0, millis(at)])?;
            Ok(())
        })
    }

    /// Removes a workflow with its cycles, runs and logs; whether it was there.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn delete_workflow(&self, workflow: WorkflowId) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let sql = "DELETE FROM workflows WHERE id = ?1";
            Ok(transaction.execute(sql, [workflow.0])? != 0)
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

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON",
    )
}

fn stored_workflow(row: &Row<'_>) -> rusqlite::Result<StoredWorkflow> {
    Ok(StoredWorkflow {
        id: WorkflowId(row.get(0)?),
        key: row.get(1)?,
        owner: parsed(row, 2)?,
        looked_after: time(row.get(3)?),
    })
}

fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| conversion(column, error))
}

/// What stands in a column does not say what it should.
fn conversion(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let text = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(column, text, Box::new(error))
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
