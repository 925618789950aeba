//! The runs of tasks.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, Transaction, params, params_from_iter};

use super::{CycleId, Store, StoreError, WorkflowId, millis, time};

/// A run as it is to be stored.
#[derive(Debug, Clone, Copy)]
pub struct RunRecord<'a> {
    /// The name of the run, unique in its workflow.
    pub name: &'a str,
    /// The task: `cssc-scan-image`.
    pub task: &'a str,
    /// The status: `Queued`.
    pub status: &'a str,
    /// The image, for the tasks that have one: `python:3.11`.
    pub image: Option<&'a str>,
    /// When the run was made.
    pub created: DateTime<Utc>,
    /// When it began.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// All that is known of it, as JSON.
    pub document: &'a str,
}

/// A run as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The name of the run, unique in its workflow.
    pub name: String,
    /// The cycle it belongs to.
    pub cycle: CycleId,
    /// The task.
    pub task: String,
    /// The status.
    pub status: String,
    /// The image, for the tasks that have one.
    pub image: Option<String>,
    /// When the run was made.
    pub created: DateTime<Utc>,
    /// When it began.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// All that is known of it, as JSON.
    pub document: String,
}

/// Which runs of a workflow to list; all of them by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunFilter<'a> {
    /// Only those of this task.
    pub task: Option<&'a str>,
    /// Only those with this status.
    pub status: Option<&'a str>,
    /// At most so many, the newest.
    pub top: Option<u32>,
}

const COLUMNS: &str = "name, cycle, task, status, image, created, started, ended, document";

impl Store {
    /// The runs of a workflow, the newest first.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn runs(
        &self,
        workflow: WorkflowId,
        filter: &RunFilter<'_>,
    ) -> Result<Vec<RunRow>, StoreError> {
        let mut sql = format!("SELECT {COLUMNS} FROM runs WHERE workflow = ?");
        let mut values = vec![Value::Integer(workflow.0)];
        for (column, value) in [("task", filter.task), ("status", filter.status)] {
            if let Some(value) = value {
                let _ = write!(sql, " AND {column} = ?");
                values.push(Value::Text(value.to_owned()));
            }
        }
        sql.push_str(" ORDER BY id DESC LIMIT ?");
        values.push(Value::Integer(filter.top.map_or(-1, i64::from)));
        self.read(|connection| {
            connection
                .prepare_cached(&sql)?
                .query_map(params_from_iter(&values), run_row)?
                .collect()
        })
    }

    /// The runs of a cycle, in the order in which they were made.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn runs_of_cycle(&self, cycle: CycleId) -> Result<Vec<RunRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE cycle = ?1 ORDER BY id");
        self.read(|connection| {
            connection
                .prepare_cached(&sql)?
                .query_map([cycle.0], run_row)?
                .collect()
        })
    }

    /// The run with a name.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn run(&self, workflow: WorkflowId, name: &str) -> Result<Option<RunRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE workflow = ?1 AND name = ?2");
        self.read(|connection| {
            connection
                .prepare_cached(&sql)?
                .query_row(params![workflow.0, name], run_row)
                .optional()
        })
    }
}

pub(super) fn put(
    transaction: &Transaction<'_>,
    cycle: CycleId,
    runs: &[RunRecord<'_>],
) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO runs
           (workflow, cycle, name, task, status, image, created, started, ended, document)
         VALUES ((SELECT workflow FROM cycles WHERE id = ?1), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (workflow, name) DO UPDATE SET
           status = excluded.status, started = excluded.started, ended = excluded.ended,
           document = excluded.document",
    )?;
    for run in runs {
        put.execute(params![
            cycle.0,
            run.name,
            run.task,
            run.status,
            run.image,
            millis(run.created),
            run.started.map(millis),
            run.ended.map(millis),
            run.document,
        ])?;
    }
    Ok(())
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        name: row.get(0)?,
        cycle: CycleId(row.get(1)?),
        task: row.get(2)?,
        status: row.get(3)?,
        image: row.get(4)?,
        created: time(row.get(5)?),
        started: row.get::<_, Option<i64>>(6)?.map(time),
        ended: row.get::<_, Option<i64>>(7)?.map(time),
        document: row.get(8)?,
    })
}
