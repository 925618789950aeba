//! The runner with a registry of layouts and tools in this process.
#![cfg(feature = "sqlite")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly, with small numbers"
)]

mod images;
mod reports;
mod shards;
mod world;

use std::fs;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cssc_core::cycle::{
    Cause, FailureKind, ImageOutcome, Interrupt, RowStatus, Status, StatusRow, StepKind, Task,
    Until,
};
use cssc_core::inventory::{ListingError, UnavailableKind};
use cssc_core::plan::ImageLimit;
use cssc_core::scan::Finding;
use cssc_core::{Cycle, Listing, Repository, Workflow};
use cssc_engine::doctor::{Check, Health};
use cssc_engine::monitor::Monitor;
use cssc_engine::policy_source::PolicyReadError;
use cssc_engine::runner::{Runner, RunnerEvent, ServeEvent};
use cssc_engine::state::{MemoryState, SqliteState, State};
use cssc_engine::tool::{ImageRef, Job, Scan, Scanner, StopToken, ToolError, Version};
use cssc_registry::{
    BlobReader, Descriptor, Digest, ListOptions, Manifest, Reference, RegistryClient, RegistryError,
};
use serde_json::{Value, json};
use world::{MANIFEST, Tools, World, image, python};

fn rows(cycle: &Cycle) -> Vec<(String, RowStatus, RowStatus, String)> {
    let text = |row: StatusRow| match (row.patched_image, row.reason) {
        (Some(image), _) => image.to_string(),
        (None, Some(reason)) => reason.text,
        (None, None) => String::new(),
    };
    cycle
        .rows()
        .map(|row| {
            (
                row.image.to_string(),
                row.scan_status,
                row.patch_status,
                text(row),
            )
        })
        .collect()
}

fn three_images(world: &World) {
    world.push("clean", &image(&[], &[], 0));
    world.push("old", &image(&["CVE-1", "CVE-2"], &[], 0));
    world.push("stubborn", &image(&[], &["CVE-3"], 0));
}

fn expected_of_three() -> Vec<(String, RowStatus, RowStatus, String)> {
    use RowStatus::{Skipped, Succeeded};
    let row =
        |image: &str, patch, text: &str| (image.to_owned(), Succeeded, patch, text.to_owned());
    vec![
        row("python:clean", Skipped, "no fixable OS finding"),
        row("python:old", Succeeded, "python:old-1"),
        row(
            "python:stubborn",
            Skipped,
            "the patch fixes none of the findings",
        ),
    ]
}

#[test]
fn what_a_patch_improves_is_published_and_nothing_else() {
    let world = World::new();
    three_images(&world);
    let tools = Tools::new();
    let cycle = world.cycle(&tools);
    assert_eq!(rows(&cycle), expected_of_three());
    assert_eq!(cycle.record().status(), Status::Succeeded);
    assert_eq!(world.tags(), ["clean", "old", "old-1", "stubborn"]);
    world.leaves_nothing_behind();

    let again = world.cycle(&tools);
    assert_ne!(again.record().id(), cycle.record().id());
    assert_eq!(rows(&again)[1].3, "no fixable OS finding");
    assert_eq!(world.tags(), ["clean", "old", "old-1", "stubborn"]);
    // The log of a run is kept, and what the patch fixed.
    let row = cycle.rows().nth(1).unwrap();
    let log = world
        .state
        .log(&row.scan_run_id.unwrap(), 0)
        .unwrap()
        .unwrap();
    assert_eq!(
        log,
        "scanning localhost:5000/python:old\nunknown: 2, 2 fixable\n"
    );
    let patch = world
        .state
        .run(&row.patch_run_id.unwrap())
        .unwrap()
        .unwrap();
    let fixed = patch.verified().unwrap().comparisons[0].evidence.fixed();
    let fixed: Vec<&str> = fixed.iter().map(Finding::vulnerability_id).collect();
    assert_eq!(fixed, ["CVE-1", "CVE-2"]);
}

#[test]
fn without_a_state_file_it_does_the_same() {
    let mut world = World::new();
    world.state = Box::new(MemoryState::default());
    world.settings.folder = Some(world.folder.path().join("work"));
    three_images(&world);
    let cycle = world.cycle(&Tools::new());
    assert_eq!(rows(&cycle), expected_of_three());
    let workflow = world.state.workflow("localhost:5000").unwrap().unwrap().id;
    let kept = world.state.current_cycle(workflow).unwrap().unwrap();
    assert_eq!(world.state.cycle(kept.id).unwrap(), Some(cycle));
    world.leaves_nothing_behind();
}

