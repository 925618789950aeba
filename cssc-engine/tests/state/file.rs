//! What only a file has: processes, kills, links and removals.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::AtomicBool;

use cssc_core::cycle::Status;
use cssc_engine::state::{SqliteState, StateErrorKind};

use super::*;

pub(super) fn open(folder: &Path) -> SqliteState {
    SqliteState::open(folder.join("cssc").join("state.db")).unwrap()
}

/// Not a test: what the other processes do, when this file starts itself again.
#[test]
fn in_another_process() {
    let Ok(task) = std::env::var("TEST_STATE_TASK") else {
        return;
    };
    let folder = std::env::var("TEST_STATE_FOLDER").unwrap();
    let store = open(Path::new(&folder));
    let mut out = std::io::stdout();
    if task == "lock" {
        let workflow = store.workflow("held").unwrap().unwrap().id;
        let _lock = store.lock(workflow, at(1_700_000_000)).unwrap();
        writeln!(out, "\nready").unwrap();
        loop {
            std::thread::park();
        }
    }
    let mut cycle = begin(&store, &add(&store, &task), 150, 3);
    writeln!(out, "\nready").unwrap();
    while let Some(run) = succeed(&store, &mut cycle) {
        writeln!(out, "{run}").unwrap();
    }
}

struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(folder: &Path, task: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "file::in_another_process", "--nocapture"])
            .env("TEST_STATE_TASK", task)
            .env("TEST_STATE_FOLDER", folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"));
        Self { child, lines }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The current cycle, read back; that it can be restored says that its records fit together.
fn current(store: &dyn State, key: &str) -> Cycle {
    let workflow = store.workflow(key).unwrap().unwrap().id;
    let id = store.current_cycle(workflow).unwrap().unwrap().id;
    store.cycle(id).unwrap().unwrap()
}

#[test]
fn two_processes_write_and_a_third_reads_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut others = ["a", "b"].map(|task| Other::start(folder.path(), task));
    while others
        .iter_mut()
        .any(|other| other.child.try_wait().unwrap().is_none())
    {
        for other in &mut others {
            // Their pipes must not fill up.
            other.lines.by_ref().take(20).for_each(drop);
        }
        let done = |cycle: Cycle| cycle.summary().done();
        let before = done(current(&store, "a"));
        assert!(done(current(&store, "a")) >= before);
    }
    for (other, key) in others.iter_mut().zip(["a", "b"]) {
        assert!(other.child.wait().unwrap().success());
        let cycle = current(&store, key);
        assert!(cycle.has_ended());
        assert_eq!(cycle.record().status(), Status::Succeeded);
        assert_eq!(cycle.runs().count(), 1 + 150 + 75);
    }
}

#[test]
fn after_a_kill_the_cycle_goes_on_where_it_stopped() {
    for after in [0, 1, 7, 40, 111] {
        let folder = tempfile::tempdir().unwrap();
        let mut other = Other::start(folder.path(), "a");
        let said: Vec<String> = other
            .lines
            .by_ref()
            .take(after)
            .map(Result::unwrap)
            .collect();
        other.kill();

        let store = open(folder.path());
        let mut cycle = current(&store, "a");
        for run in said {
            let run = cycle.run(&run.parse().unwrap()).unwrap();
            assert!(run.started().is_some());
        }
        cycle.recover(at(4));
        store.record(&cycle.take_changes()).unwrap();
        while succeed(&store, &mut cycle).is_some() {}
        assert!(cycle.has_ended());
        assert_eq!(current(&store, "a"), cycle);
        assert_eq!(cycle.runs().count(), 1 + 150 + 75);
    }
}

#[test]
fn one_process_runs_a_workflow_until_it_dies() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let workflow = add(&store, "held").id;
    let other = Other::start(folder.path(), "lock");
    let error = store.lock(workflow, at(2)).unwrap_err();
    assert!(error.is_held());
    let pid = other.child.id();
    let start = format!("workflow `held` is run by process {pid} on `");
    let text = error.to_string();
    assert!(text.starts_with(&start), "{text}");
    assert!(text.ends_with("` since 2023-11-14T22:13:20Z"), "{text}");
    let holder = store.holder(workflow).unwrap().unwrap();
    assert!(text.ends_with(&holder), "{holder}");
    other.kill();
    assert_eq!(store.holder(workflow).unwrap(), None);

    let lock = store.lock(workflow, at(3)).unwrap();
    assert!(store.lock(workflow, at(4)).unwrap_err().is_held());
    drop(lock);
    store.lock(workflow, at(5)).unwrap();
}

#[test]
fn many_open_a_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let folder = folder.path();
            scope.spawn(move || add(&open(folder), &format!("workflow-{number}")));
        }
    });
    assert_eq!(open(folder.path()).workflows().unwrap().len(), 16);
}

