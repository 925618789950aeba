//! Making, changing, showing and deleting workflows.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use cssc_core::{Config, DEFAULT_LIMIT, Dialect, Interval, Plan, PlanOptions, Task};
use cssc_engine::policy_artifact::{POLICY_REPOSITORY, POLICY_TAG, PolicyDeletion};
use cssc_engine::workflow::{self, Cancellation, WorkflowArtifact};
use serde::Serialize;

use super::args::{StateArgs, ToolArgs, TypeArgs};
use super::run;
use crate::args::{DialectArgs, Format, FormatArgs, RegistryArgs, parse_interval};
use crate::command::dry_run::{DryRun, Limit};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::{self, confirm, noun};
use crate::registry::Registry;
use crate::source::{self, PolicySource};

/// How a cycle is begun by the way.
#[derive(Debug, Args)]
struct AtOnceArgs {
    /// Run a cycle at once, in the foreground
    #[arg(long)]
    run_immediately: bool,
    /// With --run-immediately: leave the cycle to `cssc workflow serve`
    #[arg(long, requires = "run_immediately")]
    no_wait: bool,
}

/// Store a policy and its schedule in the registry
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The policy; `-` is standard input
    #[arg(long, value_name = "FILE")]
    config: PolicySource,
    /// How often the workflow runs: `1d` to `30d`
    #[arg(long, value_name = "DAYS", value_parser = parse_interval)]
    schedule: Interval,
    /// Show what would be selected, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    at_once: AtOnceArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    dialect: DialectArgs,
    /// How many images a workflow may run, or `none`; Azure's limit is 100
    #[arg(long, value_name = "N", default_value_t = Limit::from(Some(DEFAULT_LIMIT)))]
    max_images: Limit,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    tools: ToolArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Change the policy, the schedule, or both
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The new policy; `-` is standard input
    #[arg(long, value_name = "FILE")]
    config: Option<PolicySource>,
    /// How often the workflow runs from now on: `1d` to `30d`
    #[arg(long, value_name = "DAYS", value_parser = parse_interval)]
    schedule: Option<Interval>,
    /// Show what would be selected, and change nothing
    #[arg(long, requires = "config")]
    dry_run: bool,
    #[command(flatten)]
    at_once: AtOnceArgs,
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
    #[command(flatten)]
    format: FormatArgs,
}

/// Show the schedule, the next run and the tasks
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Delete the policy from the registry, and the runs
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Cancel what is queued or running in the current cycle
#[derive(Debug, Args)]
pub(crate) struct CancelRun {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    state: StateArgs,
}

/// A workflow as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    registry: String,
    schedule: Interval,
    dialect: Dialect,
    cron: String,
    next_run: Option<String>,
    created: String,
    modified: String,
    policy_digest: String,
    tasks: [&'static str; 3],
}

impl Shown {
    fn new(registry: &Registry, artifact: &WorkflowArtifact) -> Self {
        let workflow = &artifact.workflow;
        let schedule = workflow.schedule();
        Self {
            registry: registry.name(),
            schedule: workflow.interval(),
            dialect: workflow.dialect(),
            cron: schedule.cron(),
            next_run: schedule.next_after(Utc::now()).map(time),
            created: time(workflow.created()),
            modified: time(workflow.modified()),
            policy_digest: artifact.digest.to_string(),
            tasks: Task::ALL.map(Task::as_str),
        }
    }
}

pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn check_standard_input(config: Option<&PolicySource>, args: &RegistryArgs) -> Result<(), Failure> {
    if config.is_some_and(PolicySource::is_standard_input) && args.reads_standard_input() {
        let message = "only one of policy, inventory and password can come from standard input";
        return Err(Failure::new(message));
    }
    Ok(())
}