/// Reports of clean images are most of them, and nobody needs them.
#[test]
fn the_report_of_a_clean_image_goes_at_once() {
    let world = World::new();
    three_images(&world);
    let tools = Tools::new();
    let reports = world
        .folder
        .path()
        .join("state.db-work/localhost_5000/reports");
    let mut most = 0;
    world.run(&tools, &StopToken::default(), &mut |event| {
        if let RunnerEvent::Done { run, .. } = event
            && run.task() == Task::Scan
            && &*run.image().unwrap().tag == "clean"
        {
            let left = fs::read_dir(&reports).into_iter().flatten().count();
            most = most.max(left);
        }
    });
    assert!(
        most <= 2,
        "{most} reports of the two that are to be patched"
    );
    world.leaves_nothing_behind();
}

/// Nobody else has put the folder there, and nobody else can look into it.
#[cfg(unix)]
#[test]
fn the_work_folder_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    three_images(&world);
    let tools = Tools::new();
    world.cycle(&tools);
    let work = world.folder.path().join("state.db-work");
    let mode = fs::metadata(&work).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    fs::remove_dir_all(&work).unwrap();
    std::os::unix::fs::symlink(world.folder.path(), &work).unwrap();
    let second = catch_unwind(AssertUnwindSafe(|| world.cycle(&tools)));
    let error = second.unwrap_err();
    let message = error.downcast_ref::<String>().unwrap();
    assert!(message.contains("Foreign"), "{message}");
}

/// An examination may come while a cycle runs, with the same state.
#[test]
fn an_examination_takes_away_its_own_folder_alone() {
    let world = World::new();
    three_images(&world);
    let tools = Tools::new();
    world.cycle(&tools);
    let work = world.folder.path().join("state.db-work/localhost_5000");
    let runs = work.join("runs");
    let other = runs.join("20260107T093000Z-3f2a.scan.1");
    fs::create_dir_all(&other).unwrap();
    let mut found = Vec::new();
    world.with_runner(&tools, &|| Ok(world.workflow()), |runner| {
        let stop = StopToken::default();
        runner
            .examine(&stop, &mut |check| found.push(check))
            .unwrap();
    });
    let is_good = |check: &Check| check.health != Health::Bad;
    assert!(found.len() > 5 && found.iter().all(is_good), "{found:?}");
    let left: Vec<_> = fs::read_dir(&runs).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(other.is_dir());
}

#[test]
fn an_original_that_moved_is_patched_anew() {
    let world = World::new();
    world.push("old", &image(&["CVE-1"], &[], 0));
    let tools = Tools::new();
    world.cycle(&tools);
    assert_eq!(world.tags(), ["old", "old-1"]);
    // The newest patch is clean, the new original is not.
    world.push("old", &image(&["CVE-1", "CVE-9"], &[], 7));
    let cycle = world.cycle(&tools);
    assert_eq!(rows(&cycle)[0].3, "python:old-2");
    let cycle = world.cycle(&tools);
    assert_eq!(rows(&cycle)[0].3, "no fixable OS finding");
    assert_eq!(world.tags(), ["old", "old-1", "old-2"]);
}

