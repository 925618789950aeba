//! What can only be seen from inside; the rest is in `tests/store.rs`.

use rusqlite::ffi;

use super::schema::{MIGRATIONS, migrate};
use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("state.db")).unwrap();
    (folder, store)
}

fn at(seconds: i64) -> DateTime<Utc> {
    time(seconds.saturating_mul(1000))
}

#[test]
fn an_older_format_is_brought_up_and_keeps_what_it_holds() {
    let (_folder, store) = store();
    let workflow = store.put_workflow("a", "{}", at(0)).unwrap();
    let path = store.path().to_owned();
    let newer = [
        MIGRATIONS,
        &["ALTER TABLE runs ADD COLUMN more TEXT DEFAULT 'new'"],
    ]
    .concat();
    let mut connection = Connection::open(&path).unwrap();
    migrate(&mut connection, &path, &newer).unwrap();
    migrate(&mut connection, &path, &newer).unwrap();
    connection.prepare("SELECT more FROM runs").unwrap();
    assert_eq!(store.workflow("a").unwrap().unwrap().id, workflow);

    let error = Store::open(&path).unwrap_err();
    assert!(error.is_unusable());
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` was written by a newer cssc (format 2, this one knows up to 1): use that \
             version or give another file with --state",
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
    let mut connection = Connection::open(store.path()).unwrap();
    migrate(&mut connection, store.path(), &broken).unwrap_err();
    connection.prepare("SELECT * FROM extra").unwrap_err();
    Store::open(store.path()).unwrap();
}

#[test]
fn the_database_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE mails (id)").unwrap();
    let before = fs::read(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(error.is_unusable());
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is not a state file of cssc: move it away or give another one with --state",
            path.display()
        )
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_full_disk_is_told_and_keeps_what_was_recorded() {
    let (_folder, store) = store();
    let workflow = store.put_workflow("a", "{}", at(0)).unwrap();
    let cycle = store
        .begin_cycle(workflow, "{}", at(1), &Changes::default())
        .unwrap();
    let limit = |pages: i64| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        store
            .connection()
            .query_row(&sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    limit(limit(0) / 1_000_000_000 + 100);
    let event = "x".repeat(10_000);
    let changes = Changes {
        events: &[&event, &event],
        ..Changes::default()
    };
    let mut recorded = 0;
    let error = loop {
        match store.record(cycle, &changes) {
            Ok(()) => recorded += 2,
            Err(error) => break error,
        }
    };
    assert!(error.is_full());
    assert_eq!(
        error.to_string(),
        format!(
            "cannot write `{}`: the disk is full; free some space and start again, what was \
             recorded is kept",
            store.path().display()
        )
    );
    assert!(recorded > 0);
    assert_eq!(store.cycle(cycle).unwrap().unwrap().events.len(), recorded);
    limit(1_000_000);
    store.record(cycle, &changes).unwrap();
}

#[test]
fn what_sqlite_says_becomes_what_to_do() {
    for (code, text) in [
        (
            ffi::SQLITE_READONLY,
            "cannot write `s`: it is read-only; allow writing or give another file with --state",
        ),
        (
            ffi::SQLITE_CANTOPEN,
            "cannot open `s`: it is not there or may not be read; check the folder or give \
             another file with --state",
        ),
        (
            ffi::SQLITE_BUSY,
            "`s` is busy: another process has been writing for too long; try again",
        ),
        (
            ffi::SQLITE_CORRUPT,
            "`s` is damaged: Error code 11: database disk image is malformed; restore it from a copy or give \
             another file with --state",
        ),
    ] {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        let error = StoreError::sqlite(Path::new("s"), error).to_string();
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
        let values = vec![1; statement.parameter_count()];
        let values = rusqlite::params_from_iter(values);
        let rows = statement.query_map(values, |row| row.get::<_, String>(3));
        rows.unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
            .join("; ")
    };
    for (filter, index) in [
        ("", "runs_of_workflow"),
        ("AND task = ?", "runs_by_task"),
        ("AND status = ?", "runs_by_status"),
        ("AND task = ? AND status = ?", "runs_by_task_and_status"),
        ("AND name = ?", "runs_by_name"),
    ] {
        let sql =
            format!("SELECT * FROM runs WHERE workflow = ? {filter} ORDER BY id DESC LIMIT ?");
        let plan = plan(&sql);
        assert!(plan.contains(&format!("USING INDEX {index} ")), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
    let of_cycle = plan("SELECT * FROM runs WHERE cycle = ? ORDER BY id");
    assert!(of_cycle.contains("runs_of_cycle") && !of_cycle.contains("TEMP B-TREE"));
}