#[test]
fn whoever_only_looks_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nothing").join("state.db");
    let error = SqliteState::open_existing(&path).unwrap_err();
    assert!(error.is_missing());
    let text = format!("there is no state file `{}`", path.display());
    assert_eq!(error.to_string(), text);
    assert!(!path.parent().unwrap().exists());
}

#[cfg(unix)]
#[test]
fn a_file_that_was_removed_or_replaced_is_used_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let id = add(&state, "a").id;
    let cycle = begin(&state, &state.workflow("a").unwrap().unwrap(), 1, 1);
    let path = state.path().to_owned();
    std::fs::remove_file(&path).unwrap();
    let check = || {
        for error in [
            state.add_workflow("b", at(0)).unwrap_err(),
            state.take_queued(id).unwrap_err(),
            state.is_cancel_requested(cycle.record().id()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), StateErrorKind::Removed);
            let text = format!(
                "the state file `{}` was removed or replaced while it was in use: its records are \
                 lost; start again",
                path.display()
            );
            assert_eq!(error.to_string(), text);
        }
    };
    check();
    assert!(!path.exists());
    let other = open(folder.path());
    check();
    assert_eq!(other.workflows().unwrap(), []);
}

#[test]
fn a_file_has_one_lock_however_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let workflow = add(&state, "a").id;
    let detour = folder.path().join("cssc").join("..").join("cssc");
    let mut others = vec![SqliteState::open_existing(detour.join("state.db")).unwrap()];
    #[cfg(unix)]
    {
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(state.path(), &link).unwrap();
        others.push(SqliteState::open(link).unwrap());
    }
    let _lock = state.lock(workflow, at(1)).unwrap();
    for other in others {
        assert_eq!(other.path(), state.path());
        assert!(other.lock(workflow, at(2)).unwrap_err().is_held());
    }
}

#[test]
fn whoever_looks_is_not_taken_for_the_holder() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let workflow = add(&state, "a").id;
    let names = || {
        let files = std::fs::read_dir(folder.path().join("cssc")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("lock")).count()
    };
    assert_eq!(state.holder(workflow).unwrap(), None);
    assert_eq!(names(), 0);
    drop(state.lock(workflow, at(1)).unwrap());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    state.holder(workflow).unwrap();
                }
            });
        }
        for _ in 0..50 {
            drop(state.lock(workflow, at(2)).unwrap());
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert_eq!(names(), 1);
    assert!(state.delete_workflow(workflow).unwrap());
    assert_eq!(names(), 0);
    assert!(state.lock(workflow, at(3)).unwrap_err().is_gone());
    assert_eq!(names(), 0);
}

#[test]
fn an_error_keeps_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let error = SqliteState::open(folder.path()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot open `{}`: {source}; check the folder or use another file",
            folder.path().display()
        )
    );
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_the_lock_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let workflow = add(&state, "a").id;
    let victim = folder.path().join("victim");
    let lock = folder.path().join("cssc").join("state.db-lock-1");
    std::os::unix::fs::symlink(&victim, &lock).unwrap();
    let error = state.lock(workflow, at(1)).unwrap_err().to_string();
    let start = format!("cannot lock `{}`: ", lock.display());
    assert!(error.starts_with(&start), "{error}");
    assert!(!victim.exists());
}

/// `cargo test --release -p cssc-engine --test state -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: writes a million runs"]
fn a_million_runs_answer_in_time() {
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let workflow = add(&store, "a");
    for _ in 0..99 {
        begin(&store, &workflow, 10_000, 1);
    }
    let mut cycle = begin(&store, &workflow, 10_000, 1);
    let number = cycle.record().id();
    let measure = |what: &str, limit: u64, work: &dyn Fn() -> usize| {
        let begin = Instant::now();
        let count = work();
        let took = begin.elapsed();
        println!("{what}: {count} in {took:?}");
        assert!(took < Duration::from_millis(limit), "{what}: {took:?}");
    };
    measure("the rows of 10,000 images", 100, &|| {
        store.cycle(number).unwrap().unwrap().rows().count()
    });
    for (task, status) in [
        (None, None),
        (Some(Task::Scan), None),
        (None, Some(Status::Queued)),
        (Some(Task::Scan), Some(Status::Failed)),
    ] {
        let top = Some(1000);
        let filter = RunFilter { task, status, top };
        measure(&format!("{filter:?}"), 200, &|| {
            store.runs(workflow.id, &filter).unwrap().len()
        });
    }
    measure("one run", 20, &|| {
        usize::from(store.run(&RunId::scan(number, 77)).unwrap().is_some())
    });
    let begin = Instant::now();
    let mut steps = 0;
    while succeed(&store, &mut cycle).is_some() {
        steps += 1;
    }
    // Two records each: that it was begun, and how it ended.
    println!("a step, recorded: {:?}", begin.elapsed() / steps);
}