/// Each platform is patched for itself, the index keeps what it had, and what one cycle patched
/// stays patched when the next patches another platform.
#[test]
fn the_platforms_of_an_index_are_patched_each_for_itself() {
    let world = World::new();
    let (amd64, arm64) = (image(&["CVE-1"], &[], 0), image(&[], &[], 0).of("arm64"));
    world.push_index("multi", &[amd64, arm64]);
    let before = world.read("multi");
    let tools = Tools::new();
    let cycle = world.cycle(&tools);
    let row = cycle.rows().next().unwrap();
    assert_eq!(row.outcome, Some(ImageOutcome::Patched));
    let platforms: Vec<_> = row
        .platforms
        .iter()
        .map(|one| (one.platform.to_string(), one.outcome.unwrap()))
        .collect();
    assert_eq!(
        platforms,
        [
            ("linux/amd64".to_owned(), ImageOutcome::Patched),
            ("linux/arm64".to_owned(), ImageOutcome::Clean)
        ]
    );
    assert_eq!(world.tags(), ["multi", "multi-1"]);
    world.leaves_nothing_behind();

    let after = world.read("multi-1");
    let [amd64, arm64] = [0, 1].map(|place| &after["manifests"][place]);
    assert_eq!(
        after["manifests"].as_array().unwrap().len(),
        2,
        "the attestation goes"
    );
    assert_eq!(
        *arm64, before["manifests"][1],
        "what is not patched stays as it was"
    );
    assert_ne!(amd64["digest"], before["manifests"][0]["digest"]);
    for key in ["platform", "annotations", "mediaType"] {
        assert_eq!(amd64[key], before["manifests"][0][key]);
    }
    assert_eq!(
        after["annotations"]["org.opencontainers.image.title"],
        "kept"
    );
    let origin = &after["annotations"]["dev.cssc.patch.origin.name"];
    assert_eq!(origin, "localhost:5000/python:multi");
    let digest: Digest = amd64["digest"].as_str().unwrap().parse().unwrap();
    let manifest = world
        .registry
        .get_manifest(&python(), &Reference::Digest(digest))
        .unwrap();
    let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
    let annotations = &manifest["annotations"];
    assert_eq!(annotations["org.opencontainers.image.title"], "kept");
    assert_eq!(
        annotations["dev.cssc.patch.origin.digest"],
        before["manifests"][0]["digest"]
    );

    // The original gets a new arm64, and its amd64 stays as it was.
    let (old, new) = (
        image(&["CVE-1"], &[], 0),
        image(&["CVE-2"], &[], 0).of("arm64"),
    );
    world.push_index("multi", &[old, new]);
    let cycle = world.cycle(&tools);
    let row = cycle.rows().next().unwrap();
    assert_eq!(row.patched_image.unwrap().to_string(), "python:multi-2");
    let last = world.read("multi-2");
    assert_eq!(
        last["manifests"][0]["digest"], amd64["digest"],
        "stays patched"
    );
    assert_ne!(
        last["manifests"][1]["digest"],
        before["manifests"][1]["digest"]
    );

    let cycle = world.cycle(&tools);
    assert_eq!(cycle.summary().clean, 1);
    assert_eq!(world.tags(), ["multi", "multi-1", "multi-2"]);
}

/// A platform that the workflow does not take care of is neither scanned nor patched, and keeps
/// what an earlier cycle made of it.
#[test]
fn platforms_that_are_not_selected_stay_what_they_are() {
    let mut world = World::new();
    let index = |cves: &[&'static str]| {
        let (own, other) = (image(cves, &[], 0), image(cves, &[], 0).of("arm64"));
        [own, other]
    };
    world.push_index("multi", &index(&["CVE-1"]));
    let tools = Tools::new();
    world.cycle(&tools);
    let before = world.read("multi-1");
    assert_eq!(world.tags(), ["multi", "multi-1"]);

    // Its amd64 moves, and is all that the workflow takes care of.
    let [_, arm64] = index(&["CVE-1"]);
    world.push_index("multi", &[image(&["CVE-1", "CVE-2"], &[], 3), arm64]);
    world.settings.cycle.settings.platforms = Some("linux/amd64".parse().unwrap());
    let cycle = world.cycle(&tools);
    let row = cycle.rows().next().unwrap();
    assert_eq!(row.outcome, Some(ImageOutcome::Patched));
    let [amd64, arm64] = row.platforms.as_slice() else {
        unreachable!("{row:?}")
    };
    assert_eq!(amd64.outcome, Some(ImageOutcome::Patched));
    assert_eq!(arm64.outcome, Some(ImageOutcome::LeftOut));
    let reason = arm64.reason.as_ref().unwrap();
    assert_eq!(reason.code, "platform-not-selected");
    assert_eq!(arm64.scan_run_id, None);
    assert_eq!(
        cycle
            .runs()
            .filter(|run| run.id().task() == Task::Scan)
            .count(),
        1
    );
    let after = world.read("multi-2");
    assert_eq!(
        after["manifests"][1], before["manifests"][1],
        "stays patched"
    );
    assert_ne!(after["manifests"][0], before["manifests"][0]);

    // An image without any of them is left out, and says so.
    world.settings.cycle.settings.platforms = Some("linux/s390x".parse().unwrap());
    let cycle = world.cycle(&tools);
    let row = cycle.rows().next().unwrap();
    assert_eq!(row.outcome, Some(ImageOutcome::LeftOut));
    assert_eq!(row.reason.unwrap().code, "platform-not-selected");
    world.leaves_nothing_behind();
}

