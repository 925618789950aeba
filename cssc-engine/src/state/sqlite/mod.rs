//! State in one SQLite file.
//!
//! One process writes at a time, the others wait for it a moment; readers never wait. What a
//! call has recorded is there as a whole, or not at all, whenever the process is killed. (When
//! the power fails the last moments may be missing; the file stays sound.)

mod cycle;
mod file;
mod lock;
mod run;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cssc_core::Cycle;
use cssc_core::cycle::{CycleId, CycleReport, RecordChange, Run, RunId};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction,
    TransactionBehavior, params,
};

use super::{
    CancelRequest, CycleState, RunFilter, State, StateError, StoredWorkflow, WorkflowId,
    WorkflowLock,
};
use file::FileId;

/// How long a writer waits for another one.
const BUSY: Duration = Duration::from_secs(30);

/// The state of all workflows of a user, in a file; shared between threads by reference.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use cssc_core::Cycle;
/// use cssc_core::cycle::{Cause, CycleId, CycleOptions};
/// use cssc_engine::state::{SqliteState, State};
///
/// let now: DateTime<Utc> = "2024-01-03T09:30:00Z".parse()?;
/// let folder = tempfile::tempdir()?;
/// let state = SqliteState::open(folder.path().join("state.db"))?;
/// let workflow = state.add_workflow("localhost:5000", now)?;
/// let id = CycleId::new(now, 1);
/// let mut cycle = Cycle::new(id, Cause::Immediate, CycleOptions::default(), now);
/// state.begin_cycle(workflow.id, &mut cycle)?;
/// cycle.next_step(now);
/// state.record(&cycle.take_changes())?;
/// // After a crash:
/// let current = state.current_cycle(workflow.id)?.unwrap();
/// assert_eq!(state.cycle(current.id)?, Some(cycle));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteState {
    path: PathBuf,
    /// Which file it was when it was opened.
    file: Option<FileId>,
    connection: Mutex<Connection>,
}

const WORKFLOW: &str = "SELECT id, key, checkpoint FROM workflows";

impl SqliteState {
    /// The file, however it was named when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the state file, and makes it, with its folder, if it is not there.
    ///
    /// # Errors
    ///
    /// Fails when the path is a folder or cannot be written, when the file is a database of
    /// something else or no database, and when a newer version of this program has written it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        match file::make_private(&path) {
            Ok(()) => Self::of(path),
            Err(error) => Err(StateError::cannot_open(&path, error)),
        }
    }

    /// Opens the state file, which must be there: for those who only look.
    ///
    /// # Errors
    ///
    /// Fails when it is not there ([`StateError::is_missing`]), without making anything, and as
    /// [`open`](Self::open) does.
    pub fn open_existing(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        match path.try_exists() {
            Ok(true) => Self::of(path),
            Ok(false) => Err(StateError::missing(&path)),
            Err(error) => Err(StateError::cannot_open(&path, error)),
        }
    }

    /// The file of this path, which is there.
    fn of(path: PathBuf) -> Result<Self, StateError> {
        // By whichever path the file is opened, its lock and work folder are the same.
        let path = path.canonicalize().unwrap_or(path);
        let failed = |error| StateError::sqlite(&path, error);
        let flags = OpenFlags::default().difference(OpenFlags::SQLITE_OPEN_CREATE);
        let mut connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
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
        Ok(Self {
            file: FileId::of(&path),
            connection: Mutex::new(connection),
            path,
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic between two statements leaves a transaction that was rolled back.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when the file is not at its path any more. It could still be read and written, and
    /// nobody else would ever see that.
    fn check_file(&self) -> Result<(), StateError> {
        match self.file {
            Some(file) if FileId::of(&self.path) != Some(file) => {
                Err(StateError::removed(&self.path))
            }
            _ => Ok(()),
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        self.check_file()?;
        read(&self.connection()).map_err(|error| StateError::sqlite(&self.path, error))
    }

    /// Does all or nothing. The lock is taken at the start: one taken in the middle cannot be
    /// waited for.
    fn write<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        self.check_file()?;
        let mut connection = self.connection();
        connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let answer = write(&transaction)?;
                transaction.commit()?;
                Ok(answer)
            })
            .map_err(|error| StateError::sqlite(&self.path, error))
    }
}

