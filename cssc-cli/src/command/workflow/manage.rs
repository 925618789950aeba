//! Making, changing, showing and deleting workflows.

use std::num::NonZeroU32;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use cssc_core::cycle::{CycleId, CycleReport, Status, Task};
use cssc_core::plan::ImageLimit;
use cssc_core::workflow::{NothingToUpdate, PatcherKind, PlatformSelection, WorkflowUpdate};
use cssc_core::{Dialect, Interval, Plan, Policy, Schedule, Workflow};
use cssc_engine::policy_artifact::{POLICY_REPOSITORY, POLICY_TAG, PolicyDeletion};
use cssc_engine::records::RECORD_REPOSITORY;
use cssc_engine::state::{MemoryState, State};
use cssc_engine::workflow::{self, CanceledCycle, WorkflowArtifact};
use serde::Serialize;

use super::args::{CycleArgs, StateArgs, TypeArgs};
use super::history::newer_record;
use super::run;
use crate::args::{
    ConfigArgs, DialectArgs, Format, FormatArgs, LintArgs, RegistryArgs, TakeOverArgs,
};
use crate::command::dry_run::{PlanRequest, tell_unavailable};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::{self, confirm, noun};
use crate::registry::Registry;
use crate::source::{self, PolicyFile};
use crate::values;

/// How a cycle is begun by the way.
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

/// Show the schedule, the last cycle, the next run and the tasks
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    state: StateArgs,
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
    #[command(flatten)]
    take_over: TakeOverArgs,
    /// Do not ask for confirmation
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
    #[command(flatten)]
    format: FormatArgs,
}

/// What a cancellation came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cancellation {
    /// How many cycles will not be begun.
    queued_cycles: usize,
    /// How many runs of the current cycle were canceled here.
    runs: usize,
    /// Whether the process that runs the cycle has been asked to cancel it.
    requested: bool,
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
    /// None for any number.
    max_images: Option<u64>,
    patcher: PatcherKind,
    attempts: NonZeroU32,
    /// None of them for all.
    platforms: PlatformSelection,
    /// Whether cycles are recorded in the registry.
    record: bool,
    policy_digest: String,
    tasks: [&'static str; 3],
}

impl Shown {
    fn new(registry: &Registry, artifact: &WorkflowArtifact) -> Self {
        let workflow = &artifact.workflow;
        let schedule = workflow.schedule();
        let settings = workflow.settings();
        Self {
            registry: registry.name(),
            schedule: workflow.interval(),
            dialect: workflow.dialect(),
            cron: schedule.cron(),
            next_run: schedule.next_after(Utc::now()).map(time),
            created: time(workflow.created()),
            modified: time(workflow.modified()),
            max_images: settings.effective_limit().get(),
            patcher: settings.effective_patcher(),
            attempts: settings.effective_attempts(),
            platforms: settings.platforms.clone().unwrap_or_default(),
            record: settings.keeps_records(),
            policy_digest: artifact.digest.to_string(),
            tasks: Task::ALL.map(Task::as_str),
        }
    }
}

pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
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
        super::super::schedule::note_difference(&artifact.workflow.schedule(), now);
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

/// The last cycle that this machine has run or the registry has recorded, and since when the next is overdue; nothing is known
/// of either where no cycle was run.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct History {
    last_cycle: Option<LastCycle>,
    overdue_since: Option<String>,
}

#[derive(Serialize)]
struct LastCycle {
    id: CycleId,
    status: Status,
    started: String,
    /// None while it runs.
    finished: Option<String>,
}