/// One platform's failure is not the others', and it keeps what it had.
#[test]
fn a_platform_that_cannot_be_patched_is_kept() {
    let world = World::new();
    let (amd64, arm64) = (
        image(&["CVE-1"], &[], 0),
        image(&[], &["CVE-2"], 0).of("arm64"),
    );
    world.push_index("multi", &[amd64, arm64]);
    let before = world.read("multi");
    let cycle = world.cycle(&Tools::new());
    let row = cycle.rows().next().unwrap();
    assert_eq!(row.outcome, Some(ImageOutcome::Vulnerable));
    assert_eq!(row.reason.unwrap().code, "nothing-fixed");
    assert_eq!(row.patched_image.unwrap().to_string(), "python:multi-1");
    let after = world.read("multi-1");
    assert_eq!(after["manifests"][1], before["manifests"][1]);
    assert_eq!(world.tags(), ["multi", "multi-1"]);
    world.leaves_nothing_behind();
}

/// Tags that stand for one manifest are scanned and patched once, and each gets its own next tag.
#[test]
fn one_manifest_is_patched_once_for_all_its_tags() {
    let world = World::new();
    for tag in ["3.11", "3.11.4", "latest"] {
        world.push(tag, &image(&["CVE-1"], &[], 0));
    }
    let tools = Tools::new();
    let cycle = world.cycle(&tools);
    assert_eq!(tools.calls.load(Ordering::Relaxed), 3, "scan, patch, scan");
    let patched: Vec<String> = cycle
        .rows()
        .map(|row| row.patched_image.unwrap().to_string())
        .collect();
    assert_eq!(
        patched,
        ["python:3.11-1", "python:3.11.4-1", "python:latest-1"]
    );
    let runs: Vec<_> = cycle.rows().map(|row| row.patch_run_id).collect();
    assert!(
        runs.iter().all(|run| *run == runs[0]),
        "the rows name one run"
    );
    let manifest = world.read("latest-1");
    assert_eq!(manifest, world.read("3.11-1"));
    let origin = &manifest["annotations"]["dev.cssc.patch.origin.name"];
    assert_eq!(origin, "localhost:5000/python:3.11");
    world.leaves_nothing_behind();
}

/// What is no container image is left out with its reason, and nobody tries it again.
#[test]
fn what_is_no_image_is_left_out() {
    let world = World::new();
    three_images(&world);
    let chart = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {
            "mediaType": "application/vnd.cncf.helm.config.v1+json",
            "digest": format!("sha256:{:064}", 1), "size": 2,
        },
    });
    let manifest = Manifest {
        media_type: MANIFEST.to_owned(),
        bytes: chart.to_string().into_bytes(),
    };
    let reference = Reference::Tag("chart".parse().unwrap());
    world
        .registry
        .put_manifest(&python(), &reference, &manifest)
        .unwrap();
    let cycle = world.cycle(&Tools::new());
    assert_eq!(cycle.record().status(), Status::Succeeded);
    let summary = cycle.summary();
    assert_eq!((summary.images, summary.left_out), (3, 1));
    let row = cycle.rows().last().unwrap();
    assert_eq!(row.image.to_string(), "python:chart");
    assert_eq!(row.outcome, Some(ImageOutcome::LeftOut));
    assert_eq!(row.reason.unwrap().code, "not-an-image");
}

/// A floating tag that somebody else pushed is not replaced unless that is asked for.
#[test]
fn a_foreign_floating_tag_stays() {
    let mut world = World::new();
    world.convention = "floating";
    world.push("old", &image(&["CVE-1"], &[], 0));
    // Its layers are not those of the original, and nothing says where it comes from.
    let foreign = image(&["CVE-1"], &["CVE-3"], 0).of("arm64");
    world.push("old-patched", &foreign);
    let before = world.read("old-patched");
    let tools = Tools::new();
    let cycle = world.cycle(&tools);
    let row = cycle.rows().next().unwrap();
    assert_eq!(row.outcome, Some(ImageOutcome::Vulnerable));
    assert_eq!(row.reason.unwrap().code, "foreign-patch");
    assert_eq!(world.read("old-patched"), before);
    world.settings.cycle.adopt = true;
    let cycle = world.cycle(&tools);
    assert_eq!(
        cycle.rows().next().unwrap().outcome,
        Some(ImageOutcome::Patched)
    );
    assert_ne!(world.read("old-patched"), before);
}