impl State for SqliteState {
    fn add_workflow(&self, key: &str, now: DateTime<Utc>) -> Result<StoredWorkflow, StateError> {
        if let Some(workflow) = self.workflow(key)? {
            return Ok(workflow);
        }
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR IGNORE INTO workflows (key, checkpoint) VALUES (?1, ?2)",
                params![key, millis(now)],
            )?;
            transaction.query_row(&format!("{WORKFLOW} WHERE key = ?1"), [key], workflow)
        })
    }

    fn workflow(&self, key: &str) -> Result<Option<StoredWorkflow>, StateError> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{WORKFLOW} WHERE key = ?1"))?
                .query_row([key], workflow)
                .optional()
        })
    }

    fn workflows(&self) -> Result<Vec<StoredWorkflow>, StateError> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{WORKFLOW} ORDER BY key"))?
                .query_map([], workflow)?
                .collect()
        })
    }

    fn set_checkpoint(&self, workflow: WorkflowId, at: DateTime<Utc>) -> Result<(), StateError> {
        self.write(|transaction| {
            let sql = "UPDATE workflows SET checkpoint = ?2 WHERE id = ?1";
            changed(transaction.execute(sql, params![workflow.0, millis(at)])?)
        })
    }

    fn delete_workflow(&self, workflow: WorkflowId) -> Result<bool, StateError> {
        self.write(|transaction| {
            let sql = "DELETE FROM workflows WHERE id = ?1";
            Ok(transaction.execute(sql, [workflow.0])? != 0)
        })
        .inspect(|_| self.remove_lock(workflow))
    }

    fn lock(&self, workflow: WorkflowId, now: DateTime<Utc>) -> Result<WorkflowLock, StateError> {
        self.take_lock(workflow, now)
    }

    fn holder(&self, workflow: WorkflowId) -> Result<Option<String>, StateError> {
        self.held_by(workflow)
    }

    fn begin_cycle(&self, workflow: WorkflowId, cycle: &mut Cycle) -> Result<(), StateError> {
        let changes = cycle.take_changes();
        let id = cycle.record().id();
        let is_new = self.write(|transaction| cycle::begin(transaction, workflow, id, &changes))?;
        is_new.then_some(()).ok_or_else(|| StateError::begun(id))
    }

    fn record(&self, changes: &[RecordChange]) -> Result<(), StateError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write(|transaction| cycle::apply(transaction, changes))
    }

    fn cycle(&self, id: CycleId) -> Result<Option<Cycle>, StateError> {
        self.read(|connection| {
            // As of one moment: a change may be recorded between two queries.
            let moment = connection.unchecked_transaction()?;
            cycle::restore(&moment, id)
        })
    }

    fn keep_report(&self, report: &CycleReport) -> Result<(), StateError> {
        self.write(|transaction| cycle::put_report(transaction, report))
    }

    fn report(&self, id: CycleId) -> Result<Option<CycleReport>, StateError> {
        self.read(|connection| cycle::report(connection, id))
    }

    fn current_cycle(&self, workflow: WorkflowId) -> Result<Option<CycleState>, StateError> {
        Ok(self.cycles(workflow, 1)?.pop())
    }

    fn cycles(&self, workflow: WorkflowId, top: u32) -> Result<Vec<CycleState>, StateError> {
        self.read(|connection| cycle::newest(connection, workflow, top))
    }

    fn request_cancel(
        &self,
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<CancelRequest, StateError> {
        self.write(|transaction| {
            Ok(CancelRequest {
                queued: transaction
                    .execute("DELETE FROM queue WHERE workflow = ?1", [workflow.0])?,
                running: cycle::request_cancel(transaction, workflow, now)?,
            })
        })
    }

    fn is_cancel_requested(&self, cycle: CycleId) -> Result<bool, StateError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT cancel_requested IS NOT NULL FROM cycles WHERE name = ?1")?
                .query_row([cycle.to_string()], |row| row.get(0))
                .optional()
                .map(|requested| requested.unwrap_or(true))
        })
    }

    fn runs(&self, workflow: WorkflowId, filter: &RunFilter) -> Result<Vec<Run>, StateError> {
        self.read(|connection| run::list(connection, workflow, filter))
    }

    fn run(&self, run: &RunId) -> Result<Option<Run>, StateError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT document FROM runs WHERE name = ?1")?
                .query_row([run.to_string()], |row| run::document(row, 0))
                .optional()
        })
    }

    fn append_log(&self, run: &RunId, text: &str) -> Result<(), StateError> {
        self.write(|transaction| run::append_log(transaction, run, text))
    }

    fn log(&self, run: &RunId, offset: usize) -> Result<Option<String>, StateError> {
        self.read(|connection| run::log(connection, run, offset))
    }

    fn enqueue(&self, workflow: WorkflowId, now: DateTime<Utc>) -> Result<(), StateError> {
        self.write(|transaction| {
            let sql = "INSERT INTO queue (workflow, requested) VALUES (?1, ?2)";
            transaction
                .execute(sql, params![workflow.0, millis(now)])
                .map(drop)
        })
    }

    fn queued(&self, workflow: WorkflowId) -> Result<Vec<DateTime<Utc>>, StateError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT requested FROM queue WHERE workflow = ?1 ORDER BY id")?
                .query_map([workflow.0], |row| Ok(time(row.get(0)?)))?
                .collect()
        })
    }

    fn take_queued(&self, workflow: WorkflowId) -> Result<Option<DateTime<Utc>>, StateError> {
        // Mostly there is nothing, which is found out without keeping other writers waiting.
        let first = self.queued(workflow)?.into_iter().next();
        if first.is_some() {
            self.write(|transaction| {
                transaction.execute("DELETE FROM queue WHERE workflow = ?1", [workflow.0])
            })?;
        }
        Ok(first)
    }

    fn prune(&self, workflow: WorkflowId, keep: u32) -> Result<usize, StateError> {
        let removable = self.read(|connection| cycle::removable(connection, workflow, keep))?;
        let mut removed: usize = 0;
        for (cycle, runs) in removable {
            // One at a time: other writers get a turn in between.
            self.write(|transaction| {
                transaction.execute("DELETE FROM cycles WHERE id = ?1", [cycle])
            })?;
            removed = removed.saturating_add(runs);
        }
        Ok(removed)
    }

    /// Beside the file.
    fn work_folder(&self) -> Result<PathBuf, StateError> {
        let mut path = self.path.clone().into_os_string();
        path.push("-work");
        Ok(path.into())
    }
}

/// Fails when what was to be changed is not there.
fn changed(rows: usize) -> rusqlite::Result<()> {
    match rows {
        0 => Err(rusqlite::Error::QueryReturnedNoRows),
        _ => Ok(()),
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON",
    )
}

fn workflow(row: &Row<'_>) -> rusqlite::Result<StoredWorkflow> {
    Ok(StoredWorkflow {
        id: WorkflowId(row.get(0)?),
        key: row.get(1)?,
        checkpoint: time(row.get(2)?),
    })
}

fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| conversion(column, error))
}

/// A column does not hold what it should.
fn conversion(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let text = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(column, text, Box::new(error))
}

/// Times are kept in milliseconds since 1970.
fn millis(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}

fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}
