//! A cycle in one process beside the same cycle in shards, over 2,000 images; 10,000 images over 1, 4
//! and 16 workers; and how large the document of 100,000 images is.
//!
//! Workers are threads here, each with its own state, client and jobs, as processes on machines of
//! their own would have them. The scanner takes 50 ms. The answer is checked: every image is clean.

mod support;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use cssc_core::cycle::{
    Cause, CycleDocument, CycleId, CycleImage, CycleOptions, CyclePlatform, NextStep, PlanOutcome,
    Shard, ShardResult,
};
use cssc_core::plan::ImageLimit;
use cssc_core::workflow::WorkflowSettings;
use cssc_core::{Cycle, Registry};
use cssc_engine::finish::finish;
use cssc_engine::records::Records;
use cssc_engine::runner::{Runner, RunnerError, RunnerSettings};
use cssc_engine::state::MemoryState;
use cssc_engine::tool::{Copa, StopToken, ToolOptions, Trivy};
use cssc_registry::{OciOptions, OciRegistry, RegistryClient};
use support::{policy, scanner, server};

struct World {
    host: Registry,
    scanner: PathBuf,
    folder: PathBuf,
}

impl World {
    fn client(&self) -> Arc<dyn RegistryClient> {
        let options = OciOptions::default().anonymous();
        Arc::new(OciRegistry::new(&self.host, options).expect("a client"))
    }

