//! State: the same tests over every implementation.
#![allow(
    clippy::unwrap_used,
    reason = "a test may fail loudly, also in its helpers"
)]

#[cfg(feature = "sqlite")]
mod file;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU16, Ordering};

use chrono::{DateTime, Utc};
use cssc_core::Cycle;
use cssc_core::cycle::{
    Assignment, Cause, Comparison, CopyOutcome, CycleId, CycleImage, CycleOptions, CyclePlatform,
    CycleReport, NextStep, PatchOutcome, PlanOutcome, PublishOutcome, RunId, ScanOutcome, Status,
    Step, StepOutcome, Task, VerifyOutcome,
};
use cssc_core::plan::ImageLimit;
use cssc_core::scan::{ScanSkip, ScanVerdict};
use cssc_core::workflow::WorkflowSettings;
use cssc_core::{Digest, Evidence, ScanReport};
use cssc_engine::state::{CancelRequest, MemoryState, RunFilter, State, StoredWorkflow};
use cssc_engine::tool::Log;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// Runs a test over each implementation.
fn over_each(test: impl Fn(&dyn State)) {
    test(&MemoryState::default());
    #[cfg(feature = "sqlite")]
    {
        let folder = tempfile::tempdir().unwrap();
        test(&file::open(folder.path()));
    }
}

fn add(state: &dyn State, key: &str) -> StoredWorkflow {
    state.add_workflow(key, at(0)).unwrap()
}

fn image(number: u32) -> CycleImage {
    CycleImage {
        repository: "python".parse().unwrap(),
        tag: format!("3.{number}").parse().unwrap(),
        digest: digest(number),
        platforms: vec![CyclePlatform {
            platform: "linux/amd64".parse().unwrap(),
            digest: digest(number),
            patch: None,
            size: 0,
        }],
        unselected: Vec::new(),
        latest_patch: None,
        patch_tag: Some(format!("3.{number}-1").parse().unwrap()),
    }
}

fn digest(number: u32) -> Digest {
    format!("sha256:{number:064x}").parse().unwrap()
}

/// A name that no other cycle of this process has.
fn new_id() -> CycleId {
    static NUMBER: AtomicU16 = AtomicU16::new(1);
    let process = i64::from(std::process::id());
    CycleId::new(at(process), NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn any_number() -> WorkflowSettings {
    let mut settings = WorkflowSettings::default();
    settings.limit = Some(ImageLimit::NONE);
    settings
}

/// A cycle that has its plan.
fn begin(state: &dyn State, workflow: &StoredWorkflow, images: u32, jobs: u32) -> Cycle {
    let options = CycleOptions {
        jobs: NonZeroU32::new(jobs).unwrap(),
        settings: any_number(),
        ..CycleOptions::default()
    };
    let mut cycle = Cycle::new(new_id(), Cause::Immediate, options, at(1));
    state.begin_cycle(workflow.id, &mut cycle).unwrap();
    step(state, &mut cycle);
    let planned = PlanOutcome {
        images: (0..images).map(image).collect(),
        ..PlanOutcome::default()
    };
    let trigger = RunId::trigger(cycle.record().id());
    cycle.report(&trigger, 1, planned.into(), at(1)).unwrap();
    state.record(&cycle.take_changes()).unwrap();
    cycle
}

/// Takes the next step, if there is any, and records that.
fn step(state: &dyn State, cycle: &mut Cycle) -> Option<Assignment> {
    let next = cycle.next_step(at(2));
    state.record(&cycle.take_changes()).unwrap();
    match next {
        NextStep::Assigned(assignment) => Some(*assignment),
        _ => None,
    }
}

/// Does the next step well, and records that: every even image is patched.
fn succeed(state: &dyn State, cycle: &mut Cycle) -> Option<RunId> {
    let Assignment {
        run, attempt, step, ..
    } = step(state, cycle)?;
    let outcome: StepOutcome = match step {
        Step::Scan(_) => ScanOutcome {
            verdict: if run.image().unwrap().is_multiple_of(2) {
                ScanVerdict::Patch { fixable: 1 }
            } else {
                ScanVerdict::Skip(ScanSkip::NoVulnerability)
            },
            fixable: Vec::new(),
            unfixed: 0,
            database: None,
        }
        .into(),
        Step::Patch(_) => PatchOutcome::Made(digest(1_000_002)).into(),
        Step::Verify(step) => {
            let report = |findings: &str| {
                let text = format!(
                    r#"{{"SchemaVersion": 2, "Metadata": {{"OS": {{"Family": "debian"}}}},
                        "Results": [{{"Class": "os-pkgs", "Packages": [{{"Name": "a"}}],
                                      "Vulnerabilities": [{findings}]}}]}}"#
                );
                ScanReport::from_slice(text.as_bytes()).unwrap()
            };
            let finding = r#"{"VulnerabilityID": "CVE-1", "PkgName": "a", "FixedVersion": "2"}"#;
            let evidence = Evidence::compare(&report(finding), &report(""));
            let comparisons = step.scanned.into_iter().map(|scanned| Comparison {
                scanned,
                evidence: evidence.clone(),
            });
            VerifyOutcome {
                mismatch: None,
                comparisons: comparisons.collect(),
            }
            .into()
        }
        Step::Copy(_) => CopyOutcome::Copied(digest(1_000_002)).into(),
        Step::Publish(_) => PublishOutcome::Published.into(),
        step => unreachable!("{step:?}"),
    };
    cycle.report(&run, attempt, outcome, at(3)).unwrap();
    state.record(&cycle.take_changes()).unwrap();
    Some(run)
}

