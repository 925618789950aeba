//! The runs of tasks, and their logs.

use std::fmt::Write as _;

use cssc_core::cycle::{Run, RunId, Status, Task};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};
use serde::de::DeserializeOwned;

use super::{RunFilter, WorkflowId, changed, conversion, millis};

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
        sql.push_str(" ORDER BY created DESC, cycle DESC, position DESC, name DESC LIMIT ?4");
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

pub(super) fn list(
    connection: &Connection,
    workflow: WorkflowId,
    filter: &RunFilter,
) -> rusqlite::Result<Vec<Run>> {
    connection
        .prepare_cached(&filter.sql())?
        .query_map(params_from_iter(filter.values(workflow)), |row| {
            document(row, 0)
        })?
        .collect()
}

/// The runs of a cycle, in no particular order.
pub(super) fn runs_of(connection: &Connection, cycle: i64) -> rusqlite::Result<Vec<Run>> {
    connection
        .prepare_cached("SELECT document FROM runs WHERE cycle = ?1")?
        .query_map([cycle], |row| document(row, 0))?
        .collect()
}

pub(super) fn put_run(connection: &Connection, run: &Run) -> rusqlite::Result<()> {
    let id = run.id();
    let document = serde_json::to_string(run).map_err(|error| conversion(0, error))?;
    let stored = connection
        .prepare_cached(
            "INSERT INTO runs (cycle, name, position, workflow, task, status, created, document)
             SELECT id, ?2, ?3, workflow, ?4, ?5, ?6, ?7 FROM cycles WHERE name = ?1
             ON CONFLICT (cycle, name) DO UPDATE SET
               status = excluded.status, document = excluded.document",
        )?
        .execute(params![
            id.cycle().to_string(),
            id.to_string(),
            position(id),
            run.task().as_str(),
            run.status().as_str(),
            millis(run.created()),
            document,
        ])?;
    changed(stored)
}

/// By image, then by task, as names of runs sort.
fn position(id: &RunId) -> i64 {
    let image = id
        .image()
        .map_or(0, |image| i64::from(image).saturating_add(1));
    let task = match id.task() {
        Task::Trigger | Task::Scan => 0,
        Task::Patch => 1,
    };
    image.saturating_mul(2).saturating_add(task)
}

pub(super) fn append_log(connection: &Connection, run: &RunId, text: &str) -> rusqlite::Result<()> {
    let appended = connection
        .prepare_cached(
            "INSERT INTO logs (cycle, run, start, text)
             SELECT cycle, name, coalesce(
               (SELECT start + octet_length(text) FROM logs
                WHERE logs.cycle = runs.cycle AND logs.run = runs.name
                ORDER BY start DESC LIMIT 1), 0), ?2
             FROM runs WHERE name = ?1",
        )?
        .execute(params![run.to_string(), text])?;
    changed(appended)
}

pub(super) fn log(
    connection: &Connection,
    run: &RunId,
    offset: usize,
) -> rusqlite::Result<Option<String>> {
    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
    let mut cycle = connection.prepare_cached("SELECT cycle FROM runs WHERE name = ?1")?;
    let name = run.to_string();
    let mut cycles = cycle.query_map([&name], |row| row.get::<_, i64>(0))?;
    let Some(cycle) = cycles.next().transpose()? else {
        return Ok(None);
    };
    // From the piece on in which the offset lies.
    let mut pieces = connection.prepare_cached(
        "SELECT start, text FROM logs
         WHERE cycle = ?1 AND run = ?2 AND start >= coalesce(
           (SELECT max(start) FROM logs WHERE cycle = ?1 AND run = ?2 AND start <= ?3), 0)
         ORDER BY start",
    )?;
    let mut rows = pieces.query(params![cycle, name, offset])?;
    let mut text = String::new();
    while let Some(row) = rows.next()? {
        let (start, piece): (i64, String) = (row.get(0)?, row.get(1)?);
        let skip = usize::try_from(offset.saturating_sub(start)).unwrap_or(0);
        text.push_str(piece.get(skip.min(piece.len())..).unwrap_or_default());
    }
    Ok(Some(text))
}

pub(super) fn document<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| conversion(column, error))
}
