//! The state file: across threads, processes and kills.
#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    reason = "a test may fail loudly, also in its helpers"
)]

use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use chrono::{DateTime, Utc};
use cssc_core::{
    Cause, Cycle, CycleImage, CycleOptions, Next, Outcome, Owner, PublishDecision, Reason, RunId,
    ScanDecision, Status, Step, Task,
};
use cssc_engine::store::{RunFilter, Store, StoredWorkflow};
use cssc_engine::tool::Log;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn open(folder: &Path) -> Store {
    Store::open(folder.join("cssc").join("state.db")).unwrap()
}

fn add(store: &Store, key: &str) -> StoredWorkflow {
    store.add_workflow(key, &Owner::new(1), at(0)).unwrap()
}

fn image(number: u32) -> CycleImage {
    CycleImage {
        repository: "python".parse().unwrap(),
        tag: format!("3.{number}").parse().unwrap(),
        scan_tag: format!("3.{number}").parse().unwrap(),
        patch_tag: Some(format!("3.{number}-1").parse().unwrap()),
        digest: None,
        patched_digest: None,
    }
}

/// A cycle that has its plan.
fn begin(store: &Store, workflow: &StoredWorkflow, images: u32, jobs: u32) -> Cycle {
    let options = CycleOptions {
        jobs: NonZeroU32::new(jobs).unwrap(),
        limit: None,
        ..CycleOptions::default()
    };
    let mut cycle = store
        .begin_cycle(workflow.id, |number| {
            Cycle::new(
                number,
                workflow.owner.clone(),
                Cause::Immediate,
                options,
                at(1),
            )
        })
        .unwrap();
    step(store, &mut cycle);
    let planned = Outcome::Planned {
        images: (0..images).map(image).collect(),
        unavailable: None,
    };
    let trigger = RunId::trigger(cycle.record().id());
    cycle.report(trigger, 1, planned, at(1)).unwrap();
    store.record(&cycle.take_changes()).unwrap();
    cycle
}

/// Takes the next work, if there is any, and records that.
fn step(store: &Store, cycle: &mut Cycle) -> Option<(RunId, u32, Step)> {
    let next = cycle.next_work(at(2));
    store.record(&cycle.take_changes()).unwrap();
    match next {
        Next::Work(work) => Some((work.run, work.attempt, work.step)),
        _ => None,
    }
}

/// Does the next step well, and records that: every even image is patched.
fn succeed(store: &Store, cycle: &mut Cycle) -> Option<RunId> {
    let (run, attempt, step) = step(store, cycle)?;
    let digest = format!("sha256:{:064x}", run.number());
    let outcome = match step {
        Step::Scan { .. } if run.image().unwrap().is_multiple_of(2) => Outcome::Scanned {
            verdict: ScanDecision::Patch,
            digest: Some(digest),
        },
        Step::Scan { .. } => Outcome::Scanned {
            verdict: ScanDecision::Skip(Reason::NoVulnerability),
            digest: Some(digest),
        },
        Step::Patch { .. } => Outcome::Patched {
            digest,
            original: Some(format!("sha256:{:064x}", 7)),
        },
        Step::Verify { .. } => Outcome::Verified {
            verdict: PublishDecision::Publish,
        },
        Step::Publish { .. } => Outcome::Published,
        Step::Plan | Step::Discard { .. } => Outcome::Discarded,
    };
    cycle.report(run, attempt, outcome, at(3)).unwrap();
    store.record(&cycle.take_changes()).unwrap();
    Some(run)
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

/// The current cycle, read back; that it can be restored says that its records fit together.
fn current(store: &Store, key: &str) -> Cycle {
    let workflow = store.workflow(key).unwrap().unwrap().id;
    let number = store.current_cycle(workflow).unwrap().unwrap().number;
    store.cycle(number).unwrap().unwrap()
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
            let run = cycle.run(run.parse().unwrap()).unwrap();
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
            scope.spawn(move || add(&open(folder), &format!("workflow-{number}")));
        }
    });
    assert_eq!(open(folder.path()).workflows().unwrap().len(), 16);
}

