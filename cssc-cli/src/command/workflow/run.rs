//! Running cycles: one now, or all when their time comes.

use std::net::SocketAddr;
use std::thread;

use chrono::{SecondsFormat, Utc};
use clap::{Args, ValueEnum};
use cssc_core::cycle::{Cause, ImageFilter, ImageOutcome, Interrupt, Reason, RunId, Status, Until};
use cssc_core::{Cycle, Dialect, Interval, Workflow};
use cssc_engine::monitor::{Monitor, MonitorServer};
use cssc_engine::runner::{self, PolicyReadError, Runner, RunnerError, RunnerSettings, ServeEvent};
use cssc_engine::state::State;
use cssc_engine::tool::StopToken;
use cssc_engine::workflow::RegistryPolicy;

use super::args::CycleArgs;
use super::progress::Progress;
use crate::args::{LintArgs, dialects, parse_listen};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::registry::Registry;
use crate::source::PolicyFile;

/// Run one cycle now, or finish the one that was stopped
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Take the policy from this file instead of the stored workflow, which need not exist; `-` is
    /// standard input
    #[arg(long, value_name = "FILE")]
    config: Option<PolicyFile>,
    /// Whose reading of the rules decides where the policy comes from a file
    #[arg(
        long,
        value_name = "DIALECT",
        requires = "config",
        value_parser = dialects(),
        default_value_t
    )]
    dialect: Dialect,
    /// Take only these of the images that the policy selects: a repository, or one image of it; may
    /// be given again
    #[arg(long, value_name = "REPOSITORY[:TAG]")]
    only: Vec<ImageFilter>,
    /// Stop short: `scan` writes nothing to the registry, `verify` discards the patched images once
    /// they are judged
    #[arg(long, value_name = "STEP")]
    until: Option<UntilArg>,
    /// End with exit code 1 when any image has one of these outcomes: `vulnerable`, `end-of-life`,
    /// `unsupported`, `left-out`; several with commas between
    #[arg(long, value_name = "OUTCOMES", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    #[command(flatten)]
    lints: LintArgs,
    #[command(flatten)]
    cycle: CycleArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum UntilArg {
    /// After the scans: nothing is written to the registry
    Scan,
    /// After the patched images were judged: no patch tag is written
    Verify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Something that can be fixed is left in it
    Vulnerable,
    /// Its operating system is out of service
    EndOfLife,
    /// Nobody can say whether it is vulnerable
    Unsupported,
    /// The policy names or matches it, and the cycle did not take care of it
    LeftOut,
}

impl FailOn {
    fn outcome(self) -> ImageOutcome {
        match self {
            Self::Vulnerable => ImageOutcome::Vulnerable,
            Self::EndOfLife => ImageOutcome::EndOfLife,
            Self::Unsupported => ImageOutcome::Unsupported,
            Self::LeftOut => ImageOutcome::LeftOut,
        }
    }
}

/// Run the cycles when their time comes, until stopped
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    cycle: CycleArgs,
    /// Answer `/healthz` and `/metrics` at this address: `127.0.0.1:9090`, or `0.0.0.0:9090` for all
    /// who reach this machine
    #[arg(long, value_name = "ADDRESS", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
}

impl Run {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.cycle.registry)?;
        let state = self.cycle.state.open()?;
        let mut settings = self.cycle.runner_settings();
        settings.only.clone_from(&self.only);
        settings.cycle.until = self.until.map(|until| match until {
            UntilArg::Scan => Until::Scan,
            UntilArg::Verify => Until::Verify,
        });
        let from_file = self
            .config
            .as_ref()
            .map(|file| self.workflow(file))
            .transpose()?;
        let cycle = if let Some(workflow) = &from_file {
            let policy = || -> Result<Workflow, PolicyReadError> { Ok(workflow.clone()) };
            run_once(&registry, &state, &self.cycle, &settings, &policy)?
        } else {
            let policy = RegistryPolicy(registry.client());
            run_once(&registry, &state, &self.cycle, &settings, &policy)?
        };
        let answer = answer(&cycle);
        let summary = cycle.summary();
        let mut is_refused = false;
        for outcome in self.fail_on.iter().map(|fail_on| fail_on.outcome()) {
            let count = summary.of(outcome);
            if count > 0 {
                output::error(&format!(
                    "{} {outcome} (--fail-on)",
                    output::noun(count, "image")
                ));
                is_refused = true;
            }
        }
        Ok(match answer {
            Answer::Yes if is_refused => Answer::No,
            answer => answer,
        })
    }

    /// The workflow that a policy file makes up.
    fn workflow(&self, file: &PolicyFile) -> Result<Workflow, Failure> {
        let policy = file.load(&self.lints.lints())?;
        // It runs now, so its schedule decides nothing.
        Ok(Workflow::new(
            policy.to_json(),
            Interval::MIN,
            self.dialect,
            Utc::now(),
        ))
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
    policy: &dyn runner::PolicySource,
) -> Result<Cycle, Failure> {
    let stop = stop_on_signals()?;
    let mut progress = Progress::new();
    with_runner(registry, state, args, (settings, policy), |runner| {
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
            output::note(&format!("/healthz and /metrics at http://{address}"));
        }
        let mut progress = Progress::new();
        thread::scope(|scope| {
            if let Some(server) = &server {
                scope.spawn(|| server.run(&monitor, &stop));
            }
            let policy = RegistryPolicy(registry.client());
            let settings = self.cycle.runner_settings();
            let ended = with_runner(
                &registry,
                &state,
                &self.cycle,
                (&settings, &policy),
                |runner| runner.serve(&stop, &monitor, &mut |event| tell(&mut progress, &event)),
            );
            stop.stop(Interrupt::Stopped);
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
        ServeEvent::Unreadable(error) => output::warning(&error.to_string()),
        ServeEvent::Absent => {
            output::warning("there is no workflow: waiting for `cssc workflow create`");
        }
        ServeEvent::Cycle(event) => progress.tell(event),
        _ => {}
    }
}

fn with_runner<T>(
    registry: &Registry,
    state: &dyn State,
    args: &CycleArgs,
    (settings, policy): (&RunnerSettings, &dyn runner::PolicySource),
    work: impl FnOnce(&Runner<'_>) -> Result<T, RunnerError>,
) -> Result<T, Failure> {
    let host = registry.host()?;
    let tools = args.tools.tools();
    let done = work(&Runner {
        state,
        registry: registry.client(),
        host,
        policy,
        scanner: &tools.scanner,
        patchers: &tools,
        access: registry.access(),
        settings,
    })?;
    Ok(done)
}

/// Is set by the first SIGTERM or SIGINT; the second ends the process at once, and what it did
/// is done again by the next one.
#[cfg(unix)]
fn stop_on_signals() -> Result<StopToken, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let stop = StopToken::default();
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let asked = stop.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            if asked.is_stopped() {
                std::process::exit(signal.saturating_add(128));
            }
            asked.stop(Interrupt::Stopped);
            output::note("stopping; once more to stop at once");
        }
    });
    Ok(stop)
}

/// Without signals the process is ended at once, which the next one can deal with.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn stop_on_signals() -> Result<StopToken, Failure> {
    Ok(StopToken::default())
}
