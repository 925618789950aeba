//! The cycles: records in the place of what was stored under their names.

use chrono::{DateTime, Utc};
use cssc_core::Cycle;
use cssc_core::cycle::{CycleId, CyclePlan, CycleRecord, CycleReport, RecordChange};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::Serialize;

use super::run::{document, put_run, runs_of};
use super::{CycleState, WorkflowId, changed, conversion, millis, parsed, time};

/// Stores a new cycle, unless there is one of this name; whether it did.
pub(super) fn begin(
    transaction: &Transaction<'_>,
    workflow: WorkflowId,
    id: CycleId,
    changes: &[RecordChange],
) -> rusqlite::Result<bool> {
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO cycles (name, workflow, document, has_ended) VALUES (?1, ?2, '', 0)
             ON CONFLICT (name) DO NOTHING",
        )?
        .execute(params![id.to_string(), workflow.0])?;
    if inserted != 0 {
        apply(transaction, changes)?;
    }
    Ok(inserted != 0)
}

pub(super) fn apply(
    transaction: &Transaction<'_>,
    changes: &[RecordChange],
) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            RecordChange::Cycle(record) => put_cycle(transaction, record)?,
            RecordChange::Plan { cycle, plan } => put_plan(transaction, *cycle, plan)?,
            RecordChange::Run(run) => put_run(transaction, run)?,
        }
    }
    Ok(())
}

pub(super) fn restore(connection: &Connection, id: CycleId) -> rusqlite::Result<Option<Cycle>> {
    let stored: Option<(i64, CycleRecord, Option<CyclePlan>)> = connection
        .prepare_cached("SELECT id, document, plan FROM cycles WHERE name = ?1")?
        .query_row([id.to_string()], |row| {
            let has_plan = row.get_ref(2)? != ValueRef::Null;
            let plan = has_plan.then(|| document(row, 2)).transpose()?;
            Ok((row.get(0)?, document(row, 1)?, plan))
        })
        .optional()?;
    let Some((cycle, record, plan)) = stored else {
        return Ok(None);
    };
    Cycle::restore(record, plan, runs_of(connection, cycle)?)
        .map(Some)
        .map_err(|error| conversion(0, error))
}

pub(super) fn newest(
    connection: &Connection,
    workflow: WorkflowId,
    top: u32,
) -> rusqlite::Result<Vec<CycleState>> {
    connection
        .prepare_cached(
            "SELECT name, has_ended, cancel_requested FROM cycles WHERE workflow = ?1
             ORDER BY id DESC LIMIT ?2",
        )?
        .query_map(params![workflow.0, top], cycle_state)?
        .collect()
}

pub(super) fn request_cancel(
    connection: &Connection,
    workflow: WorkflowId,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<CycleId>> {
    connection
        .prepare_cached(
            "UPDATE cycles SET cancel_requested = coalesce(cancel_requested, ?2)
             WHERE id = (SELECT max(id) FROM cycles WHERE workflow = ?1) AND NOT has_ended
             RETURNING name",
        )?
        .query_row(params![workflow.0, millis(now)], |row| parsed(row, 0))
        .optional()
}

/// Which cycles can be removed so that at least `keep` runs are left, and how many runs each has.
pub(super) fn removable(
    connection: &Connection,
    workflow: WorkflowId,
    keep: u32,
) -> rusqlite::Result<Vec<(i64, usize)>> {
    let cycles: Vec<(i64, usize)> = connection
        .prepare_cached(
            "SELECT id, (SELECT count(*) FROM runs WHERE cycle = cycles.id) FROM cycles
             WHERE workflow = ?1 ORDER BY id DESC",
        )?
        .query_map([workflow.0], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let mut newer: usize = 0;
    let removable = cycles.into_iter().enumerate().filter(|(place, (_, runs))| {
        let is_old = *place != 0 && newer >= keep;
        newer = newer.saturating_add(*runs);
        is_old
    });
    Ok(removable.map(|(_, cycle)| cycle).collect())
}

fn put_cycle(connection: &Connection, record: &CycleRecord) -> rusqlite::Result<()> {
    let document = serde_json::to_string(record).map_err(|error| conversion(0, error))?;
    let rows = connection
        .prepare_cached("UPDATE cycles SET document = ?2, has_ended = ?3 WHERE name = ?1")?
        .execute(params![
            record.id().to_string(),
            document,
            record.status().is_final()
        ])?;
    changed(rows)
}

pub(super) fn put_report(connection: &Connection, report: &CycleReport) -> rusqlite::Result<()> {
    put_document(connection, "report", report.cycle(), report)
}

pub(super) fn report(
    connection: &Connection,
    id: CycleId,
) -> rusqlite::Result<Option<CycleReport>> {
    connection
        .prepare_cached("SELECT report FROM cycles WHERE name = ?1 AND report IS NOT NULL")?
        .query_row([id.to_string()], |row| document(row, 0))
        .optional()
}

fn put_plan(connection: &Connection, cycle: CycleId, plan: &CyclePlan) -> rusqlite::Result<()> {
    put_document(connection, "plan", cycle, plan)
}

fn put_document(
    connection: &Connection,
    column: &str,
    cycle: CycleId,
    document: &impl Serialize,
) -> rusqlite::Result<()> {
    let document = serde_json::to_string(document).map_err(|error| conversion(0, error))?;
    let rows = connection
        .prepare_cached(&format!("UPDATE cycles SET {column} = ?2 WHERE name = ?1"))?
        .execute(params![cycle.to_string(), document])?;
    changed(rows)
}

fn cycle_state(row: &Row<'_>) -> rusqlite::Result<CycleState> {
    Ok(CycleState {
        id: parsed(row, 0)?,
        has_ended: row.get(1)?,
        cancel_requested: row.get::<_, Option<i64>>(2)?.map(time),
    })
}