/// Stopped short, a cycle writes nothing that stays.
#[test]
fn a_cycle_can_stop_short() {
    let mut world = World::new();
    three_images(&world);
    let tools = Tools::new();
    for (until, patches) in [(Until::Scan, 0), (Until::Verify, 2)] {
        world.settings.cycle.until = Some(until);
        let cycle = world.cycle(&tools);
        let row = cycle.rows().nth(1).unwrap();
        assert_eq!(row.outcome, Some(ImageOutcome::Vulnerable));
        assert_eq!(row.reason.unwrap().code, "would-patch");
        assert_eq!(world.tags(), ["clean", "old", "stubborn"]);
        assert_eq!(tools.patches.lock().unwrap().len(), patches);
        world.leaves_nothing_behind();
    }
}

#[test]
fn without_verification_every_patch_is_published() {
    let mut world = World::new();
    world.settings.cycle.verify = false;
    world.convention = "floating";
    three_images(&world);
    let tools = Tools::new();
    for _ in 0..2 {
        let cycle = world.cycle(&tools);
        assert_eq!(rows(&cycle)[2].3, "python:stubborn-patched");
        world.leaves_nothing_behind();
    }
    assert_eq!(
        world.tags(),
        [
            "clean",
            "old",
            "old-patched",
            "stubborn",
            "stubborn-patched"
        ]
    );
    assert_eq!(tools.patches.lock().unwrap()["python:stubborn"], 2);
    assert_eq!(tools.patches.lock().unwrap()["python:old"], 1);
}

#[test]
fn killed_again_and_again_it_goes_on_where_it_stopped() {
    for jobs in [1, 3] {
        let mut world = World::new();
        world.settings.cycle.jobs = NonZeroU32::new(jobs).unwrap();
        three_images(&world);
        let tools = Tools::new();
        let mut call = 0;
        let cycle = loop {
            call += 1;
            assert!(call < 200);
            // The process dies at an event, each time at a later or an earlier one.
            let mut left = call % 8;
            let killed = catch_unwind(AssertUnwindSafe(|| {
                world.run(&tools, &StopToken::default(), &mut |event| {
                    // When its last step is done the cycle has ended; the next is another one.
                    let is_over = match event {
                        RunnerEvent::Ended { .. } => true,
                        RunnerEvent::Done { cycle, .. } => cycle.has_ended(),
                        _ => false,
                    };
                    assert!(left != 0 || is_over, "the process dies");
                    left -= i32::from(!is_over);
                })
            }));
            if let Ok(cycle) = killed {
                break cycle;
            }
        };
        assert!(call > 2, "{call}");
        let cycles = world.state.workflows().unwrap();
        let cycles = world.state.cycles(cycles[0].id, 9).unwrap();
        assert_eq!(cycles.len(), 1, "the same cycle");
        assert_eq!(rows(&cycle), expected_of_three());
        assert_eq!(world.tags(), ["clean", "old", "old-1", "stubborn"]);
        world.leaves_nothing_behind();
    }
}

#[test]
fn a_tool_that_panics_fails_its_step_alone() {
    let world = World::new();
    three_images(&world);
    let tools = Tools {
        panics_at: Some(0),
        ..Tools::new()
    };
    let cycle = world.cycle(&tools);
    let summary = cycle.summary();
    assert_eq!((summary.images, summary.failed), (3, 1));
    let failed = rows(&cycle)
        .into_iter()
        .find(|row| row.1 == RowStatus::Failed);
    assert_eq!(failed.unwrap().3, "the step `scan` panicked");
}

#[test]
fn canceled_from_elsewhere_it_ends_and_stays_so() {
    let world = World::new();
    three_images(&world);
    let tools = Tools {
        hangs: true,
        ..Tools::new()
    };
    let elsewhere = SqliteState::open(world.folder.path().join("state.db")).unwrap();
    let mut canceled = false;
    let cycle = world.run(&tools, &StopToken::default(), &mut |event| match event {
        RunnerEvent::Begun { assignment, .. } if assignment.step.kind() == StepKind::Scan => {
            let id = elsewhere.workflow("localhost:5000").unwrap().unwrap().id;
            elsewhere
                .request_cancel(id, chrono::DateTime::UNIX_EPOCH)
                .unwrap();
        }
        RunnerEvent::Canceled => canceled = true,
        _ => {}
    });
    assert!(canceled);
    assert_eq!(cycle.record().status(), Status::Canceled);
    assert_eq!(cycle.summary().canceled, 3);
    world.leaves_nothing_behind();
    // The next cycle is another one.
    let tools = Tools::new();
    let next = world.cycle(&tools);
    assert_ne!(next.record().id(), cycle.record().id());
    assert_eq!(rows(&next), expected_of_three());
}

