//! Running cycles: one now, or all when their time comes.

use std::net::SocketAddr;
use std::thread;

use chrono::SecondsFormat;
use clap::Args;
use cssc_core::{Cause, DEFAULT_LIMIT, Outcome as StepOutcome, Reason, Status, Task};
use cssc_engine::runner::{
    Monitor, MonitorServer, Runner, RunnerError, RunnerEvent, RunnerSettings, ServeEvent,
};
use cssc_engine::store::Store;
use cssc_engine::tool::Cancel;
use cssc_engine::workflow::RegistryPolicy;

use super::args::{StateArgs, ToolArgs, TypeArgs};
use super::progress::Progress;
use crate::args::RegistryArgs;
use crate::command::dry_run::Limit;
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::registry::Registry;

/// Run one cycle now, or finish the one that was stopped
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    /// How many images a workflow may run, or `none`; Azure's limit is 100
    #[arg(long, value_name = "N", default_value_t = Limit::from(Some(DEFAULT_LIMIT)))]
    max_images: Limit,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    tools: ToolArgs,
}

/// Run the cycles when their time comes, until stopped
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    /// Answer `/healthz` and `/metrics` at this loopback address: `127.0.0.1:9090`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How many images a workflow may run, or `none`; Azure's limit is 100
    #[arg(long, value_name = "N", default_value_t = Limit::from(Some(DEFAULT_LIMIT)))]
    max_images: Limit,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    tools: ToolArgs,
}

impl Run {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        once(&registry, &self.state.open()?, &self.tools, self.max_images)
    }
}

/// Runs one cycle in the foreground.
pub(super) fn once(registry: &Registry, store: &Store, tools: &ToolArgs, limit: Limit) -> Outcome {
    let stop = stop_on_signals()?;
    let settings = tools.settings(limit);
    let mut progress = Progress::new();
    let mut is_away = false;
    let cycle = with_runner(registry, store, tools, &settings, |runner| {
        runner.run(Cause::Immediate, &stop, &mut |event| {
            if let RunnerEvent::Done { work, outcome, .. } = &event
                && work.run.task() == Task::Trigger
            {
                is_away = matches!(outcome, StepOutcome::Failed { retry: true, .. });
            }
            progress.tell(&event);
        })
    })?;
    let trigger = cycle.runs().next().and_then(|run| run.reason());
    let is_incomplete = match trigger {
        // A policy that is missing or not valid is an answer.
        Some(Reason::Failed(_)) => is_away,
        Some(Reason::Unavailable(_) | Reason::Interrupted(_)) => true,
        _ => !cycle.has_ended(),
    };
    Ok(match cycle.record().status() {
        Status::Succeeded => Answer::Yes,
        _ if is_incomplete => Answer::Incomplete,
        _ => Answer::No,
    })
}

impl Serve {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let store = self.state.open()?;
        let stop = stop_on_signals()?;
        let settings = self.tools.settings(self.max_images);
        let monitor = Monitor::default();
        let server = self.listen.map(MonitorServer::bind).transpose();
        let server = server.map_err(|error| Failure::new(format!("cannot listen: {error}")))?;
        if let Some(address) = server.as_ref().and_then(|server| server.address().ok()) {
            output::note(&format!("/healthz and /metrics at http://{address}"));
        }
        let mut progress = Progress::new();
        thread::scope(|scope| {
            if let Some(server) = &server {
                scope.spawn(|| server.run(&monitor, &stop));
            }
            let ended = with_runner(&registry, &store, &self.tools, &settings, |runner| {
                runner.serve(&stop, &monitor, &mut |event| tell(&mut progress, &event))
            });
            stop.cancel();
            ended
        })?;
        Ok(Answer::Yes)
    }
}

fn tell(progress: &mut Progress, event: &ServeEvent<'_>) {
    match event {
        ServeEvent::Waiting { next: Some(next) } => output::note(&format!(
            "next run: {}",
            next.to_rfc3339_opts(SecondsFormat::Secs, true)
        )),
        ServeEvent::Waiting { next: None } => {}
        ServeEvent::Trouble(trouble) => output::warning(&trouble.to_string()),
        ServeEvent::Absent => {
            output::warning("there is no workflow: waiting for `cssc workflow create`");
        }
        ServeEvent::Cycle(event) => progress.tell(event),
    }
}

fn with_runner<T>(
    registry: &Registry,
    store: &Store,
    tools: &ToolArgs,
    settings: &RunnerSettings,
    work: impl FnOnce(&Runner<'_>) -> Result<T, RunnerError>,
) -> Result<T, Failure> {
    let host = registry.host()?;
    let tools = tools.tools();
    let done = work(&Runner {
        store,
        registry: registry.client(),
        host,
        policy: &RegistryPolicy(registry.client()),
        scanner: &*tools.scanner,
        patcher: &*tools.patcher,
        access: registry.access(),
        settings,
    })?;
    Ok(done)
}

/// Is set by the first SIGTERM or SIGINT; the second ends the process at once, and what it did
/// is done again by the next one.
#[cfg(unix)]
fn stop_on_signals() -> Result<Cancel, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let stop = Cancel::default();
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let asked = stop.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            if asked.is_canceled() {
                std::process::exit(signal.saturating_add(128));
            }
            asked.cancel();
            output::note("stopping; once more to stop at once");
        }
    });
    Ok(stop)
}

/// Without signals the process is ended at once, which the next one can deal with.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn stop_on_signals() -> Result<Cancel, Failure> {
    Ok(Cancel::default())
}
