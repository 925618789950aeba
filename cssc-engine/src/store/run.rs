//! The runs of tasks.

use std::fmt::Write as _;

use cssc_core::{Run, RunId, Status, Task};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use serde::de::DeserializeOwned;

use super::{Store, StoreError, WorkflowId, conversion, millis};

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

impl RunFilter {
    /// The query, the values of which are the workflow, the task, the status and the number.
    pub(super) fn sql(&self) -> String {
        let mut sql = "SELECT document FROM runs WHERE workflow = ?1".to_owned();
        for (column, place, is_there) in [
            ("task", 2, self.task.is_some()),
            ("status", 3, self.status.is_some()),
        ] {
            if is_there {
                let _ = write!(sql, " AND {column} = ?{place}");
            }
        }
        sql.push_str(" ORDER BY created DESC, cycle DESC, number DESC LIMIT ?4");
        sql
    }

    fn values(&self, workflow: WorkflowId) -> [Value; 4] {
        let text = |text: Option<&str>| text.map_or(Value::Null, |text| text.to_owned().into());
        [
            workflow.0.into(),
            text(self.task.map(Task::as_str)),
            text(self.status.map(Status::as_str)),
            self.top.map_or(-1, i64::from).into(),
        ]
    }
}

impl Store {
    /// The runs of a workflow, the newest first.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn runs(&self, workflow: WorkflowId, filter: &RunFilter) -> Result<Vec<Run>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(&filter.sql())?
                .query_map(params_from_iter(filter.values(workflow)), |row| {
                    document(row, 0)
                })?
                .collect()
        })
    }

    /// A run.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn run(&self, run: RunId) -> Result<Option<Run>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT document FROM runs WHERE cycle = ?1 AND number = ?2")?
                .query_row(params![run.cycle(), run.number()], |row| document(row, 0))
                .optional()
        })
    }
}

/// The runs of a cycle, by number.
pub(super) fn runs_of(connection: &Connection, cycle: u64) -> rusqlite::Result<Vec<Run>> {
    connection
        .prepare_cached("SELECT document FROM runs WHERE cycle = ?1 ORDER BY number")?
        .query_map([cycle], |row| document(row, 0))?
        .collect()
}

pub(super) fn put_run(connection: &Connection, run: &Run) -> rusqlite::Result<()> {
    let id = run.id();
    let document = serde_json::to_string(run).map_err(|error| conversion(0, error))?;
    connection
        .prepare_cached(
            "INSERT INTO runs (cycle, number, workflow, task, status, created, document)
             VALUES (?1, ?2, (SELECT workflow FROM cycles WHERE id = ?1), ?3, ?4, ?5, ?6)
             ON CONFLICT (cycle, number) DO UPDATE SET
               status = excluded.status, document = excluded.document",
        )?
        .execute(params![
            id.cycle(),
            id.number(),
            run.task().as_str(),
            run.status().as_str(),
            millis(run.created()),
            document,
        ])
        .map(drop)
}

pub(super) fn document<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| conversion(column, error))
}