    /// Has a runner with a state of its own work.
    fn with_runner<T>(
        &self,
        (jobs, plan_only): (u32, bool),
        work: impl FnOnce(&Runner<'_>) -> Result<T, RunnerError>,
    ) -> T {
        let mut workflow = WorkflowSettings::default();
        workflow.limit = Some(ImageLimit::NONE);
        let settings = RunnerSettings {
            cycle: CycleOptions {
                jobs: NonZeroU32::new(jobs).expect("not zero"),
                settings: workflow,
                plan_only,
                ..CycleOptions::default()
            },
            ..RunnerSettings::default()
        };
        work(&Runner {
            state: &MemoryState::default(),
            registry: &self.client(),
            host: &self.host,
            policy: &policy,
            scanner: &Trivy::new(ToolOptions::new(&self.scanner)),
            // Never called: nothing is to be patched.
            patchers: &Copa::new(ToolOptions::new(&self.scanner)),
            tooling: None,
            settings: &settings,
        })
        .expect("a cycle")
    }

    fn whole(&self, images: usize, jobs: u32) -> f64 {
        let begun = Instant::now();
        let cycle = self.with_runner((jobs, false), |runner| {
            runner.run(Cause::Immediate, &StopToken::default(), &mut |_| ())
        });
        assert_eq!(cycle.summary().clean, images);
        begun.elapsed().as_secs_f64()
    }

    /// Seconds for the plan, the shards side by side, and the end.
    fn sharded(&self, images: usize, workers: u32, jobs: u32) -> [f64; 3] {
        let path = |name: &str| self.folder.join(name);
        let mut begun = Instant::now();
        let cycle = self.with_runner((1, true), |runner| {
            runner.run(Cause::Immediate, &StopToken::default(), &mut |_| ())
        });
        let count = NonZeroU32::new(workers).expect("not zero");
        let document = CycleDocument::new(&cycle, &self.host.key(), count).expect("a plan");
        write(&path("cycle.json"), &document);
        let plan = begun.elapsed().as_secs_f64();

        begun = Instant::now();
        thread::scope(|scope| {
            for number in (1..=workers).filter_map(NonZeroU32::new) {
                let shard = Shard::new(number, count).expect("a shard");
                scope.spawn(move || {
                    let text = fs::read(self.folder.join("cycle.json")).expect("a document");
                    let document = CycleDocument::from_slice(&text).expect("a document");
                    let cycle = self.with_runner((jobs, false), |runner| {
                        let stop = StopToken::default();
                        runner.run_shard(&document, shard, None, &stop, &mut |_| ())
                    });
                    let result = ShardResult::new(&cycle, shard, None);
                    write(&self.folder.join(format!("{number}.json")), &result);
                });
            }
        });
        let run = begun.elapsed().as_secs_f64();

        begun = Instant::now();
        let text = fs::read(path("cycle.json")).expect("a document");
        let document = CycleDocument::from_slice(&text).expect("a document");
        let results: Vec<ShardResult> = (1..=workers)
            .map(|number| fs::read(path(&format!("{number}.json"))).expect("a result"))
            .map(|text| ShardResult::from_slice(&text).expect("a result"))
            .collect();
        let now = std::time::SystemTime::now().into();
        let report = finish(
            &*self.client(),
            &document,
            &results,
            &Records::default(),
            now,
        );
        let report = report.expect("a report");
        assert_eq!(report.summary().clean, images);
        assert!(serde_json::to_string(&report).expect("JSON").len() > images);
        [plan, run, begun.elapsed().as_secs_f64()]
    }
}

fn write(path: &Path, document: &impl serde::Serialize) {
    fs::write(path, serde_json::to_vec(document).expect("JSON")).expect("a file");
}

/// The document of a cycle with so many images, each of which has a patch.
fn large_document(images: u32) -> (usize, f64) {
    let digest = |number: u32| format!("sha256:{number:064x}").parse().expect("a digest");
    let now = "2026-01-07T09:30:00Z".parse().expect("a time");
    let mut workflow = WorkflowSettings::default();
    workflow.limit = Some(ImageLimit::NONE);
    let options = CycleOptions {
        plan_only: true,
        settings: workflow,
        ..CycleOptions::default()
    };
    let mut cycle = Cycle::new(CycleId::new(now, 1), Cause::Immediate, options, now);
    let NextStep::Assigned(work) = cycle.next_step(now) else {
        unreachable!("a plan comes first")
    };
    let images = (0..images).map(|number| CycleImage {
        repository: format!("team/service-{}", number / 100)
            .parse()
            .expect("a name"),
        tag: format!("1.{number}").parse().expect("a tag"),
        digest: digest(number),
        platforms: vec![CyclePlatform {
            platform: "linux/amd64".parse().expect("a platform"),
            digest: digest(number),
            size: 50 << 20,
            patch: None,
        }],
        unselected: Vec::new(),
        latest_patch: None,
        patch_tag: Some(format!("1.{number}-1").parse().expect("a tag")),
    });
    let outcome = PlanOutcome {
        images: images.collect(),
        ..PlanOutcome::default()
    };
    cycle
        .report(&work.run, work.attempt, outcome.into(), now)
        .expect("a plan");
    let shards = NonZeroU32::new(256).expect("not zero");
    let begun = Instant::now();
    let document = CycleDocument::new(&cycle, "localhost:5000", shards).expect("a plan");
    let text = serde_json::to_vec(&document).expect("JSON");
    CycleDocument::from_slice(&text).expect("a document");
    (text.len(), begun.elapsed().as_secs_f64())
}

fn main() {
    let folder = std::env::temp_dir().join(format!("cssc-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let scanner = scanner(&folder);
    let world = |images| {
        let server = server(images);
        let host = server.host().parse().expect("a valid host");
        let (scanner, folder) = (scanner.clone(), folder.clone());
        (
            server,
            World {
                host,
                scanner,
                folder,
            },
        )
    };
    println!("2,000 images, a scanner of 50 ms, 16 jobs in all:");
    let (_server, small) = world(2_000);
    println!("  one process         {:.2} s", small.whole(2_000, 16));
    for (workers, jobs) in [(1, 16), (4, 4)] {
        let [plan, run, finish] = small.sharded(2_000, workers, jobs);
        let total = plan + run + finish;
        println!(
            "  {workers} x {jobs:>2} jobs          {total:.2} s: plan {plan:.2}, shards {run:.2}, finish {finish:.2}"
        );
    }
    println!("10,000 images, 4 jobs a worker:");
    let (_server, large) = world(10_000);
    for workers in [1, 4, 16] {
        let [plan, run, finish] = large.sharded(10_000, workers, 4);
        println!(
            "  {workers:>2} workers  plan {plan:.2} s, shards {run:.1} s, finish {finish:.2} s"
        );
    }
    let (size, seconds) = large_document(100_000);
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let megabytes = size as f64 / 1e6;
    println!(
        "100,000 images: the document has {megabytes:.1} MB; shared out, written and read in {seconds:.2} s"
    );
    fs::remove_dir_all(&folder).expect("a folder of ours");
}