#[test]
fn a_workflow_keeps_its_owner_and_is_deleted_with_all_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    assert_eq!(store.workflow("a").unwrap(), None);
    let workflow = add(&store, "a");
    let other = store.add_workflow("a", &Owner::new(2), at(9)).unwrap();
    assert_eq!(other, workflow);
    store.looked_after(workflow.id, at(7)).unwrap();
    let looked_after = store.workflow("a").unwrap().unwrap().looked_after;
    assert_eq!(looked_after, at(7));

    let mut cycle = begin(&store, &workflow, 1, 1);
    let number = cycle.record().id();
    let run = RunId::trigger(number);
    store.append_log(run, "text").unwrap();
    cycle.next_work(at(2));
    assert!(store.delete_workflow(workflow.id).unwrap());
    assert!(!store.delete_workflow(workflow.id).unwrap());
    assert_eq!(store.cycle(number).unwrap(), None);
    assert_eq!(store.run(run).unwrap(), None);
    assert_eq!(store.log(run, 0).unwrap(), None);
    assert!(store.is_cancel_requested(number).unwrap());
    for error in [
        store.record(&cycle.take_changes()).unwrap_err(),
        store.append_log(run, "text").unwrap_err(),
    ] {
        assert!(error.is_gone());
        assert_eq!(
            error.to_string(),
            format!(
                "`{}` does not hold this any more: the workflow was deleted meanwhile",
                store.path().display()
            )
        );
    }
}

#[test]
fn cancel_reaches_the_cycle_that_goes_on_and_what_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let workflow = add(&store, "a");
    let id = workflow.id;
    assert_eq!(store.request_cancel(id, at(3)).unwrap(), None);
    let mut cycle = begin(&store, &workflow, 1, 1);
    let number = cycle.record().id();
    store.enqueue(id, at(3)).unwrap();
    assert!(!store.is_cancel_requested(number).unwrap());
    assert_eq!(store.request_cancel(id, at(5)).unwrap(), Some(number));
    assert_eq!(store.request_cancel(id, at(6)).unwrap(), Some(number));
    assert!(store.is_cancel_requested(number).unwrap());
    let state = store.current_cycle(id).unwrap().unwrap();
    assert_eq!(
        (state.cancel_requested, state.has_ended),
        (Some(at(5)), false)
    );
    assert_eq!(store.take_queued(id).unwrap(), None);

    cycle.cancel(at(7));
    store.record(&cycle.take_changes()).unwrap();
    assert!(store.current_cycle(id).unwrap().unwrap().has_ended);
    assert_eq!(store.request_cancel(id, at(8)).unwrap(), None);
    let next = begin(&store, &workflow, 1, 1).record().id();
    assert!(next > number);
    assert!(!store.is_cancel_requested(next).unwrap());
}

#[test]
fn one_cycle_answers_all_that_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let workflow = add(&store, "a").id;
    store.enqueue(workflow, at(3)).unwrap();
    store.enqueue(workflow, at(4)).unwrap();
    assert_eq!(store.take_queued(workflow).unwrap(), Some(at(3)));
    assert_eq!(store.take_queued(workflow).unwrap(), None);
}

#[test]
fn runs_are_listed_newest_first_and_filtered() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let workflow = add(&store, "a");
    let mut cycle = begin(&store, &workflow, 3, 1);
    let number = cycle.record().id();
    // The first image is patched at once, the others wait to be scanned.
    for _ in 0..5 {
        succeed(&store, &mut cycle);
    }
    let list = |task, status, top| {
        let filter = RunFilter { task, status, top };
        let runs = store.runs(workflow.id, &filter).unwrap();
        let numbers = runs.iter().map(|run| run.id().number().to_string());
        numbers.collect::<String>()
    };
    assert_eq!(list(None, None, None), "36421");
    assert_eq!(list(None, None, Some(2)), "36");
    assert_eq!(list(Some(Task::Scan), None, None), "642");
    assert_eq!(list(None, Some(Status::Succeeded), None), "321");
    assert_eq!(list(Some(Task::Scan), Some(Status::Queued), Some(1)), "6");
    let patch = store.run(RunId::patch(number, 0)).unwrap();
    assert_eq!(patch.as_ref(), cycle.run(RunId::patch(number, 0)));
    assert_eq!(store.run(RunId::patch(number, 1)).unwrap(), None);
}