/// The text of a valid policy.
fn read(source: &PolicySource) -> Result<(String, Config), Failure> {
    let text = source.read()?;
    let config = source::valid(&source.name(), &text)?;
    match String::from_utf8(text) {
        Ok(text) => Ok((text, config)),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

/// What the policy selects now; a repository that cannot be read is told and no reason to stop.
fn plan(registry: &Registry, config: &Config, dialect: Dialect, limit: Limit) -> Plan {
    let inventory = registry.list(&config.enabled_repositories());
    let limit = limit.get();
    let plan = Plan::new(config, &inventory, &PlanOptions { dialect, limit });
    for row in plan.unavailable() {
        output::warning(&format!("cannot list `{}`: {}", row.repository, row.reason));
    }
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
        check_standard_input(Some(&self.config), &self.registry)?;
        if self.dry_run {
            return DryRun::of(
                &self.config,
                &self.registry,
                (Some(self.schedule), self.dialect.dialect),
                self.max_images,
                self.format.output,
            );
        }
        let (text, config) = read(&self.config)?;
        let registry = Registry::open(&self.registry)?;
        let plan = plan(&registry, &config, self.dialect.dialect, self.max_images);
        let now = Utc::now();
        let artifact = workflow::create(registry.client(), &text, self.schedule, &plan, now)?;
        super::super::schedule::note_difference(&artifact.workflow.schedule(), now);
        say_done("Created", &registry, &artifact, self.format.output)?;
        let limit = self.max_images;
        self.at_once
            .begin(&registry, &self.state, &self.tools, limit)
    }
}

impl Update {
    pub(super) fn run(&self) -> Outcome {
        check_standard_input(self.config.as_ref(), &self.registry)?;
        let policy = self.config.as_ref().map(read).transpose()?;
        let registry = Registry::open(&self.registry)?;
        let current = workflow::read(registry.client())?;
        let dialect = current
            .as_ref()
            .map_or_else(Dialect::default, |found| found.workflow.dialect());
        if self.dry_run
            && let Some(config) = &self.config
        {
            let schedule = self
                .schedule
                .or(current.map(|found| found.workflow.interval()));
            let format = self.format.output;
            return DryRun::of(
                config,
                &self.registry,
                (schedule, dialect),
                self.max_images,
                format,
            );
        }
        let planned = policy
            .as_ref()
            .map(|(_, config)| plan(&registry, config, dialect, self.max_images));
        let policy = policy.as_ref().zip(planned.as_ref());
        let policy = policy.map(|((text, _), plan)| (text.as_str(), plan));
        let artifact = workflow::update(registry.client(), policy, self.schedule, Utc::now())?;
        say_done("Updated", &registry, &artifact, self.format.output)?;
        let limit = self.max_images;
        self.at_once
            .begin(&registry, &self.state, &self.tools, limit)
    }
}

impl AtOnceArgs {
    fn begin(
        &self,
        registry: &Registry,
        state: &StateArgs,
        tools: &ToolArgs,
        limit: Limit,
    ) -> Outcome {
        if !self.run_immediately {
            return Ok(Answer::Yes);
        }
        let store = state.open()?;
        if !self.no_wait {
            return run::once(registry, &store, tools, limit);
        }
        workflow::enqueue(&store, registry.host()?, Utc::now())?;
        output::note("the cycle is queued: `cssc workflow serve` runs it");
        Ok(Answer::Yes)
    }
}

impl Show {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let artifact = workflow::read(registry.client())?.ok_or_else(|| {
            Failure::No("there is no workflow: make one with `cssc workflow create`".to_owned())
        })?;
        let shown = Shown::new(&registry, &artifact);
        if self.format.output == Format::Json {
            output::json(&shown)?;
            return Ok(Answer::Yes);
        }
        let mut out = output::stdout();
        let next = shown.next_run.unwrap_or_default();
        for (name, value) in [
            ("registry", shown.registry),
            ("schedule", shown.schedule.to_string()),
            ("dialect", shown.dialect.to_string()),
            ("cron", shown.cron),
            ("next run", next),
            ("created", shown.created),
            ("modified", shown.modified),
            (
                "policy",
                format!("{POLICY_REPOSITORY}:{POLICY_TAG}@{}", shown.policy_digest),
            ),
            ("tasks", shown.tasks.join(" ")),
        ] {
            match self.format.output {
                Format::Tsv => writeln!(out, "{name}\t{value}")?,
                _ => writeln!(out, "{name:<10}{value}")?,
            }
        }
        out.flush()?;
        Ok(Answer::Yes)
    }
}

impl Delete {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let store = self.state.open()?;
        let name = registry.name();
        if !self.yes && !confirm(&format!("delete the workflow of `{name}` and its runs"))? {
            return Ok(Answer::No);
        }
        let deleted = workflow::delete(registry.client(), &store, &name, Utc::now())?;
        match deleted.policy {
            Some(PolicyDeletion::Deleted) => output::note("deleted the workflow and its policy"),
            Some(PolicyDeletion::Untagged { .. }) => output::note(
                "deleted the workflow; the manifest of its policy stays, other tags share it",
            ),
            None => output::note("there was no policy any more; deleted the runs"),
        }
        Ok(Answer::Yes)
    }
}

impl CancelRun {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let store = self.state.open()?;
        output::note(
            &match workflow::cancel(&store, &registry.name(), Utc::now())? {
                Cancellation::Nothing => "nothing is queued or running".to_owned(),
                Cancellation::Requested => {
                    "whoever runs the cycle is asked to cancel it".to_owned()
                }
                Cancellation::Canceled(runs) => format!("canceled {}", noun(runs, "run")),
            },
        );
        Ok(Answer::Yes)
    }
}
