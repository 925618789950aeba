//! The runner with a registry of layouts and tools in this process.
#![cfg(feature = "sqlite")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly, with small numbers"
)]

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use cssc_core::{
    Cause, Cycle, CycleOptions, Dialect, Listing, Registry, Repository, RowStatus, Status, Tag,
    Workflow, is_candidate,
};
use cssc_engine::registry::{
    Descriptor, Digest, LayoutRegistry, Manifest, Reference, RegistryClient, RegistryError,
};
use cssc_engine::runner::{
    Monitor, PolicySource, PolicyTrouble, Runner, RunnerEvent, RunnerSettings, ServeEvent,
};
use cssc_engine::store::Store;
use cssc_engine::tool::{
    Access, Cancel, ImageRef, Job, PatchRequest, Patched, Patcher, Scan, Scanner, ToolError,
    Version,
};
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image is a manifest that says what is wrong with it: findings that a patch fixes, findings
/// that no patch fixes although a fixed version is known, and how often it was patched.
fn image(fixable: &[&str], stubborn: &[&str], patched: u32) -> Manifest {
    let annotations = json!({
        "fixable": fixable.join(" "), "stubborn": stubborn.join(" "), "patched": patched.to_string(),
    });
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "annotations": annotations});
    Manifest {
        media_type: MANIFEST.to_owned(),
        bytes: manifest.to_string().into_bytes(),
    }
}

fn words(manifest: &Value, key: &str) -> Vec<String> {
    let text = manifest["annotations"][key].as_str().unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

struct Tools<'a> {
    registry: &'a LayoutRegistry,
    calls: AtomicU32,
    patches: Mutex<BTreeMap<String, u32>>,
    /// The call on which the tool panics, if any.
    panics_at: Option<u32>,
    /// How long a tool takes: until it is canceled.
    hangs: bool,
}

impl<'a> Tools<'a> {
    fn new(registry: &'a LayoutRegistry) -> Self {
        Self {
            registry,
            calls: AtomicU32::new(0),
            patches: Mutex::default(),
            panics_at: None,
            hangs: false,
        }
    }

    fn manifest(&self, image: &ImageRef) -> Value {
        let reference = Reference::Digest(image.digest().unwrap().clone());
        let manifest = self
            .registry
            .get_manifest(image.repository(), &reference)
            .unwrap();
        serde_json::from_slice(&manifest.bytes).unwrap()
    }

    fn call(&self, job: &Job<'_>) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        assert_ne!(self.panics_at, Some(call), "the tool panics");
        while self.hangs && !job.cancel.is_canceled() {
            std::thread::yield_now();
        }
    }
}

impl Scanner for Tools<'_> {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn check(&self, _: &Job<'_>) -> Result<Option<Version>, ToolError> {
        Ok(None)
    }

    fn scan(&self, image: &ImageRef, job: &Job<'_>) -> Result<Scan, ToolError> {
        self.call(job);
        job.log.line(&format!("scanning {}", image.by_tag()));
        let manifest = self.manifest(image);
        let findings: Vec<Value> = words(&manifest, "fixable")
            .into_iter()
            .chain(words(&manifest, "stubborn"))
            .map(|id| json!({"VulnerabilityID": id, "PkgName": "p", "FixedVersion": "2"}))
            .collect();
        let report = job.folder.join("fake.json");
        let text = json!({
            "SchemaVersion": 2, "Metadata": {"OS": {"Family": "debian", "Name": "12"}},
            "Results": [{"Class": "os-pkgs", "Type": "debian", "Vulnerabilities": findings}],
        });
        fs::write(&report, text.to_string()).unwrap();
        Ok(Scan {
            report,
            exit_code: Some(0),
        })
    }
}

impl Patcher for Tools<'_> {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn check(&self, _: &Job<'_>) -> Result<Option<Version>, ToolError> {
        Ok(None)
    }

    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<Patched, ToolError> {
        self.call(job);
        assert!(request.report.is_file());
        let original = request.original;
        let name = format!("{}:{}", original.repository(), original.tag());
        let mut patches = self.patches.lock().unwrap();
        let times = patches.entry(name).or_default();
        *times += 1;
        let stubborn = words(&self.manifest(original), "stubborn");
        let stubborn: Vec<&str> = stubborn.iter().map(String::as_str).collect();
        let reference = Reference::Tag(request.target.clone());
        let result = image(&[], &stubborn, *times);
        self.registry
            .put_manifest(original.repository(), &reference, &result)
            .unwrap();
        Ok(Patched::default())
    }
}

