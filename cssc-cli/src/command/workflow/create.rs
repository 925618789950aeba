//! Making and changing workflows.

use chrono::Utc;
use clap::Args;
use cssc_core::workflow::{NothingToUpdate, WorkflowUpdate};
use cssc_core::{Interval, Plan, Policy, Workflow};
use cssc_engine::state::State;
use cssc_engine::workflow::{self, WorkflowArtifact};

use super::args::CycleArgs;
use super::run;
use super::show::Shown;
use crate::args::{ConfigArgs, DialectArgs, Format, FormatArgs, LintArgs, TakeOverArgs};
use crate::command::dry_run::{PlanRequest, tell_unavailable};
use crate::command::schedule::note_difference;
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::registry::Registry;
use crate::source::{self, PolicyFile};
use crate::values;

/// Whether a cycle is to run now.
#[derive(Debug, Args)]
struct AtOnceArgs {
    /// Run a cycle immediately, in the foreground
    #[arg(long)]
    run_immediately: bool,
    /// With --run-immediately: leave the cycle to `cssc workflow serve`
    #[arg(long, requires = "run_immediately")]
    no_wait: bool,
}

/// Store a policy and its schedule in the registry
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    lints: LintArgs,
    /// How often the workflow runs: `1d` to `30d`
    #[arg(long, value_name = "DAYS", value_parser = values::interval(), hide_possible_values = true)]
    schedule: Interval,
    /// Show what would be selected, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    at_once: AtOnceArgs,
    #[command(flatten)]
    dialect: DialectArgs,
    #[command(flatten)]
    take_over: TakeOverArgs,
    #[command(flatten)]
    cycle: CycleArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Change the policy, the schedule, or both
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The new policy; `-` is standard input
    #[arg(long, value_name = "FILE")]
    config: Option<PolicyFile>,
    #[command(flatten)]
    lints: LintArgs,
    /// How often the workflow runs from now on: `1d` to `30d`
    #[arg(long, value_name = "DAYS", value_parser = values::interval(), hide_possible_values = true)]
    schedule: Option<Interval>,
    /// Show what would be selected, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    at_once: AtOnceArgs,
    #[command(flatten)]
    cycle: CycleArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// The text of a valid policy.
fn read(source: &PolicyFile, lints: &LintArgs) -> Result<(String, Policy), Failure> {
    let text = source.read()?;
    let policy = source::valid(&source.name(), &text, &lints.lints())?;
    match String::from_utf8(text) {
        Ok(text) => Ok((text, policy)),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

/// What the policy selects now; a repository that cannot be read is told and no reason to stop.
fn plan(registry: &Registry, policy: &Policy, request: &PlanRequest) -> Plan {
    let inventory = registry.list(&policy.enabled_repositories());
    let plan = request.plan(policy, &inventory);
    tell_unavailable(&plan, output::warning);
    plan
}

fn say_done(
    what: &str,
    registry: &Registry,
    artifact: &WorkflowArtifact,
    format: Format,
) -> Result<(), Failure> {
    let shown = Shown::new(registry, artifact);
    if format == Format::Json {
        return output::json(&shown);
    }
    let mut out = output::stdout();
    writeln!(
        out,
        "{what}: the tasks {} are set up.",
        shown.tasks.join(", ")
    )?;
    if let Some(next) = &shown.next_run {
        writeln!(out, "Next run: {next}")?;
    }
    out.flush()?;
    Ok(())
}

impl Create {
    pub(super) fn run(&self) -> Outcome {
        let config = self.config.file()?;
        self.cycle.registry.check_standard_input(&config)?;
        let (text, policy) = read(&config, &self.lints)?;
        let registry = Registry::open(&self.cycle.registry)?;
        let now = Utc::now();
        let workflow = Workflow::new(text, self.schedule, self.dialect.dialect, now)
            .with_settings(self.cycle.workflow_settings());
        let request = PlanRequest::of(&workflow);
        if self.dry_run {
            return request.show(&registry, &policy, now, self.format.output);
        }
        let plan = plan(&registry, &policy, &request);
        let client = registry.client();
        let artifact = workflow::create(client, &workflow, &plan, self.take_over.take_over)?;
        note_difference(&artifact.workflow.schedule(), now);
        say_done("Created", &registry, &artifact, self.format.output)?;
        self.at_once.begin(&registry, &self.cycle)
    }
}

impl Update {
    pub(super) fn run(&self) -> Outcome {
        let policy = self.config.as_ref();
        if let Some(policy) = policy {
            self.cycle.registry.check_standard_input(policy)?;
        }
        let policy = policy.map(|source| read(source, &self.lints)).transpose()?;
        let (text, policy) = policy.unzip();
        let update = WorkflowUpdate {
            policy: text.map(Into::into),
            schedule: self.schedule,
            settings: self.cycle.workflow_settings(),
        };
        let registry = Registry::open(&self.cycle.registry)?;
        let now = Utc::now();
        let mut changed = workflow::require(registry.client())?.workflow;
        changed.update(update.clone(), now)?;
        let request = PlanRequest::of(&changed);
        if self.dry_run {
            let policy = match policy {
                Some(policy) => policy,
                None => self.valid(changed.policy())?,
            };
            return request.show(&registry, &policy, now, self.format.output);
        }
        let planned = policy.map(|policy| plan(&registry, &policy, &request));
        let artifact = workflow::update(registry.client(), update, planned.as_ref(), now)?;
        say_done("Updated", &registry, &artifact, self.format.output)?;
        self.at_once.begin(&registry, &self.cycle)
    }

    fn valid(&self, stored: &str) -> Result<Policy, Failure> {
        source::valid("<registry>", stored.as_bytes(), &self.lints.lints())
    }
}

impl From<NothingToUpdate> for Failure {
    fn from(error: NothingToUpdate) -> Self {
        Self::new(error.to_string())
    }
}

impl AtOnceArgs {
    fn begin(&self, registry: &Registry, args: &CycleArgs) -> Outcome {
        if !self.run_immediately {
            return Ok(Answer::Yes);
        }
        let state = args.state.open()?;
        let known = state.workflow(&registry.workflow_key())?;
        let holder = match known {
            Some(known) => state.holder(known.id)?,
            None => None,
        };
        match holder {
            None if !self.no_wait => return run::once(registry, &state, args),
            None => output::note("the cycle is queued: `cssc workflow serve` runs it"),
            Some(holder) => output::note(&format!("the cycle is queued: {holder} runs it")),
        }
        workflow::enqueue(&state, registry.host()?, Utc::now())?;
        Ok(Answer::Yes)
    }
}
