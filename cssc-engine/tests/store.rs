//! The state file: across threads, processes and kills.
#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    reason = "a test may fail loudly, also in its helpers"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use chrono::{DateTime, Utc};
use cssc_engine::store::{Changes, CycleId, RunFilter, RunRecord, Store, WorkflowId};
use cssc_engine::tool::Log;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn open(folder: &Path) -> Store {
    Store::open(folder.join("cssc").join("state.db")).unwrap()
}

fn begin(store: &Store, key: &str) -> (WorkflowId, CycleId) {
    let workflow = store.put_workflow(key, "{}", at(0)).unwrap();
    let cycle = store.begin_cycle(workflow, "{}", at(0), &Changes::default());
    (workflow, cycle.unwrap())
}

fn run<'a>(name: &'a str, status: &'a str) -> RunRecord<'a> {
    RunRecord {
        name,
        task: "cssc-scan-image",
        status,
        image: Some("python:3.11"),
        created: at(1),
        started: None,
        ended: None,
        document: "{}",
    }
}

/// Not a test: what the other processes do, when this file starts itself again.
#[test]
fn in_another_process() {
    let Ok(task) = std::env::var("TEST_STORE_TASK") else {
        return;
    };
    let folder = std::env::var("TEST_STORE_FOLDER").unwrap();
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
    let (_, cycle) = begin(&store, &task);
    writeln!(out, "\nready").unwrap();
    for number in 0..300 {
        let name = format!("run-{number}");
        let changes = Changes {
            events: &[&name],
            runs: &[run(&name, "Queued")],
            ..Changes::default()
        };
        store.record(cycle, &changes).unwrap();
        writeln!(out, "{number}").unwrap();
    }
}

struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(folder: &Path, task: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "in_another_process", "--nocapture"])
            .env("TEST_STORE_TASK", task)
            .env("TEST_STORE_FOLDER", folder)
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

#[test]
fn two_processes_write_and_a_third_reads_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut others = ["a", "b"].map(|task| Other::start(folder.path(), task));
    let cycle = |key| {
        let workflow = store.workflow(key).unwrap().unwrap().id;
        let cycle = store.current_cycle(workflow).unwrap().unwrap();
        (workflow, cycle)
    };
    while others
        .iter_mut()
        .any(|other| other.child.try_wait().unwrap().is_none())
    {
        for other in &mut others {
            // Their pipes must not fill up.
            other.lines.by_ref().take(20).for_each(drop);
        }
        let (_, current) = cycle("a");
        let expected: Vec<String> = (0..current.events.len())
            .map(|n| format!("run-{n}"))
            .collect();
        assert_eq!(current.events, expected);
    }
    for (other, key) in others.iter_mut().zip(["a", "b"]) {
        assert!(other.child.wait().unwrap().success());
        let (workflow, current) = cycle(key);
        assert_eq!(current.events.len(), 300);
        assert_eq!(
            store.runs(workflow, &RunFilter::default()).unwrap().len(),
            300
        );
    }
}

#[test]
fn a_kill_leaves_every_record_whole_and_loses_none() {
    for after in [0, 1, 7, 40, 111] {
        let folder = tempfile::tempdir().unwrap();
        let mut other = Other::start(folder.path(), "a");
        let said = other.lines.by_ref().take(after).last();
        other.kill();
        let store = open(folder.path());
        let workflow = store.workflow("a").unwrap().unwrap().id;
        let cycle = store.current_cycle(workflow).unwrap().unwrap();
        let mut runs: Vec<String> = store
            .runs_of_cycle(cycle.id)
            .unwrap()
            .into_iter()
            .map(|run| run.name)
            .collect();
        assert_eq!(runs, cycle.events);
        let expected = said.map_or(0, |line| line.unwrap().parse::<usize>().unwrap() + 1);
        assert!(runs.len() >= expected);
        runs.push("next".to_owned());
        let changes = Changes {
            events: &["next"],
            runs: &[run("next", "Queued")],
            ..Changes::default()
        };
        store.record(cycle.id, &changes).unwrap();
        assert_eq!(store.cycle(cycle.id).unwrap().unwrap().events, runs);
    }
}

#[test]
fn one_process_runs_a_workflow_until_it_dies() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let workflow = store.put_workflow("held", "{}", at(0)).unwrap();
    let other = Other::start(folder.path(), "lock");
    let error = store.lock(workflow, at(2)).unwrap_err();
    assert!(error.is_held());
    let start = format!(
        "workflow `held` is run by process {} on `",
        other.child.id()
    );
    let text = error.to_string();
    assert!(text.starts_with(&start), "{text}");
    assert!(text.ends_with("` since 2023-11-14T22:13:20Z"), "{text}");
    other.kill();

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
            scope.spawn(move || begin(&open(folder), &format!("workflow-{number}")));
        }
    });
    assert_eq!(open(folder.path()).workflows().unwrap().len(), 16);
}