#[test]
fn stopped_it_gives_its_work_back() {
    let world = World::new();
    three_images(&world);
    let hanging = Tools {
        hangs: true,
        ..Tools::new()
    };
    let stop = StopToken::default();
    let cycle = world.run(&hanging, &stop, &mut |event| {
        if matches!(event, RunnerEvent::Begun { assignment, .. } if assignment.step.kind() == StepKind::Scan) {
            stop.stop(Interrupt::Stopped);
        }
    });
    assert!(!cycle.has_ended());
    let tools = Tools::new();
    let stopped = cycle.record().id();
    let cycle = world.cycle(&tools);
    assert_eq!(cycle.record().id(), stopped);
    assert_eq!(rows(&cycle), expected_of_three());
}

/// What was scanned before is scanned again when the database is another one by now: scans with
/// different databases are not compared.
#[test]
fn a_cycle_that_goes_on_with_another_database_compares_scans_with_the_same_one() {
    for (days, scans) in [(0, 1), (1, 2)] {
        let world = World::new();
        image(&["CVE-1"], &[], 0).push(&world.registry, Some(&"3.11".parse().unwrap()));
        let tools = Tools::new();
        let stop = StopToken::default();
        world.run(&tools, &stop, &mut |event| match event {
            RunnerEvent::Done { assignment, .. } if assignment.step.kind() == StepKind::Patch => {
                stop.stop(Interrupt::Stopped);
            }
            _ => {}
        });
        assert_eq!(tools.prepared.into_inner(), 1);
        let tools = Tools {
            database: chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(days),
            ..Tools::new()
        };
        let cycle = world.cycle(&tools);
        assert_eq!(cycle.summary().patched, 1);
        assert_eq!(tools.calls.into_inner(), scans, "after {days} days");
        assert_eq!(tools.prepared.into_inner(), 1);
    }
}

#[test]
fn one_runner_at_a_time() {
    let world = World::new();
    three_images(&world);
    let tools = Tools::new();
    world.cycle(&tools);
    let elsewhere = SqliteState::open(world.folder.path().join("state.db")).unwrap();
    let id = elsewhere.workflow("localhost:5000").unwrap().unwrap().id;
    let _lock = elsewhere.lock(id, chrono::DateTime::UNIX_EPOCH).unwrap();
    let second = catch_unwind(AssertUnwindSafe(|| world.cycle(&tools)));
    let error = second.unwrap_err();
    let message = error.downcast_ref::<String>().unwrap();
    assert!(
        message.contains(&format!("process {}", std::process::id())),
        "{message}"
    );
}