impl History {
    fn of(
        registry: &Registry,
        state: Option<&dyn State>,
        schedule: &Schedule,
    ) -> Result<Self, Failure> {
        let here = state
            .map(|state| LastCycle::here(state, &registry.workflow_key()))
            .transpose()?
            .flatten();
        let newest = here.as_ref().map(|cycle| cycle.id);
        let recorded = newer_record(registry.client(), newest);
        let last = recorded.as_ref().map(LastCycle::recorded).or(here);
        let overdue = last
            .as_ref()
            .and_then(|last| schedule.overdue_since(last.id.started(), Utc::now()));
        Ok(Self {
            overdue_since: overdue.map(time),
            last_cycle: last,
        })
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, String)> {
        let cycle = self.last_cycle.as_ref().map(|cycle| {
            let finished = cycle.finished.as_ref();
            let ended = finished.map(|time| format!(", ended {time}"));
            format!("{} {}{}", cycle.id, cycle.status, ended.unwrap_or_default())
        });
        let overdue = self
            .overdue_since
            .as_ref()
            .map(|time| format!("since {time}"));
        [("last cycle", cycle), ("overdue", overdue)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

impl LastCycle {
    /// The last cycle that this machine has run.
    fn here(state: &dyn State, key: &str) -> Result<Option<Self>, Failure> {
        let Some(known) = state.workflow(key)? else {
            return Ok(None);
        };
        let Some(newest) = state.current_cycle(known.id)? else {
            return Ok(None);
        };
        let cycle = state.cycle(newest.id)?;
        Ok(cycle.map(|cycle| Self {
            id: newest.id,
            status: cycle.record().status(),
            started: time(newest.id.started()),
            finished: cycle.record().finished().map(time),
        }))
    }

    /// A cycle that the registry has a record of.
    fn recorded(report: &CycleReport) -> Self {
        Self {
            id: report.cycle(),
            status: report.status(),
            started: time(report.cycle().started()),
            finished: report.finished().map(time),
        }
    }
}

#[derive(Serialize)]
struct ShownWithHistory {
    #[serde(flatten)]
    shown: Shown,
    #[serde(flatten)]
    history: History,
}

impl Show {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let artifact = workflow::require(registry.client())?;
        let shown = Shown::new(&registry, &artifact);
        let state = self.state.open_if_there()?;
        let state = state.as_ref().map(|state| -> &dyn State { state });
        let history = History::of(&registry, state, &artifact.workflow.schedule())?;
        if self.format.output == Format::Json {
            output::json(&ShownWithHistory { shown, history })?;
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
            ("max images", ImageLimit::from(shown.max_images).to_string()),
            ("patcher", shown.patcher.to_string()),
            ("attempts", shown.attempts.to_string()),
            ("platforms", shown.platforms.to_string()),
            (
                "recorded",
                if shown.record { "yes" } else { "no" }.to_owned(),
            ),
            (
                "policy",
                format!("{POLICY_REPOSITORY}:{POLICY_TAG}@{}", shown.policy_digest),
            ),
            ("tasks", shown.tasks.join(" ")),
        ]
        .into_iter()
        .chain(history.rows())
        {
            match self.format.output {
                Format::Tsv => writeln!(out, "{name}\t{value}")?,
                _ => writeln!(out, "{name:<12}{value}")?,
            }
        }
        out.flush()?;
        Ok(Answer::Yes)
    }
}

impl Delete {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let state = self.state.open_if_there()?;
        let nothing = MemoryState::default();
        let state: &dyn State = state.as_ref().map_or(&nothing, |state| state);
        let name = registry.name();
        // Before anybody is asked what will be refused.
        workflow::check_ours(registry.client(), self.take_over.take_over)?;
        if !self.yes && !confirm(&format!("delete the workflow of `{name}` and its runs"))? {
            return Ok(Answer::No);
        }
        let deleted = workflow::delete(
            registry.client(),
            state,
            &registry.workflow_key(),
            self.take_over.take_over,
            Utc::now(),
        )?;
        match deleted.policy {
            Some(PolicyDeletion::Deleted) => output::note("deleted the workflow and its policy"),
            Some(PolicyDeletion::Untagged { .. }) => output::note(
                "deleted the workflow; the manifest of its policy stays, other tags share it",
            ),
            None => output::note("the policy was already gone; deleted the runs"),
        }
        for tag in &deleted.kept_records {
            output::warning(&format!(
                "`{RECORD_REPOSITORY}:{tag}` is left over in the registry"
            ));
        }
        Ok(Answer::Yes)
    }
}

impl CancelRun {
    pub(super) fn run(&self) -> Outcome {
        let state = self.state.open_existing()?;
        let known = super::known_workflow(&state, &self.registry)?;
        let canceled = workflow::cancel(&state, &known.key, Utc::now())?;
        self.print(&Cancellation {
            queued_cycles: canceled.queued,
            runs: match canceled.running {
                Some(CanceledCycle::Canceled(runs)) => runs,
                _ => 0,
            },
            requested: matches!(canceled.running, Some(CanceledCycle::Requested)),
        })?;
        if canceled.queued > 0 {
            let cycles = noun(canceled.queued, "cycle");
            output::note(&format!("{cycles} will not run: no more queued"));
        }
        match canceled.running {
            Some(CanceledCycle::Requested) => {
                output::note("the process that runs the cycle has been asked to cancel it");
            }
            Some(CanceledCycle::Canceled(runs)) => {
                output::note(&format!("canceled {}", noun(runs, "run")));
            }
            None if canceled.queued == 0 => output::note("nothing is queued or running"),
            None => {}
        }
        Ok(Answer::Yes)
    }

    /// People are told in words.
    fn print(&self, canceled: &Cancellation) -> Result<(), Failure> {
        let mut out = output::stdout();
        match self.format.output {
            Format::Table => {}
            Format::Json => output::json(canceled)?,
            Format::Tsv | Format::Plain => {
                writeln!(out, "queuedCycles\t{}", canceled.queued_cycles)?;
                writeln!(out, "runs\t{}", canceled.runs)?;
                writeln!(out, "requested\t{}", canceled.requested)?;
            }
        }
        Ok(out.flush()?)
    }
}