#[test]
fn one_owner_has_the_lock_at_a_time() {
    over_each(|state| {
        let workflow = add(state, "a").id;
        assert_eq!(state.holder(workflow).unwrap(), None);
        let lock = state.lock(workflow, at(2)).unwrap();
        let error = state.lock(workflow, at(3)).unwrap_err();
        assert!(error.is_held());
        let holder = state.holder(workflow).unwrap().unwrap();
        assert_eq!(
            error.to_string(),
            format!("workflow `a` is run by {holder}")
        );
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        drop(lock);
        assert_eq!(state.holder(workflow).unwrap(), None);
        state.lock(workflow, at(4)).unwrap();
    });
}

#[test]
fn the_report_of_a_cycle_is_kept_and_goes_with_it() {
    over_each(|state| {
        let workflow = add(state, "a");
        let mut cycle = begin(state, &workflow, 3, 1);
        let id = cycle.record().id();
        while succeed(state, &mut cycle).is_some() {}
        assert_eq!(state.report(id).unwrap(), None);
        let mut report = CycleReport::new(&cycle);
        assert_eq!(report.summary().done(), 3);
        for _ in 0..2 {
            state.keep_report(&report).unwrap();
            assert_eq!(state.report(id).unwrap().as_ref(), Some(&report));
            report.follow([report.clone()]);
        }
        state.delete_workflow(workflow.id).unwrap();
        assert_eq!(state.report(id).unwrap(), None);
        assert!(state.keep_report(&report).unwrap_err().is_gone());
    });
}

#[test]
fn a_workflow_is_added_once_and_deleted_with_all_it_has() {
    over_each(|state| {
        assert_eq!(state.workflow("a").unwrap(), None);
        let workflow = add(state, "a");
        assert_eq!(state.add_workflow("a", at(9)).unwrap(), workflow);
        state.set_checkpoint(workflow.id, at(7)).unwrap();
        let checkpoint = state.workflow("a").unwrap().unwrap().checkpoint;
        assert_eq!(checkpoint, at(7));

        let mut cycle = begin(state, &workflow, 1, 1);
        let id = cycle.record().id();
        let run = RunId::trigger(id);
        state.append_log(&run, "text").unwrap();
        cycle.next_step(at(2));
        assert!(state.delete_workflow(workflow.id).unwrap());
        assert!(!state.delete_workflow(workflow.id).unwrap());
        assert_eq!(state.cycle(id).unwrap(), None);
        assert_eq!(state.run(&run).unwrap(), None);
        assert_eq!(state.log(&run, 0).unwrap(), None);
        assert!(state.is_cancel_requested(id).unwrap());
        let mut late = Cycle::new(new_id(), Cause::Immediate, CycleOptions::default(), at(1));
        for error in [
            state.record(&cycle.take_changes()).unwrap_err(),
            state.append_log(&run, "text").unwrap_err(),
            state.begin_cycle(workflow.id, &mut late).unwrap_err(),
        ] {
            assert!(error.is_gone());
            assert_eq!(
                error.to_string(),
                "the state no longer contains this: the workflow was deleted in the meantime"
            );
        }
        // A workflow that is made anew is another one.
        assert_ne!(add(state, "a").id, workflow.id);
    });
}