#[test]
fn a_workflow_is_stored_replaced_and_deleted_with_all_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    assert_eq!(store.workflow("a").unwrap(), None);
    let (workflow, cycle) = begin(&store, "a");
    assert_eq!(store.put_workflow("a", "[1]", at(9)).unwrap(), workflow);
    let stored = store.workflow("a").unwrap().unwrap();
    assert_eq!((stored.document.as_str(), stored.modified), ("[1]", at(9)));
    let changes = Changes {
        runs: &[run("r", "Queued")],
        ..Changes::default()
    };
    store.record(cycle, &changes).unwrap();
    store.append_log(workflow, "r", "text").unwrap();
    assert!(store.delete_workflow(workflow).unwrap());
    assert!(!store.delete_workflow(workflow).unwrap());
    assert_eq!(store.cycle(cycle).unwrap(), None);
    assert_eq!(store.log(workflow, "r", 0).unwrap(), None);
    assert!(store.is_cancel_requested(cycle).unwrap());
}

#[test]
fn a_document_takes_the_place_of_the_events_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (workflow, cycle) = begin(&store, "a");
    let record = |document, events| {
        let changes = Changes {
            document,
            events,
            ..Changes::default()
        };
        store.record(cycle, &changes).unwrap();
        let cycle = store.current_cycle(workflow).unwrap().unwrap();
        (cycle.document, cycle.events.join(" "))
    };
    assert_eq!(record(None, &["1", "2"]), ("{}".into(), "1 2".into()));
    assert_eq!(record(Some("[]"), &[]), ("[]".into(), String::new()));
    assert_eq!(record(Some("[3]"), &["4"]), ("[3]".into(), "4".into()));
    assert_eq!(record(None, &["5"]), ("[3]".into(), "4 5".into()));
}

#[test]
fn cancel_reaches_the_cycle_that_goes_on_and_what_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (workflow, cycle) = begin(&store, "a");
    store.enqueue(workflow, at(3)).unwrap();
    assert!(!store.is_cancel_requested(cycle).unwrap());
    assert_eq!(store.request_cancel(workflow, at(5)).unwrap(), Some(cycle));
    assert_eq!(store.request_cancel(workflow, at(6)).unwrap(), Some(cycle));
    assert!(store.is_cancel_requested(cycle).unwrap());
    let stored = store.cycle(cycle).unwrap().unwrap();
    assert_eq!(stored.cancel_requested, Some(at(5)));
    assert_eq!(store.take_queued(workflow).unwrap(), None);

    let ended = Changes {
        ended: Some(at(7)),
        ..Changes::default()
    };
    store.record(cycle, &ended).unwrap();
    assert_eq!(store.request_cancel(workflow, at(8)).unwrap(), None);
    let next = store
        .begin_cycle(workflow, "{}", at(9), &Changes::default())
        .unwrap();
    assert!(!store.is_cancel_requested(next).unwrap());
}

#[test]
fn one_cycle_answers_all_that_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (workflow, _) = begin(&store, "a");
    store.enqueue(workflow, at(3)).unwrap();
    store.enqueue(workflow, at(4)).unwrap();
    assert_eq!(store.take_queued(workflow).unwrap(), Some(at(3)));
    assert_eq!(store.take_queued(workflow).unwrap(), None);
}

#[test]
fn runs_are_listed_newest_first_and_filtered() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (workflow, cycle) = begin(&store, "a");
    let patch = RunRecord {
        task: "cssc-patch-image",
        ..run("3", "Queued")
    };
    let changes = Changes {
        runs: &[run("1", "Queued"), run("2", "Queued"), patch],
        ..Changes::default()
    };
    store.record(cycle, &changes).unwrap();
    let done = RunRecord {
        status: "Succeeded",
        ended: Some(at(8)),
        ..run("1", "")
    };
    let changes = Changes {
        runs: &[done],
        ..Changes::default()
    };
    store.record(cycle, &changes).unwrap();
    let list = |task, status, top| {
        let filter = RunFilter { task, status, top };
        let runs = store.runs(workflow, &filter).unwrap();
        runs.into_iter().map(|run| run.name).collect::<String>()
    };
    assert_eq!(list(None, None, None), "321");
    assert_eq!(list(None, None, Some(2)), "32");
    assert_eq!(list(Some("cssc-scan-image"), None, None), "21");
    assert_eq!(list(None, Some("Succeeded"), None), "1");
    assert_eq!(list(Some("cssc-scan-image"), Some("Queued"), Some(9)), "2");
    let row = store.run(workflow, "1").unwrap().unwrap();
    assert_eq!((row.status.as_str(), row.ended), ("Succeeded", Some(at(8))));
    assert_eq!(store.run(workflow, "4").unwrap(), None);
}

