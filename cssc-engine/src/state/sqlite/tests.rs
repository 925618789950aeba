//! What can only be seen from inside; the rest is in `tests/state.rs`.

use std::fs;

use cssc_core::Cycle;
use cssc_core::cycle::{Cause, CycleOptions, Status, Task};
use rusqlite::ffi;

use super::schema::{MIGRATIONS, migrate};
use super::*;
use crate::state::StateErrorKind;

fn store() -> (tempfile::TempDir, SqliteState) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteState::open(folder.path().join("state.db")).unwrap();
    (folder, store)
}

fn add(store: &SqliteState) -> StoredWorkflow {
    store.add_workflow("a", time(0)).unwrap()
}

#[test]
fn an_older_format_is_brought_up_and_keeps_what_it_holds() {
    let (_folder, store) = store();
    let workflow = add(&store);
    let path = store.path.clone();
    let newer = [MIGRATIONS, &["ALTER TABLE runs ADD COLUMN more TEXT"]].concat();
    let mut connection = Connection::open(&path).unwrap();
    migrate(&mut connection, &path, &newer).unwrap();
    migrate(&mut connection, &path, &newer).unwrap();
    connection.prepare("SELECT more FROM runs").unwrap();
    assert_eq!(store.workflow("a").unwrap(), Some(workflow));

    let error = SqliteState::open(&path).unwrap_err();
    assert_eq!(error.kind(), StateErrorKind::Unusable);
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` was written by a newer cssc (format 2, this one knows up to 1): use that \
             version or another file",
            path.display()
        )
    );
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let (_folder, store) = store();
    let broken = [
        MIGRATIONS,
        &["CREATE TABLE extra (id); CREATE TABLE extra (id)"],
    ]
    .concat();
    let mut connection = Connection::open(&store.path).unwrap();
    migrate(&mut connection, &store.path, &broken).unwrap_err();
    connection.prepare("SELECT * FROM extra").unwrap_err();
    SqliteState::open(&store.path).unwrap();
}

#[test]
fn the_database_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE mails (id)").unwrap();
    let before = fs::read(&path).unwrap();
    let error = SqliteState::open(&path).unwrap_err();
    assert_eq!(error.kind(), StateErrorKind::Unusable);
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is not a state file of cssc: use another file",
            path.display()
        )
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_full_disk_is_told_and_keeps_what_was_recorded() {
    let (_folder, store) = store();
    let workflow = add(&store);
    let begin = |number| {
        let id = CycleId::new(time(0), number);
        let mut cycle = Cycle::new(id, Cause::Immediate, CycleOptions::default(), time(0));
        store.begin_cycle(workflow.id, &mut cycle).map(|()| cycle)
    };
    let cycle = begin(1).unwrap();
    let run = &RunId::trigger(cycle.record().id());
    let limit = |pages: i64| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        let get = |row: &Row<'_>| row.get::<_, i64>(0);
        store.connection().query_row(&sql, [], get).unwrap()
    };
    limit(100);
    let text = "x".repeat(10_000);
    let mut recorded = 0;
    let error = loop {
        match store.append_log(run, &text) {
            Ok(()) => recorded += text.len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), StateErrorKind::Full);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot write `{}`: the disk is full; free some space and start again; existing \
             records are kept",
            store.path.display()
        )
    );
    assert!(recorded > 0);
    assert_eq!(store.log(run, 0).unwrap().unwrap().len(), recorded);
    assert_eq!(store.cycle(run.cycle()).unwrap(), Some(cycle));
    limit(1_000_000);
    store.append_log(run, &text).unwrap();
    begin(2).unwrap();
}

#[test]
fn a_record_that_cannot_be_read_is_told() {
    let (_folder, store) = store();
    let workflow = add(&store);
    store
        .connection()
        .execute_batch(
            "INSERT INTO cycles VALUES (5, '19700101T000000Z-0005', 1, '{\"version\": 9}', NULL, NULL, 0, NULL)",
        )
        .unwrap();
    let current = store.current_cycle(workflow.id).unwrap().unwrap();
    let error = store.cycle(current.id).unwrap_err();
    assert_eq!(error.kind(), StateErrorKind::Unusable);
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` holds a record that this version cannot read: version 9 is not read by this \
             program: it knows version 1 at line 1 column 14; use the version that wrote it \
             or another file",
            store.path.display()
        )
    );
}

#[test]
fn what_sqlite_says_becomes_what_to_do() {
    for (code, text) in [
        (
            ffi::SQLITE_READONLY,
            "cannot write `s`: it is read-only; allow writing or use another file",
        ),
        (
            ffi::SQLITE_CANTOPEN,
            "cannot open `s`: it does not exist or cannot be read; check the folder or use \
             another file",
        ),
        (
            ffi::SQLITE_BUSY,
            "`s` is busy: another process has been writing for too long; try again",
        ),
        (
            ffi::SQLITE_CORRUPT,
            "`s` is damaged: Error code 11: database disk image is malformed; restore it from a copy or use \
             another file",
        ),
    ] {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        let error = StateError::sqlite(Path::new("s"), error).to_string();
        assert_eq!(error, text);
    }
}

#[test]
fn lists_of_runs_read_only_what_they_answer() {
    let (_folder, store) = store();
    let connection = store.connection();
    let plan = |sql: &str| {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = connection.prepare(&sql).unwrap();
        let values = rusqlite::params_from_iter(vec![1; statement.parameter_count()]);
        let rows = statement.query_map(values, |row| row.get::<_, String>(3));
        rows.unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
            .join("; ")
    };
    for (task, status, index) in [
        (None, None, "runs_of_workflow"),
        (Some(Task::Scan), None, "runs_by_task"),
        (None, Some(Status::Failed), "runs_by_status"),
        (Some(Task::Scan), Some(Status::Failed), "runs_by_both"),
    ] {
        let top = Some(1);
        let plan = plan(&RunFilter { task, status, top }.sql());
        assert!(plan.contains(&format!("USING INDEX {index} ")), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}

#[test]
fn only_what_refers_to_a_deleted_workflow_is_gone() {
    let error = |code| {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        StateError::sqlite(Path::new("s"), error)
    };
    assert!(error(ffi::SQLITE_CONSTRAINT_FOREIGNKEY).is_gone());
    for code in [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_CHECK] {
        let error = error(code);
        assert!(!error.is_gone());
        assert!(error.to_string().starts_with("cannot use `s`: "), "{error}");
    }
}
