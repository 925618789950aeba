//! What a workflow is, and what its last cycle came to.

use std::num::NonZeroU32;

use chrono::Utc;
use clap::Args;
use cssc_core::cycle::{CycleId, CycleReport, Status, Task};
use cssc_core::plan::ImageLimit;
use cssc_core::schedule::rfc3339;
use cssc_core::workflow::{PatcherKind, PlatformSelection};
use cssc_core::{Dialect, Interval, Schedule};
use cssc_engine::policy_artifact::{POLICY_REPOSITORY, POLICY_TAG};
use cssc_engine::state::State;
use cssc_engine::workflow::{self, WorkflowArtifact};
use serde::Serialize;

use super::args::WorkflowArgs;
use super::history::newer_record;
use crate::args::{Format, FormatArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::registry::Registry;

/// Show the schedule, the last cycle, the next run and the tasks
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    of: WorkflowArgs,
    #[command(flatten)]
    format: FormatArgs,
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
        let registry = Registry::open(&self.of.registry)?;
        let artifact = workflow::require(registry.client())?;
        let shown = Shown::new(&registry, &artifact);
        let state = self.of.state.open_if_there()?;
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

/// A workflow as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    registry: String,
    schedule: Interval,
    dialect: Dialect,
    cron: String,
    pub(super) next_run: Option<String>,
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
    pub(super) tasks: [&'static str; 3],
}

impl Shown {
    pub(super) fn new(registry: &Registry, artifact: &WorkflowArtifact) -> Self {
        let workflow = &artifact.workflow;
        let schedule = workflow.schedule();
        let settings = workflow.settings();
        Self {
            registry: registry.name(),
            schedule: workflow.interval(),
            dialect: workflow.dialect(),
            cron: schedule.cron(),
            next_run: schedule.next_after(Utc::now()).map(rfc3339),
            created: rfc3339(workflow.created()),
            modified: rfc3339(workflow.modified()),
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

/// The last cycle that this machine has run or the registry has recorded, and since when the next
/// is overdue; nothing is known of either where no cycle was run.
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
            overdue_since: overdue.map(rfc3339),
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
            started: rfc3339(newest.id.started()),
            finished: cycle.record().finished().map(rfc3339),
        }))
    }

    /// A cycle that the registry has a record of.
    fn recorded(report: &CycleReport) -> Self {
        Self {
            id: report.cycle(),
            status: report.status(),
            started: rfc3339(report.cycle().started()),
            finished: report.finished().map(rfc3339),
        }
    }
}