#[test]
fn a_log_is_followed_by_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (workflow, cycle) = begin(&store, "a");
    let changes = Changes {
        runs: &[run("r", "Running"), run("s", "Running")],
        ..Changes::default()
    };
    store.record(cycle, &changes).unwrap();
    store.append_log(workflow, "nobody", "x").unwrap_err();
    assert_eq!(store.log(workflow, "nobody", 0).unwrap(), None);
    let whole = "erste Zeile äöü\nzweite\n… und mehr\n";
    let mut followed = String::new();
    for piece in whole.split_inclusive('\n') {
        store.append_log(workflow, "s", "other").unwrap();
        store.append_log(workflow, "r", piece).unwrap();
        let more = store.log(workflow, "r", followed.len()).unwrap().unwrap();
        assert_eq!(more, piece);
        followed.push_str(&more);
    }
    for (offset, _) in whole.char_indices() {
        let rest = store.log(workflow, "r", offset).unwrap().unwrap();
        assert_eq!(rest, whole[offset..]);
    }
    assert_eq!(store.log(workflow, "r", 9999).unwrap().unwrap(), "");

    let log = store.run_log(workflow, "r");
    log.line("third");
    log.line("fourth");
    log.finish().unwrap();
    let rest = store.log(workflow, "r", whole.len()).unwrap().unwrap();
    assert_eq!(rest, "third\nfourth\n");
}

#[test]
fn old_runs_are_forgotten_but_none_of_the_current_cycle() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (workflow, first) = begin(&store, "a");
    let names: Vec<String> = (0..2500).map(|number| format!("old-{number}")).collect();
    let record = |cycle, names: &[String]| {
        let runs: Vec<_> = names.iter().map(|name| run(name, "Succeeded")).collect();
        let changes = Changes {
            runs: &runs,
            ..Changes::default()
        };
        store.record(cycle, &changes).unwrap();
    };
    record(first, &names);
    store.append_log(workflow, "old-0", "x").unwrap();
    assert_eq!(store.prune(workflow, 10).unwrap(), 0);
    let (_, second) = begin(&store, "a");
    record(second, &["new-1".to_owned(), "new-2".to_owned()]);
    assert_eq!(store.prune(workflow, 10).unwrap(), 2492);
    let left = store.runs(workflow, &RunFilter::default()).unwrap();
    assert_eq!(left.len(), 10);
    assert_eq!(left[2].name, "old-2499");
    assert_eq!(store.prune(workflow, 0).unwrap(), 8);
    assert_eq!(store.cycle(first).unwrap(), None);
    assert_eq!(
        store.runs(workflow, &RunFilter::default()).unwrap().len(),
        2
    );
}

/// `cargo test --release -p cssc-engine --test store -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: writes a million runs"]
fn a_million_runs_answer_in_time() {
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut current = None;
    for _ in 0..100 {
        let (workflow, cycle) = begin(&store, "a");
        current = Some((workflow, cycle));
        let base = cycle_number(&store, workflow);
        let names: Vec<String> = (0..10_000).map(|n| format!("{base}-{n}")).collect();
        let document = format!(r#"{{"reason":"{}"}}"#, "x".repeat(300));
        let runs: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(number, name)| RunRecord {
                status: ["Succeeded", "Failed", "Skipped"][number % 3],
                document: &document,
                ..run(name, "")
            })
            .collect();
        let changes = Changes {
            runs: &runs,
            ..Changes::default()
        };
        store.record(cycle, &changes).unwrap();
    }
    let (workflow, cycle) = current.unwrap();
    let measure = |what: &str, limit: u64, work: &dyn Fn() -> usize| {
        let begin = Instant::now();
        let count = work();
        let took = begin.elapsed();
        println!("{what}: {count} in {took:?}");
        assert!(took < Duration::from_millis(limit), "{what}: {took:?}");
    };
    measure("runs of the current cycle", 100, &|| {
        store.runs_of_cycle(cycle).unwrap().len()
    });
    for (task, status) in [
        (None, None),
        (Some("cssc-scan-image"), None),
        (None, Some("Failed")),
        (Some("cssc-scan-image"), Some("Running")),
    ] {
        let filter = RunFilter {
            task,
            status,
            top: Some(1000),
        };
        measure(&format!("{filter:?}"), 200, &|| {
            store.runs(workflow, &filter).unwrap().len()
        });
    }
    measure("one run", 20, &|| {
        usize::from(store.run(workflow, "1-77").unwrap().is_some())
    });
    let begin = Instant::now();
    for number in 0..1000 {
        let name = format!("more-{number}");
        let changes = Changes {
            events: &["{}"],
            runs: &[run(&name, "Running")],
            ..Changes::default()
        };
        store.record(cycle, &changes).unwrap();
    }
    println!("a record: {:?}", begin.elapsed() / 1000);
}

fn cycle_number(store: &Store, workflow: WorkflowId) -> String {
    let cycle = store.current_cycle(workflow).unwrap().unwrap();
    format!("{:?}", cycle.id).replace(|letter: char| !letter.is_ascii_digit(), "")
}
