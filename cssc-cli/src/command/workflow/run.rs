//! Running cycles: one now, or all when their time comes.

use std::net::SocketAddr;
use std::thread;

use clap::Args;
use cssc_core::Cycle;
use cssc_core::cycle::{Cause, Interrupt, Reason, RunId, Status};
use cssc_core::schedule::rfc3339;
use cssc_engine::monitor::{Monitor, MonitorServer};
use cssc_engine::policy_source::PolicySource;
use cssc_engine::runner::{RunnerSettings, ServeEvent};
use cssc_engine::state::State;
use cssc_engine::workflow::RegistryPolicy;

use super::args::CycleArgs;
use crate::args::parse_listen;
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::registry::Registry;
use crate::running::fail_on::FailOnArgs;
use crate::running::progress::Progress;
use crate::running::selection::SelectionArgs;
use crate::running::{stop_on_signals, with_runner};

/// Run one cycle now, or finish the one that was stopped
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    fail_on: FailOnArgs,
    #[command(flatten)]
    cycle: CycleArgs,
}

/// Run cycles on schedule until stopped
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    cycle: CycleArgs,
    /// Serve the status page, `/healthz` and `/metrics` at this address: `127.0.0.1:9090`, or
    /// `0.0.0.0:9090` for everyone who can reach this machine
    #[arg(long, value_name = "ADDRESS", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
}

impl Run {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.cycle.registry)?;
        let state = self.cycle.state.open()?;
        let mut settings = self.cycle.runner_settings();
        self.selection.apply(&mut settings);
        let policy = self.selection.policy(&registry)?;
        let cycle = run_once(&registry, &state, &self.cycle, &settings, &*policy)?;
        Ok(self.fail_on.apply(answer(&cycle), &cycle.summary()))
    }
}

/// Runs one cycle in the foreground.
pub(super) fn once(registry: &Registry, state: &dyn State, args: &CycleArgs) -> Outcome {
    let policy = RegistryPolicy(registry.client());
    let cycle = run_once(registry, state, args, &args.runner_settings(), &policy)?;
    Ok(answer(&cycle))
}

fn run_once(
    registry: &Registry,
    state: &dyn State,
    args: &CycleArgs,
    settings: &RunnerSettings,
    policy: &dyn PolicySource,
) -> Result<Cycle, Failure> {
    let stop = stop_on_signals()?;
    let mut progress = Progress::new();
    let tools = args.tools.tools(&args.registry);
    with_runner(registry, state, &tools, (settings, policy), |runner| {
        runner.run(Cause::Immediate, &stop, &mut |event| progress.tell(&event))
    })
}

fn answer(cycle: &Cycle) -> Answer {
    let trigger = cycle.run(&RunId::trigger(cycle.record().id()));
    let is_incomplete = match trigger.and_then(|run| run.reason()) {
        // A policy that is missing or not valid is an answer.
        Some(Reason::Failed(failure)) => failure.is_transient(),
        Some(Reason::Unavailable(_) | Reason::Interrupted(_)) => true,
        _ => !cycle.has_ended(),
    };
    match cycle.record().status() {
        Status::Succeeded => Answer::Yes,
        _ if is_incomplete => Answer::Incomplete,
        _ => Answer::No,
    }
}

impl Serve {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.cycle.registry)?;
        let state = self.cycle.state.open()?;
        let stop = stop_on_signals()?;
        let monitor = Monitor::default();
        let server = self.listen.map(MonitorServer::bind).transpose();
        let server = server.map_err(|error| Failure::new(format!("cannot listen: {error}")))?;
        if let Some(address) = server.as_ref().and_then(|server| server.address().ok()) {
            output::note(&format!("page, /healthz and /metrics at http://{address}"));
        }
        let mut progress = Progress::new();
        thread::scope(|scope| {
            if let Some(server) = &server {
                scope.spawn(|| server.run(&monitor, &stop));
            }
            let policy = RegistryPolicy(registry.client());
            let settings = self.cycle.runner_settings();
            let tools = self.cycle.tools.tools(&self.cycle.registry);
            let ended = with_runner(&registry, &state, &tools, (&settings, &policy), |runner| {
                runner.serve(&stop, &monitor, &mut |event| tell(&mut progress, &event))
            });
            stop.stop(Interrupt::Stopped);
            ended
        })?;
        Ok(Answer::Yes)
    }
}

fn tell(progress: &mut Progress, event: &ServeEvent<'_>) {
    match event {
        ServeEvent::Waiting { next: Some(next) } => {
            output::note(&format!("next run: {}", rfc3339(*next)));
        }
        ServeEvent::Unreadable(error) => output::warning(&error.to_string()),
        ServeEvent::Absent => {
            output::warning("there is no workflow: waiting for `cssc workflow create`");
        }
        ServeEvent::Cycle(event) => progress.tell(event),
        _ => {}
    }
}
