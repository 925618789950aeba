//! A cycle over 2,000 images with a scanner that takes 50 ms, 16 at a time, beside
//! `xargs -P16` with the same program.
//!
//! The scanner is a shell script that sleeps and writes a report without findings. The runner
//! lists the tags and reads the manifest and the config of each of them over HTTP from a server in this process, and keeps
//! every run, with its log, in SQLite. The answer is checked: every image was scanned and is clean.

mod support;

use std::fs;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cssc_core::Registry;
use cssc_core::cycle::{Cause, CycleOptions};
use cssc_core::plan::ImageLimit;
use cssc_core::workflow::WorkflowSettings;
use cssc_engine::runner::{Runner, RunnerSettings};
use cssc_engine::state::SqliteState;
use cssc_engine::tool::{Copa, StopToken, ToolOptions, Trivy};
use cssc_registry::testing::TestRegistry;
use cssc_registry::{OciOptions, OciRegistry, RegistryClient};
use support::{policy, scanner, server};

const IMAGES: usize = 2_000;
const JOBS: u32 = 16;
const ROUNDS: usize = 3;
/// What the design allows.
const TARGET: f64 = 1.2;

/// One cycle from the listing to its end.
fn cycle(server: &TestRegistry, scanner: &Path, folder: &Path) -> Duration {
    let host: Registry = server.host().parse().expect("a valid host");
    let registry = OciRegistry::new(&host, OciOptions::default().anonymous()).expect("a client");
    let registry: Arc<dyn RegistryClient> = Arc::new(registry);
    let state = SqliteState::open(folder.join("state.db")).expect("a state file");
    let mut workflow = WorkflowSettings::default();
    workflow.limit = Some(ImageLimit::NONE);
    let settings = RunnerSettings {
        cycle: CycleOptions {
            jobs: NonZeroU32::new(JOBS).expect("not zero"),
            settings: workflow,
            ..CycleOptions::default()
        },
        ..RunnerSettings::default()
    };
    let runner = Runner {
        state: &state,
        registry: &registry,
        host: &host,
        policy: &policy,
        scanner: &Trivy::new(ToolOptions::new(scanner)),
        // Never called: nothing is to be patched.
        patchers: &Copa::new(ToolOptions::new(scanner)),
        tooling: None,
        settings: &settings,
    };
    let begun = Instant::now();
    let cycle = runner
        .run(Cause::Immediate, &StopToken::default(), &mut |_| ())
        .expect("a cycle");
    let elapsed = begun.elapsed();
    let first = cycle.rows().next();
    assert_eq!(cycle.summary().clean, IMAGES, "{first:?}");
    elapsed
}

/// The same program as often, from `xargs`.
fn xargs(scanner: &Path, folder: &Path) -> Duration {
    let begun = Instant::now();
    let mut xargs = Command::new("xargs")
        .args(["-P", &JOBS.to_string(), "-I{}"])
        .arg(scanner)
        .args(["image", "--output", "report-{}.json", "python:{}"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .spawn()
        .expect("xargs is installed");
    let mut input = xargs.stdin.take().expect("a pipe");
    for number in 0..IMAGES {
        writeln!(input, "{number}").expect("xargs reads");
    }
    drop(input);
    assert!(xargs.wait().expect("xargs ends").success());
    let elapsed = begun.elapsed();
    let reports = fs::read_dir(folder).expect("a folder").count();
    assert_eq!(reports, IMAGES);
    elapsed
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

fn main() {
    let folder = std::env::temp_dir().join(format!("cssc-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let scanner = scanner(&folder);
    let server = server(IMAGES);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // In turns, so that a busy moment hits both.
    for round in 0..ROUNDS {
        for (name, times) in [("ours", &mut ours), ("theirs", &mut theirs)] {
            let place = folder.join(format!("{name}-{round}"));
            fs::create_dir(&place).expect("a new folder");
            times.push(match name {
                "ours" => cycle(&server, &scanner, &place),
                _ => xargs(&scanner, &place),
            });
            fs::remove_dir_all(&place).expect("a folder of ours");
        }
    }
    fs::remove_dir_all(&folder).expect("a folder of ours");
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours / theirs;
    println!("{IMAGES} images, a scanner of 50 ms, {JOBS} at a time, median of {ROUNDS}:");
    println!("  cssc   {ours:.2} s\n  xargs  {theirs:.2} s\n  ratio  {ratio:.2}, at most {TARGET}");
}