struct World {
    folder: tempfile::TempDir,
    registry: LayoutRegistry,
    store: Store,
    settings: RunnerSettings,
    convention: &'static str,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("images")).unwrap();
        let registry = LayoutRegistry::open(&folder.path().join("images")).unwrap();
        let store = Store::open(folder.path().join("state.db")).unwrap();
        let settings = RunnerSettings {
            cycle: CycleOptions {
                pause_seconds: 0,
                interruptions: 100,
                jobs: NonZeroU32::new(3).unwrap(),
                ..CycleOptions::default()
            },
            ..RunnerSettings::default()
        };
        Self {
            folder,
            registry,
            store,
            settings,
            convention: "incremental",
        }
    }

    fn push(&self, tag: &str, manifest: &Manifest) {
        let reference = Reference::Tag(tag.parse().unwrap());
        self.registry
            .put_manifest(&python(), &reference, manifest)
            .unwrap();
    }

    fn tags(&self) -> Vec<String> {
        match self.registry.list_tags(&python()) {
            Listing::Found(tags) => tags.iter().map(|tag| tag.to_string()).collect(),
            listing => unreachable!("{listing:?}"),
        }
    }

    fn workflow(&self) -> Workflow {
        let policy = format!(
            r#"{{"version": "v1", "tag-convention": "{}",
                "repositories": [{{"repository": "python", "tags": ["*"]}}]}}"#,
            self.convention
        );
        let created = "2024-01-03T09:30:00Z".parse().unwrap();
        Workflow::new(policy, "7d".parse().unwrap(), Dialect::Documented, created)
    }

    fn with_runner<T>(
        &self,
        tools: &Tools<'_>,
        policy: &dyn PolicySource,
        work: impl FnOnce(&Runner<'_>) -> T,
    ) -> T {
        let host: Registry = "localhost:5000".parse().unwrap();
        work(&Runner {
            store: &self.store,
            registry: &self.registry,
            host: &host,
            policy,
            scanner: tools,
            patcher: tools,
            access: &Access::default(),
            settings: &self.settings,
        })
    }

    fn run(
        &self,
        tools: &Tools<'_>,
        stop: &Cancel,
        observe: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Cycle {
        let policy = || -> Result<Workflow, PolicyTrouble> { Ok(self.workflow()) };
        self.with_runner(tools, &policy, |runner| {
            runner.run(Cause::Immediate, stop, observe).unwrap()
        })
    }

    fn cycle(&self, tools: &Tools<'_>) -> Cycle {
        self.run(tools, &Cancel::default(), &mut |_| ())
    }

    fn leaves_nothing_behind(&self) {
        for tag in self.tags() {
            assert!(!is_candidate(tag.parse::<Tag>().unwrap().as_ref()), "{tag}");
        }
        let work = self.folder.path().join("state.db-work/localhost_5000");
        assert!(!work.join("runs").exists());
    }
}

fn python() -> Repository {
    "python".parse().unwrap()
}

fn rows(cycle: &Cycle) -> Vec<(String, RowStatus, RowStatus, String)> {
    let text = |row: cssc_core::StatusRow| row.patched_image.or(row.reason).unwrap_or_default();
    cycle
        .rows()
        .map(|row| {
            (
                row.image.clone(),
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
        row("python:clean", Skipped, "no vulnerability found"),
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
    let tools = Tools::new(&world.registry);
    let cycle = world.cycle(&tools);
    assert_eq!(rows(&cycle), expected_of_three());
    assert_eq!(cycle.record().status(), Status::Succeeded);
    assert_eq!(world.tags(), ["clean", "old", "old-1", "stubborn"]);
    world.leaves_nothing_behind();

    let again = world.cycle(&tools);
    assert_eq!(again.record().id(), 2);
    assert_eq!(rows(&again)[1].3, "no vulnerability found");
    assert_eq!(world.tags(), ["clean", "old", "old-1", "stubborn"]);
    // The log of a run is kept.
    let log = world
        .store
        .log("c1-4".parse().unwrap(), 0)
        .unwrap()
        .unwrap();
    assert_eq!(
        log,
        "scanning localhost:5000/python:old\nunknown: 2, 2 fixable\n"
    );
}

#[test]
fn an_original_that_moved_is_patched_anew() {
    let world = World::new();
    world.push("old", &image(&["CVE-1"], &[], 0));
    let tools = Tools::new(&world.registry);
    world.cycle(&tools);
    assert_eq!(world.tags(), ["old", "old-1"]);
    // The newest patch is clean, the new original is not.
    world.push("old", &image(&["CVE-1", "CVE-9"], &[], 7));
    let cycle = world.cycle(&tools);
    assert_eq!(rows(&cycle)[0].3, "python:old-2");
    let cycle = world.cycle(&tools);
    assert_eq!(rows(&cycle)[0].3, "no vulnerability found");
    assert_eq!(world.tags(), ["old", "old-1", "old-2"]);
}

#[test]
fn without_verification_every_patch_is_published() {
    let mut world = World::new();
    world.settings.cycle.verify = false;
    world.convention = "floating";
    three_images(&world);
    let tools = Tools::new(&world.registry);
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
        let tools = Tools::new(&world.registry);
        let mut call = 0;
        let cycle = loop {
            call += 1;
            assert!(call < 200);
            // The process dies at an event, each time at a later or an earlier one.
            let mut left = call % 8;
            let killed = catch_unwind(AssertUnwindSafe(|| {
                world.run(&tools, &Cancel::default(), &mut |event| {
                    let is_over = matches!(event, RunnerEvent::Ended { .. });
                    assert!(left != 0 || is_over, "the process dies");
                    left -= i32::from(!is_over);
                })
            }));
            if let Ok(cycle) = killed {
                break cycle;
            }
        };
        assert!(call > 2, "{call}");
        assert_eq!(cycle.record().id(), 1);
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
        ..Tools::new(&world.registry)
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
        ..Tools::new(&world.registry)
    };
    let elsewhere = Store::open(world.store.path()).unwrap();
    let mut canceled = false;
    let cycle = world.run(&tools, &Cancel::default(), &mut |event| match event {
        RunnerEvent::Begun { work, .. } if work.step.name() == "scan" => {
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
    let tools = Tools::new(&world.registry);
    let next = world.cycle(&tools);
    assert_eq!(next.record().id(), 2);
    assert_eq!(rows(&next), expected_of_three());
}

#[test]
fn stopped_it_gives_its_work_back() {
    let world = World::new();
    three_images(&world);
    let hanging = Tools {
        hangs: true,
        ..Tools::new(&world.registry)
    };
    let stop = Cancel::default();
    let cycle = world.run(&hanging, &stop, &mut |event| {
        if matches!(event, RunnerEvent::Begun { work, .. } if work.step.name() == "scan") {
            stop.cancel();
        }
    });
    assert!(!cycle.has_ended());
    let tools = Tools::new(&world.registry);
    let cycle = world.cycle(&tools);
    assert_eq!(cycle.record().id(), 1);
    assert_eq!(rows(&cycle), expected_of_three());
}

#[test]
fn one_runner_at_a_time() {
    let world = World::new();
    three_images(&world);
    let tools = Tools::new(&world.registry);
    world.cycle(&tools);
    let elsewhere = Store::open(world.store.path()).unwrap();
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
    let tools = Tools::new(&world.registry);
    // A runner was here in January and has not looked since.
    let owner = cssc_core::Owner::new(1);
    let january = "2024-01-04T00:00:00Z".parse().unwrap();
    let id = world
        .store
        .add_workflow("localhost:5000", &owner, january)
        .unwrap()
        .id;
    let reads = AtomicU32::new(0);
    let policy = || match reads.fetch_add(1, Ordering::Relaxed) {
        0 => Err(PolicyTrouble {
            reason: "the registry is away".to_owned(),
            retry: true,
            absent: false,
        }),
        _ => Ok(world.workflow()),
    };
    let (stop, monitor) = (Cancel::default(), Monitor::default());
    let mut said = Vec::new();
    world.with_runner(&tools, &policy, |runner| {
        runner
            .serve(&stop, &monitor, &mut |event| match event {
                ServeEvent::Trouble(trouble) => said.push(trouble.to_string()),
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
                        world.store.enqueue(id, january).unwrap();
                    } else {
                        stop.cancel();
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
    let metrics = monitor.metrics();
    for line in [
        "cssc_cycle_running 0",
        "cssc_cycles_total{status=\"succeeded\"} 2",
        "cssc_patched_images_total 1",
        "cssc_steps_total{step=\"scan\",outcome=\"done\"} 6",
        "cssc_registry_up 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}: {metrics}"
        );
    }
}

/// A registry of clean images that costs nothing.
struct Instant(cssc_core::TagSet);

impl RegistryClient for Instant {
    fn list_tags(&self, _: &Repository) -> Listing {
        Listing::Found(self.0.clone())
    }

    fn resolve(&self, _: &Repository, _: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        Ok(Some(Descriptor::of(MANIFEST, b"{}")))
    }

    fn get_manifest(&self, _: &Repository, _: &Reference) -> Result<Manifest, RegistryError> {
        unreachable!()
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
        unreachable!()
    }

    fn put_blob(&self, _: &Repository, _: &[u8]) -> Result<Digest, RegistryError> {
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
            "Results": [{"Class": "os-pkgs", "Type": "debian"}]}"#;
        fs::write(&report, text).unwrap();
        Ok(Scan {
            report,
            exit_code: Some(0),
        })
    }
}

#[test]
#[ignore = "measures the runner's own cost; run with --nocapture"]
fn cost_of_ten_thousand_images() {
    for count in [1_000_u32, 10_000] {
        let mut world = World::new();
        world.settings.cycle.limit = None;
        let names: Vec<String> = (0..count).map(|number| format!("t{number}x")).collect();
        let registry = Instant(cssc_core::TagSet::new(&names).unwrap());
        let tools = Tools::new(&world.registry);
        let policy = || -> Result<Workflow, PolicyTrouble> { Ok(world.workflow()) };
        let begin = std::time::Instant::now();
        let cycle = world.with_runner(&tools, &policy, |runner| {
            let runner = Runner {
                registry: &registry,
                scanner: &Clean,
                ..*runner
            };
            runner
                .run(Cause::Immediate, &Cancel::default(), &mut |_| ())
                .unwrap()
        });
        let took = begin.elapsed();
        assert_eq!(cycle.summary().skipped, names.len());
        let begin = std::time::Instant::now();
        let rows = cssc_engine::workflow::list(&world.store, "localhost:5000", None).unwrap();
        assert_eq!(rows.len(), names.len());
        let list = begin.elapsed();
        eprintln!(
            "{count} images: {took:?}, {:?} each; listed in {list:?}",
            took / count
        );
    }
}
