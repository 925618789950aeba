//! The cycles: records in the place of what was stored under their names.

use chrono::{DateTime, Utc};
use cssc_core::{Change, Cycle, CycleRecord, Repository, Run, Tag, Task};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::run::{document, put_run, runs_of};
use super::{Store, StoreError, WorkflowId, conversion, millis, parsed, time};

/// What is asked of a cycle without reading its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CycleState {
    /// Its number.
    pub number: u64,
    /// Whether nothing more will happen in it.
    pub has_ended: bool,
    /// When somebody asked to cancel it.
    pub cancel_requested: Option<DateTime<Utc>>,
}

/// What an image was last patched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchedImage {
    /// The repository.
    pub repository: Repository,
    /// The original tag.
    pub tag: Tag,
    /// The tag of the patch.
    pub published: Tag,
    /// The digest the original had.
    pub digest: String,
}

const STATE: &str = "SELECT id, has_ended, cancel_requested FROM cycles";

impl Store {
    /// Begins a cycle of a workflow: makes it with a number of its own and stores it. It is the
    /// current one from now on.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn begin_cycle(
        &self,
        workflow: WorkflowId,
        make: impl FnOnce(u64) -> Cycle,
    ) -> Result<Cycle, StoreError> {
        self.write(|transaction| {
            let number = transaction
                .prepare_cached(
                    "INSERT INTO cycles (workflow, document, has_ended) VALUES (?1, '', 0)
                     RETURNING id",
                )?
                .query_row([workflow.0], |row| row.get(0))?;
            let mut cycle = make(number);
            apply(transaction, &cycle.take_changes())?;
            Ok(cycle)
        })
    }

    /// Records what has changed in a cycle.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written, or the workflow was deleted; then nothing is
    /// recorded.
    pub fn record(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write(|transaction| apply(transaction, changes))
    }

    /// A cycle with its runs, exactly as it was recorded.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, or its records do not make up a cycle.
    pub fn cycle(&self, number: u64) -> Result<Option<Cycle>, StoreError> {
        self.read(|connection| {
            // As of one moment: a change may be recorded between the two.
            let moment = connection.unchecked_transaction()?;
            let record: Option<CycleRecord> = moment
                .prepare_cached("SELECT document FROM cycles WHERE id = ?1")?
                .query_row([number], |row| document(row, 0))
                .optional()?;
            let Some(record) = record else {
                return Ok(None);
            };
            let runs = runs_of(&moment, number)?;
            Cycle::restore(record, runs)
                .map(Some)
                .map_err(|error| conversion(0, error))
        })
    }

    /// The cycle of a workflow that began last, whether it goes on or has ended.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn current_cycle(&self, workflow: WorkflowId) -> Result<Option<CycleState>, StoreError> {
        self.read(|connection| {
            let sql = format!("{STATE} WHERE workflow = ?1 ORDER BY id DESC LIMIT 1");
            connection
                .prepare_cached(&sql)?
                .query_row([workflow.0], cycle_state)
                .optional()
        })
    }

    /// Asks whoever runs the current cycle to cancel it, and forgets what is queued. The number
    /// of the cycle, if one is going on.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn request_cancel(
        &self,
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<Option<u64>, StoreError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM queue WHERE workflow = ?1", [workflow.0])?;
            transaction
                .prepare_cached(
                    "UPDATE cycles SET cancel_requested = coalesce(cancel_requested, ?2)
                     WHERE id = (SELECT max(id) FROM cycles WHERE workflow = ?1)
                       AND NOT has_ended
                     RETURNING id",
                )?
                .query_row(params![workflow.0, millis(now)], |row| row.get(0))
                .optional()
        })
    }

    /// Whether somebody asked to cancel a cycle, or deleted its workflow; cheap, to be asked
    /// often.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn is_cancel_requested(&self, number: u64) -> Result<bool, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT cancel_requested IS NOT NULL FROM cycles WHERE id = ?1")?
                .query_row([number], |row| row.get(0))
                .optional()
                .map(|requested| requested.unwrap_or(true))
        })
    }

    /// What each image of a workflow was last patched from, by repository and tag.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn patched(&self, workflow: WorkflowId) -> Result<Vec<PatchedImage>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT repository, tag, published, digest FROM patched WHERE workflow = ?1
                     ORDER BY repository, tag",
                )?
                .query_map([workflow.0], patched_image)?
                .collect()
        })
    }
}

fn apply(transaction: &Transaction<'_>, changes: &[Change]) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            Change::Cycle(record) => put_cycle(transaction, record)?,
            Change::Run(run) => {
                put_run(transaction, run)?;
                put_patched(transaction, run)?;
            }
        }
    }
    Ok(())
}

fn put_cycle(connection: &Connection, record: &CycleRecord) -> rusqlite::Result<()> {
    let document = serde_json::to_string(record).map_err(|error| conversion(0, error))?;
    let changed = connection
        .prepare_cached("UPDATE cycles SET document = ?2, has_ended = ?3 WHERE id = ?1")?
        .execute(params![record.id(), document, record.status().is_final()])?;
    match changed {
        0 => Err(rusqlite::Error::QueryReturnedNoRows),
        _ => Ok(()),
    }
}

fn put_patched(connection: &Connection, run: &Run) -> rusqlite::Result<()> {
    if run.task() == Task::Patch
        && let (Some(image), Some(published), Some(digest)) =
            (run.image(), run.published(), run.digest())
    {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO patched (workflow, repository, tag, published, digest)
                 SELECT workflow, ?2, ?3, ?4, ?5 FROM cycles WHERE id = ?1",
            )?
            .execute(params![
                run.id().cycle(),
                image.repository.as_str(),
                image.tag.as_str(),
                published.as_str(),
                digest
            ])?;
    }
    Ok(())
}

fn cycle_state(row: &Row<'_>) -> rusqlite::Result<CycleState> {
    Ok(CycleState {
        number: row.get(0)?,
        has_ended: row.get(1)?,
        cancel_requested: row.get::<_, Option<i64>>(2)?.map(time),
    })
}

fn patched_image(row: &Row<'_>) -> rusqlite::Result<PatchedImage> {
    Ok(PatchedImage {
        repository: parsed(row, 0)?,
        tag: parsed(row, 1)?,
        published: parsed(row, 2)?,
        digest: row.get(3)?,
    })
}