#[test]
fn what_is_not_there_is_not_changed() {
    over_each(|state| {
        let workflow = add(state, "a");
        let cycle = begin(state, &workflow, 1, 1).record().id();
        let id = workflow.id;
        assert!(state.delete_workflow(id).unwrap());
        let mut new = Cycle::new(new_id(), Cause::Immediate, CycleOptions::default(), at(1));
        for error in [
            state.set_checkpoint(id, at(1)).unwrap_err(),
            state.lock(id, at(1)).unwrap_err(),
            state.enqueue(id, at(1)).unwrap_err(),
            state.begin_cycle(id, &mut new).unwrap_err(),
            state.append_log(&RunId::trigger(cycle), "x").unwrap_err(),
        ] {
            assert!(error.is_gone(), "{error}");
        }
        assert_eq!(state.holder(id).unwrap(), None);
        assert_eq!(state.current_cycle(id).unwrap(), None);
        assert_eq!(state.cycles(id, 9).unwrap(), []);
        assert_eq!(
            state.request_cancel(id, at(1)).unwrap(),
            CancelRequest::default()
        );
        assert_eq!(state.runs(id, &RunFilter::default()).unwrap(), []);
        assert!(state.queued(id).unwrap().is_empty());
        assert_eq!(state.take_queued(id).unwrap(), None);
        assert_eq!(state.prune(id, 0).unwrap(), 0);
    });
}

#[test]
fn the_name_of_a_cycle_is_not_used_twice() {
    over_each(|state| {
        let (one, other) = (add(state, "a"), add(state, "b"));
        let cycle = begin(state, &one, 1, 1);
        let id = cycle.record().id();
        for workflow in [one.id, other.id] {
            let mut again = Cycle::new(id, Cause::Immediate, CycleOptions::default(), at(9));
            let error = state.begin_cycle(workflow, &mut again).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cycle `{id}` already exists: give a new cycle a different identifier")
            );
        }
        assert_eq!(state.cycle(id).unwrap(), Some(cycle));
        assert_eq!(state.current_cycle(other.id).unwrap(), None);
    });
}

#[test]
fn cycles_are_in_the_order_they_were_begun_whatever_the_clock_says() {
    over_each(|state| {
        let workflow = add(state, "a").id;
        let ids = [900, 20, 300].map(|time| {
            let id = CycleId::new(at(time), 7);
            let mut cycle = Cycle::new(id, Cause::Immediate, CycleOptions::default(), at(time));
            state.begin_cycle(workflow, &mut cycle).unwrap();
            id
        });
        let newest = state.cycles(workflow, 2).unwrap();
        assert_eq!([newest[0].id, newest[1].id], [ids[2], ids[1]]);
        assert_eq!(state.current_cycle(workflow).unwrap().unwrap().id, ids[2]);
        // A checkpoint that was set by a clock ahead can be put back.
        for time in [900, 20] {
            state.set_checkpoint(workflow, at(time)).unwrap();
            assert_eq!(state.workflow("a").unwrap().unwrap().checkpoint, at(time));
        }
    });
}

#[test]
fn cancel_reaches_the_cycle_that_goes_on_and_what_is_queued() {
    over_each(|state| {
        let workflow = add(state, "a");
        let id = workflow.id;
        assert_eq!(state.request_cancel(id, at(3)).unwrap().running, None);
        let mut cycle = begin(state, &workflow, 1, 1);
        let number = cycle.record().id();
        state.enqueue(id, at(3)).unwrap();
        state.enqueue(id, at(4)).unwrap();
        assert!(!state.is_cancel_requested(number).unwrap());
        let asked = state.request_cancel(id, at(5)).unwrap();
        assert_eq!((asked.running, asked.queued), (Some(number), 2));
        let asked = state.request_cancel(id, at(6)).unwrap();
        assert_eq!((asked.running, asked.queued), (Some(number), 0));
        assert!(state.is_cancel_requested(number).unwrap());
        let current = state.current_cycle(id).unwrap().unwrap();
        assert_eq!(
            (current.cancel_requested, current.has_ended),
            (Some(at(5)), false)
        );
        assert_eq!(state.take_queued(id).unwrap(), None);

        cycle.cancel(at(7));
        state.record(&cycle.take_changes()).unwrap();
        assert!(state.current_cycle(id).unwrap().unwrap().has_ended);
        assert_eq!(state.request_cancel(id, at(8)).unwrap().running, None);
        let next = begin(state, &workflow, 1, 1).record().id();
        assert!(!state.is_cancel_requested(next).unwrap());
        let newest: Vec<CycleId> = state
            .cycles(id, 9)
            .unwrap()
            .iter()
            .map(|cycle| cycle.id)
            .collect();
        assert_eq!(newest, [next, number]);
    });
}

