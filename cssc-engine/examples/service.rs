//! A service on tokio that drives a cycle step by step, with a patcher of its own.
//!
//! usage: `service REGISTRY POLICY TRIVY PATCHER`, where PATCHER is a program that is called as Copa
//! would be, `PATCHER patch -i IMAGE -r REPORT -t TAG --push …`
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cssc_core::cycle::{Assignment, Cause, CycleId, CycleOptions, NextStep, StepOutcome};
use cssc_core::{Cycle, Dialect, Interval, Registry, Workflow};
use cssc_engine::policy_source::PolicyReadError;
use cssc_engine::relay::{RelayOnDemand, RelayOptions};
use cssc_engine::reports::Reports;
use cssc_engine::step::{StepContext, perform};
use cssc_engine::tool::{
    Job, PatchRequest, Patcher, StopToken, ToolError, ToolOptions, Trivy, Version,
};
use cssc_registry::{ListOptions, OciOptions, OciRegistry, RegistryClient};
use tokio::task::JoinSet;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run(&arguments, &mut std::io::stdout())
}

pub(crate) fn run(arguments: &[String], out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let [registry, policy, trivy, patcher] = arguments else {
        return Err("usage: service REGISTRY POLICY TRIVY PATCHER".into());
    };
    let host: Registry = registry.parse()?;
    let work = tempfile::tempdir()?;
    let registry: Arc<dyn RegistryClient> =
        Arc::new(OciRegistry::new(&host, OciOptions::default())?);
    let relay = work.path().join("relay");
    let service = Service {
        relay: RelayOnDemand::new(relay, Arc::clone(&registry), RelayOptions::default(), None),
        registry,
        host,
        policy: std::fs::read_to_string(policy)?,
        trivy: Trivy::new(ToolOptions::new(trivy)),
        patcher: Rebuild(patcher.into()),
        stop: StopToken::default(),
        work: work.path().to_owned(),
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()?
        .block_on(drive(Arc::new(service), out))
}

/// What steps are done with; it is shared by all that are under way.
struct Service {
    registry: Arc<dyn RegistryClient>,
    /// What tools read images from and push them to.
    relay: RelayOnDemand,
    host: Registry,
    policy: String,
    trivy: Trivy,
    patcher: Rebuild,
    stop: StopToken,
    work: PathBuf,
}

/// Drives one cycle to its end: the machine says what to do, threads do it.
async fn drive(service: Arc<Service>, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let options = CycleOptions {
        jobs: std::num::NonZeroU32::new(4).ok_or("four is not zero")?,
        ..CycleOptions::default()
    };
    let mut cycle = Cycle::new(CycleId::new(now(), 1), Cause::Immediate, options, now());
    let mut working: JoinSet<(Assignment, StepOutcome)> = JoinSet::new();
    loop {
        // Here `cycle.take_changes()` would be stored: a service that is killed goes on from there.
        let wait = match cycle.next_step(now()) {
            NextStep::Assigned(work) => {
                let service = Arc::clone(&service);
                // Steps block, for minutes: they are no work for the threads of the runtime.
                working.spawn_blocking(move || {
                    let outcome = service.perform(&work);
                    (*work, outcome)
                });
                continue;
            }
            NextStep::WaitUntil(time) => time
                .signed_duration_since(now())
                .to_std()
                .unwrap_or_default(),
            NextStep::Idle => Duration::MAX,
            NextStep::Done => break,
        };
        tokio::select! {
            Some(done) = working.join_next() => {
                let (work, outcome) = done?;
                writeln!(out, "{}", work.step.kind())?;
                cycle.report(&work.run, work.attempt, outcome, now())?;
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
    for row in cycle.rows() {
        let patched = row.patched_image.map(|image| image.to_string());
        let patched = patched.unwrap_or_else(|| "no patch".to_owned());
        writeln!(out, "{}: {patched}", row.image)?;
    }
    Ok(())
}

impl Service {
    /// Does one step, which carries all it needs.
    fn perform(&self, work: &Assignment) -> StepOutcome {
        let policy = || -> Result<Workflow, PolicyReadError> {
            let (interval, dialect) = (Interval::MIN, Dialect::default());
            Ok(Workflow::new(self.policy.clone(), interval, dialect, now()))
        };
        perform(
            &work.step,
            &StepContext {
                registry: &*self.registry,
                host: &self.host,
                policy: &policy,
                scanner: &self.trivy,
                patchers: &self.patcher,
                test: None,
                sign: None,
                relay: &self.relay,
                reports: &Reports::new(self.work.join("reports")),
                folder: &self.work.join(work.run.to_string()),
                kept: &self.work.join("cache"),
                log: &|line: &str| eprintln!("{line}"),
                stop: &self.stop,
                list: &ListOptions::default(),
            },
        )
    }
}

/// A patcher of one's own. Whatever it says, the scan of what it pushed decides.
struct Rebuild(PathBuf);

impl Patcher for Rebuild {
    fn name(&self) -> &'static str {
        "rebuild"
    }

    fn check(&self, _: &Job<'_>) -> Result<Option<Version>, ToolError> {
        Ok(None)
    }

    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<(), ToolError> {
        let ended = Command::new(&self.0)
            .args(["patch", "-i", &request.original.by_tag_and_digest(), "-r"])
            .arg(request.report)
            .args(["-t", request.target.as_str(), "--push"])
            .args(["--timeout", "10m", "--progress", "plain"])
            .env("DOCKER_CONFIG", job.docker_config()?)
            .status();
        // Nothing is fixed when it failed, and that is what the next step finds.
        job.log.line(&match ended {
            Ok(status) => format!("{}: {status}", self.0.display()),
            Err(error) => format!("cannot start {}: {error}", self.0.display()),
        });
        Ok(())
    }
}

fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}