#[test]
fn what_an_image_was_patched_from_outlives_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let workflow = add(&store, "a");
    let mut cycle = begin(&store, &workflow, 3, 1);
    while succeed(&store, &mut cycle).is_some() {}
    begin(&store, &workflow, 1, 1);
    assert_eq!(store.prune(workflow.id, 0).unwrap(), 6);
    let patched = store.patched(workflow.id).unwrap();
    let lines: Vec<String> = patched
        .iter()
        .map(|image| format!("{}:{} {}", image.repository, image.tag, image.published))
        .collect();
    assert_eq!(lines, ["python:3.0 3.0-1", "python:3.2 3.2-1"]);
    assert_eq!(patched[0].digest, format!("sha256:{:064x}", 7));
}

#[test]
fn a_log_is_followed_by_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let cycle = begin(&store, &add(&store, "a"), 1, 1).record().id();
    let (run, other) = (RunId::trigger(cycle), RunId::scan(cycle, 0));
    let nobody = RunId::scan(cycle, 9);
    store.append_log(nobody, "x").unwrap_err();
    assert_eq!(store.log(nobody, 0).unwrap(), None);
    let whole = "erste Zeile äöü\nzweite\n… und mehr\n";
    let mut followed = String::new();
    for piece in whole.split_inclusive('\n') {
        store.append_log(other, "other").unwrap();
        store.append_log(run, piece).unwrap();
        let more = store.log(run, followed.len()).unwrap().unwrap();
        assert_eq!(more, piece);
        followed.push_str(&more);
    }
    for (offset, _) in whole.char_indices() {
        let rest = store.log(run, offset).unwrap().unwrap();
        assert_eq!(rest, whole[offset..]);
    }
    assert_eq!(store.log(run, 9999).unwrap().unwrap(), "");

    let log = store.run_log(run);
    log.line("third");
    log.line("fourth");
    log.finish().unwrap();
    let rest = store.log(run, whole.len()).unwrap().unwrap();
    assert_eq!(rest, "third\nfourth\n");
}

#[test]
fn old_cycles_are_forgotten_but_not_the_current_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let workflow = add(&store, "a");
    let cycles: Vec<u64> = (0..4)
        .map(|_| begin(&store, &workflow, 9, 1).record().id())
        .collect();
    store.append_log(RunId::trigger(cycles[0]), "x").unwrap();
    assert_eq!(store.prune(workflow.id, 31).unwrap(), 0);
    assert_eq!(store.prune(workflow.id, 30).unwrap(), 10);
    assert_eq!(store.cycle(cycles[0]).unwrap(), None);
    assert_eq!(store.prune(workflow.id, 11).unwrap(), 10);
    assert_eq!(store.prune(workflow.id, 0).unwrap(), 10);
    let left = store.runs(workflow.id, &RunFilter::default()).unwrap();
    assert_eq!(left.len(), 10);
    assert!(left.iter().all(|run| run.id().cycle() == cycles[3]));
}

/// `cargo test --release -p cssc-engine --test store -- --ignored --nocapture`
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
        usize::from(store.run(RunId::scan(3, 77)).unwrap().is_some())
    });
    let begin = Instant::now();
    let mut steps = 0;
    while succeed(&store, &mut cycle).is_some() {
        steps += 1;
    }
    // Two records each: that it was begun, and how it ended.
    println!("a step, recorded: {:?}", begin.elapsed() / steps);
}