#[test]
fn served_it_runs_when_its_time_has_come_and_when_asked() {
    let world = World::new();
    three_images(&world);
    let tools = Tools::new();
    // A runner was here in January and has not looked since.
    let january = "2024-01-04T00:00:00Z".parse().unwrap();
    let id = world
        .state
        .add_workflow("localhost:5000", january)
        .unwrap()
        .id;
    let reads = AtomicU32::new(0);
    let policy = || match reads.fetch_add(1, Ordering::Relaxed) {
        0 => Err(PolicyReadError {
            message: "the registry is away".to_owned(),
            kind: FailureKind::Transient,
            is_absent: false,
        }),
        _ => Ok(world.workflow()),
    };
    let (stop, monitor) = (StopToken::default(), Monitor::default());
    let mut said = Vec::new();
    world.with_runner(&tools, &policy, |runner| {
        runner
            .serve(&stop, &monitor, &mut |event| match event {
                ServeEvent::Unreadable(error) => said.push(error.to_string()),
                ServeEvent::Cycle(RunnerEvent::Started { cycle, .. }) => {
                    said.push(match cycle.record().cause() {
                        Cause::Scheduled(_) => "scheduled".to_owned(),
                        Cause::Immediate => "asked for".to_owned(),
                    });
                }
                ServeEvent::Waiting { next } => {
                    assert!(next.is_some());
                    said.push("waiting".to_owned());
                    if said.len() == 3 {
                        world.state.enqueue(id, january).unwrap();
                    } else {
                        stop.stop(Interrupt::Stopped);
                    }
                }
                _ => {}
            })
            .unwrap();
    });
    assert_eq!(
        said,
        [
            "the registry is away",
            "scheduled",
            "waiting",
            "asked for",
            "waiting"
        ]
    );
    assert_eq!(world.tags(), ["clean", "old", "old-1", "stubborn"]);
    let page = monitor.page();
    for part in [
        "<b>localhost:5000</b>",
        "The next cycle begins on ",
        "<b>1</b>vulnerable</li>",
        "<b>python:stubborn</b>",
        // The first cycle, in the history of the second.
        ": 2 fixed, 1 left</title>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // Another process tells the same of what ended before it began.
    let (again, stop) = (Monitor::default(), StopToken::default());
    world.with_runner(&tools, &|| Ok(world.workflow()), |runner| {
        let serving = runner.serve(&stop, &again, &mut |_| stop.stop(Interrupt::Stopped));
        serving.unwrap();
    });
    assert_eq!(again.page(), page);
    let metrics = monitor.metrics();
    for line in [
        "cssc_cycle_running 0",
        "cssc_cycles_total{status=\"succeeded\"} 2",
        "cssc_patched_images_total 1",
        "cssc_steps_total{step=\"scan\",outcome=\"done\"} 6",
        "cssc_registry_up 1",
        "cssc_findings{state=\"fixed\"} 0",
        "cssc_findings{state=\"left\"} 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}: {metrics}"
        );
    }
    let took = "cssc_step_seconds_total{step=\"scan\"} ";
    let mut took = metrics.lines().filter_map(|line| line.strip_prefix(took));
    assert!(took.next().unwrap().parse::<f64>().unwrap() > 0.0);
}

/// The clock was ahead, and is back: what it had announced by then is not waited for.
#[test]
fn a_checkpoint_in_the_future_is_brought_back() {
    let world = World::new();
    let ahead = "2124-01-04T00:00:00Z".parse().unwrap();
    world.state.add_workflow("localhost:5000", ahead).unwrap();
    let tools = Tools::new();
    let policy = || -> Result<Workflow, PolicyReadError> { Ok(world.workflow()) };
    let (stop, monitor) = (StopToken::default(), Monitor::default());
    world.with_runner(&tools, &policy, |runner| {
        let served = runner.serve(&stop, &monitor, &mut |event| {
            if matches!(event, ServeEvent::Waiting { .. }) {
                stop.stop(Interrupt::Stopped);
            }
        });
        served.unwrap();
    });
    let workflow = world.state.workflow("localhost:5000").unwrap().unwrap();
    assert!(workflow.checkpoint < ahead);
}

/// A registry that forbids listing will do so at the third attempt as well.
#[test]
fn a_repository_that_refuses_is_not_asked_again() {
    let world = World::new();
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let registry: Arc<dyn RegistryClient> = Arc::new(Listed(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Listing::Unavailable(ListingError::new(UnavailableKind::Unauthorized, "401"))
    }));
    let tools = Tools::new();
    let policy = || -> Result<Workflow, PolicyReadError> { Ok(world.workflow()) };
    let cycle = world.with_runner(&tools, &policy, |runner| {
        let runner = Runner {
            registry: &registry,
            ..*runner
        };
        runner
            .run(Cause::Immediate, &StopToken::default(), &mut |_| ())
            .unwrap()
    });
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let trigger = cycle.runs().next().unwrap();
    let reason = trigger.reason().unwrap().to_string();
    assert_eq!(reason, "cannot read `python:*`: 401");
}

#[test]
fn a_listing_that_takes_too_long_fails_the_plan() {
    let mut world = World::new();
    world.settings.list = ListOptions::default().timeout(Duration::ZERO);
    let tools = Tools::new();
    let policy = || -> Result<Workflow, PolicyReadError> { Ok(world.workflow()) };
    let cycle = world.with_runner(&tools, &policy, |runner| {
        let stop = StopToken::default();
        runner.run(Cause::Immediate, &stop, &mut |_| ()).unwrap()
    });
    let reason = cycle.runs().next().unwrap().reason().unwrap().to_string();
    assert_eq!(
        reason,
        "cannot read `python:*`: it was not listed within 0ns, the time limit for all \
         repositories together"
    );
}