#[test]
fn one_cycle_answers_all_that_is_queued() {
    over_each(|state| {
        let workflow = add(state, "a").id;
        assert!(state.queued(workflow).unwrap().is_empty());
        state.enqueue(workflow, at(3)).unwrap();
        state.enqueue(workflow, at(4)).unwrap();
        assert_eq!(state.queued(workflow).unwrap(), [at(3), at(4)]);
        assert_eq!(state.take_queued(workflow).unwrap(), Some(at(3)));
        assert_eq!(state.take_queued(workflow).unwrap(), None);
    });
}

#[test]
fn a_cycle_is_read_back_at_every_step() {
    over_each(|state| {
        let workflow = add(state, "a");
        let mut cycle = begin(state, &workflow, 3, 2);
        loop {
            let id = cycle.record().id();
            assert_eq!(state.cycle(id).unwrap().as_ref(), Some(&cycle));
            if succeed(state, &mut cycle).is_none() {
                break;
            }
        }
        assert!(cycle.has_ended());
    });
}

#[test]
fn runs_are_listed_newest_first_and_filtered() {
    over_each(|state| {
        let workflow = add(state, "a");
        let mut cycle = begin(state, &workflow, 3, 1);
        let number = cycle.record().id();
        // The first image is patched at once, the others wait to be scanned.
        for _ in 0..5 {
            succeed(state, &mut cycle);
        }
        let list = |task, status, top| {
            let filter = RunFilter { task, status, top };
            let runs = state.runs(workflow.id, &filter).unwrap();
            let names = runs.iter().map(|run| run.id().to_string());
            let names = names.map(|name| name.split_once('.').unwrap().1.to_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            list(None, None, None),
            "patch.0 scan.2 scan.1 scan.0 trigger"
        );
        assert_eq!(list(None, None, Some(2)), "patch.0 scan.2");
        assert_eq!(list(Some(Task::Scan), None, None), "scan.2 scan.1 scan.0");
        let succeeded = list(None, Some(Status::Succeeded), None);
        assert_eq!(succeeded, "patch.0 scan.0 trigger");
        let queued = list(Some(Task::Scan), Some(Status::Queued), Some(1));
        assert_eq!(queued, "scan.2");
        let patch = RunId::patch(number, 0);
        assert_eq!(state.run(&patch).unwrap().as_ref(), cycle.run(&patch));
        assert_eq!(state.run(&RunId::patch(number, 1)).unwrap(), None);
    });
}

#[test]
fn a_log_is_followed_by_its_length() {
    over_each(|state| {
        let cycle = begin(state, &add(state, "a"), 1, 1).record().id();
        let (run, other) = (RunId::trigger(cycle), RunId::scan(cycle, 0));
        let nobody = RunId::scan(cycle, 9);
        assert!(state.append_log(&nobody, "x").unwrap_err().is_gone());
        assert_eq!(state.log(&nobody, 0).unwrap(), None);
        let whole = "first line äöü\nsecond\n… and more\n";
        let mut followed = String::new();
        for piece in whole.split_inclusive('\n') {
            state.append_log(&other, "other").unwrap();
            state.append_log(&run, piece).unwrap();
            let more = state.log(&run, followed.len()).unwrap().unwrap();
            assert_eq!(more, piece);
            followed.push_str(&more);
        }
        for (offset, _) in whole.char_indices() {
            let rest = state.log(&run, offset).unwrap().unwrap();
            assert_eq!(rest, whole[offset..]);
        }
        assert_eq!(state.log(&run, 9999).unwrap().unwrap(), "");

        let log = state.run_log(&run);
        log.line("third");
        log.line("\tfourth: \u{202e}txt.exe\u{2069} \u{1b}[31m");
        log.finish().unwrap();
        let rest = state.log(&run, whole.len()).unwrap().unwrap();
        assert_eq!(rest, "third\n\tfourth: txt.exe [31m\n");
    });
}

#[test]
fn old_cycles_are_removed_but_not_the_current_one() {
    over_each(|state| {
        let workflow = add(state, "a");
        let cycles: Vec<CycleId> = (0..4)
            .map(|_| begin(state, &workflow, 9, 1).record().id())
            .collect();
        state.append_log(&RunId::trigger(cycles[0]), "x").unwrap();
        assert_eq!(state.prune(workflow.id, 31).unwrap(), 0);
        assert_eq!(state.prune(workflow.id, 30).unwrap(), 10);
        assert_eq!(state.cycle(cycles[0]).unwrap(), None);
        assert_eq!(state.prune(workflow.id, 11).unwrap(), 10);
        assert_eq!(state.prune(workflow.id, 0).unwrap(), 10);
        let left = state.runs(workflow.id, &RunFilter::default()).unwrap();
        assert_eq!(left.len(), 10);
        assert!(left.iter().all(|run| run.id().cycle() == cycles[3]));
    });
}