const CONFIG: &[u8] = br#"{"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": []}}"#;

/// A registry that costs nothing: it lists every repository in this way, and holds one image.
struct Listed<F>(F);

impl<F: Fn() -> Listing + Send + Sync> RegistryClient for Listed<F> {
    fn list_tags(&self, _: &Repository) -> Listing {
        (self.0)()
    }

    fn resolve(&self, _: &Repository, _: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        Ok(Some(Descriptor::of(MANIFEST, b"{}")))
    }

    fn get_manifest(&self, _: &Repository, _: &Reference) -> Result<Manifest, RegistryError> {
        let config = Descriptor::of("application/vnd.oci.image.config.v1+json", CONFIG);
        Ok(Manifest {
            media_type: MANIFEST.to_owned(),
            bytes: json!({"mediaType": MANIFEST, "config": config})
                .to_string()
                .into_bytes(),
        })
    }

    fn put_manifest(
        &self,
        _: &Repository,
        _: &Reference,
        _: &Manifest,
    ) -> Result<(), RegistryError> {
        unreachable!()
    }

    fn get_blob(&self, _: &Repository, _: &Descriptor, _: u64) -> Result<Vec<u8>, RegistryError> {
        Ok(CONFIG.to_vec())
    }

    fn put_blob(&self, _: &Repository, _: &[u8]) -> Result<Digest, RegistryError> {
        unreachable!()
    }

    fn has_blob(&self, _: &Repository, _: &Digest) -> Result<bool, RegistryError> {
        Ok(true)
    }

    fn open_blob(&self, _: &Repository, _: &Descriptor) -> Result<BlobReader, RegistryError> {
        unreachable!()
    }

    fn put_blob_file(&self, _: &Repository, _: &Descriptor, _: &Path) -> Result<(), RegistryError> {
        unreachable!()
    }

    fn delete(&self, _: &Repository, _: &Reference) -> Result<(), RegistryError> {
        unreachable!()
    }
}

/// A scanner that costs nothing but its report.
struct Clean;

impl Scanner for Clean {
    fn name(&self) -> &'static str {
        "clean"
    }

    fn check(&self, _: &Job<'_>) -> Result<Option<Version>, ToolError> {
        Ok(None)
    }

    fn scan(&self, _: &ImageRef, job: &Job<'_>) -> Result<Scan, ToolError> {
        let report = job.folder.join("clean.json");
        let text = r#"{"SchemaVersion": 2, "Metadata": {"OS": {"Family": "debian"}},
            "Results": [{"Class": "os-pkgs", "Type": "debian", "Packages": [{"Name": "p"}]}]}"#;
        fs::write(&report, text).unwrap();
        Scan::read("fake".as_ref(), report)
    }
}

#[test]
#[ignore = "measures the runner's own cost; run with --nocapture"]
fn cost_of_ten_thousand_images() {
    for count in [1_000_u32, 10_000] {
        let mut world = World::new();
        world.settings.cycle.settings.limit = Some(ImageLimit::NONE);
        let names: Vec<String> = (0..count).map(|number| format!("t{number}x")).collect();
        let tags = cssc_core::tags::TagSet::new(&names).unwrap();
        let registry: Arc<dyn RegistryClient> =
            Arc::new(Listed(move || Listing::Found(tags.clone())));
        let tools = Tools::new();
        let policy = || -> Result<Workflow, PolicyReadError> { Ok(world.workflow()) };
        let begin = std::time::Instant::now();
        let cycle = world.with_runner(&tools, &policy, |runner| {
            let runner = Runner {
                registry: &registry,
                scanner: &Clean,
                ..*runner
            };
            runner
                .run(Cause::Immediate, &StopToken::default(), &mut |_| ())
                .unwrap()
        });
        let took = begin.elapsed();
        assert_eq!(cycle.summary().clean, names.len());
        let begin = std::time::Instant::now();
        let cycle = cssc_engine::workflow::cycle(&*world.state, "localhost:5000", None).unwrap();
        assert_eq!(cycle.unwrap().rows().count(), names.len());
        let list = begin.elapsed();
        eprintln!(
            "{count} images: {took:?}, {:?} each; listed in {list:?}",
            took / count
        );
    }
}
