//! What the current cycle has come to.

use std::borrow::Cow;

use clap::{Args, ValueEnum};
use cssc_core::cycle::{CycleFigures, CycleId, CycleReport, RunId, StatusFilter, StatusRow};
use cssc_engine::state::{SqliteState, State, StoredWorkflow};
use cssc_registry::RegistryAddress;

use super::args::{StateArgs, TypeArgs};
use super::history::{self, Here, Known};
use super::manage::time;
use crate::args::{FormatArgs, RegistryArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::output::rows::{self, Row};
use crate::values;

/// Show the images of the current cycle and their status
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Only images with this status: `failed`, `successful`, `running`, `queued`, `skipped`,
    /// `canceled`, `unknown`
    #[arg(long, value_name = "STATUS", value_parser = values::status(), hide_possible_values = true)]
    run_status: Option<StatusFilter>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Report on a cycle as Markdown, a page of HTML, JSON, `JUnit` XML or SARIF
#[derive(Debug, Args)]
pub(crate) struct Report {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    state: StateArgs,
    /// The cycle, `20260107T093000Z-3f2a`; the current one by default
    #[arg(long, value_name = "CYCLE")]
    cycle: Option<CycleId>,
    #[command(flatten)]
    format: ReportFormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReportFormatArgs {
    /// The format of the report
    #[arg(
        short = 'o',
        long,
        visible_alias = "output",
        value_name = "FORMAT",
        default_value = "markdown"
    )]
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ReportFormat {
    /// A single page of HTML, for people: it needs neither network nor scripts
    Html,
    /// JSON, for programs
    Json,
    /// `JUnit` XML, for CI
    Junit,
    /// SARIF 2.1.0 of the fixable findings that are left, for code scanning
    Sarif,
    /// Markdown, for people
    Markdown,
}

impl ReportFormatArgs {
    /// Prints a report of a registry; `earlier` is asked for earlier cycles, the newest first, when
    /// they are to be shown.
    pub(crate) fn print(
        &self,
        report: &CycleReport,
        registry: &RegistryAddress,
        earlier: impl FnOnce() -> Result<Vec<CycleFigures>, Failure>,
    ) -> Result<(), Failure> {
        let mut out = output::stdout();
        match self.format {
            ReportFormat::Html => {
                let earlier = earlier()?;
                write!(out, "{}", report.html(&registry.to_string(), &earlier))?;
            }
            ReportFormat::Json => output::json(&report)?,
            ReportFormat::Sarif => output::json(&report.sarif())?,
            ReportFormat::Junit => write!(out, "{}", report.junit())?,
            ReportFormat::Markdown => write!(out, "{}", report.markdown())?,
        }
        out.flush()?;
        Ok(())
    }
}

/// The workflow of a registry in the state, which is not empty because a name is misspelt.
pub(crate) fn known_workflow(
    state: &SqliteState,
    registry: &RegistryArgs,
) -> Result<StoredWorkflow, Failure> {
    if let Some(known) = state.workflow(&registry.workflow_key())? {
        return Ok(known);
    }
    let others = state.workflows()?;
    let others: Vec<String> = others
        .iter()
        .map(|other| format!("`{}`", other.key))
        .collect();
    let known = match others.as_slice() {
        [] => "none is".to_owned(),
        others => format!("known are {}", others.join(", ")),
    };
    Err(Failure::No(format!(
        "no workflow of `{}` has run or been queued with this state file: {known}",
        registry.registry
    )))
}

impl List {
    pub(super) fn run(&self) -> Outcome {
        let known = history::find(&self.registry, &self.state, None)?;
        let report = known.report()?;
        let is_asked_for = |row: &&StatusRow| {
            self.run_status
                .is_none_or(|filter| filter.matches_image(row.scan_status, row.patch_status))
        };
        let images = report.iter().flat_map(|report| report.images());
        let rows: Vec<_> = images
            .map(|image| &image.row)
            .filter(is_asked_for)
            .collect();
        rows::print(self.format.output, || rows.iter().copied())?;
        let has_failed = match &known {
            Known::Here(here) => tell_what_rows_do_not(here)?,
            Known::Recorded(report) => {
                if let Some(problem) = report.problem() {
                    output::error(problem);
                }
                report.problem().is_some()
            }
        };
        Ok(Answer::from_good(!has_failed || !rows.is_empty()))
    }
}

impl Row<11> for &StatusRow {
    const HEADS: [&'static str; 11] = [
        "IMAGE",
        "OUTCOME",
        "WORKFLOW",
        "SCAN",
        "SCANNED",
        "SCAN RUN",
        "PATCH",
        "PATCHED",
        "PATCHED IMAGE",
        "PATCH RUN",
        "REASON",
    ];

    fn cells(&self) -> [Cow<'_, str>; 11] {
        fn text(value: Option<&impl ToString>) -> String {
            value.map(ToString::to_string).unwrap_or_default()
        }
        let reason = self.reason.as_ref().map(|reason| &reason.text);
        [
            self.image.to_string(),
            text(self.outcome.as_ref()),
            self.workflow_type.clone(),
            self.scan_status.to_string(),
            self.scan_date.map(time).unwrap_or_default(),
            text(self.scan_run_id.as_ref()),
            self.patch_status.to_string(),
            self.patch_date.map(time).unwrap_or_default(),
            text(self.patched_image.as_ref()),
            text(self.patch_run_id.as_ref()),
            text(reason),
        ]
        .map(Cow::from)
    }

    fn plain(&self) -> String {
        self.image.to_string()
    }
}

/// Tells what is queued, that nobody goes on with the cycle, and why there is no plan; whether
/// there is none because the trigger failed.
fn tell_what_rows_do_not(here: &Here) -> Result<bool, Failure> {
    let (state, known) = (&here.state, &here.workflow);
    let queued = state.queued(known.id)?.len();
    if queued > 0 {
        output::note(&format!("{} queued", output::noun(queued, "cycle")));
    }
    let Some(cycle) = &here.cycle else {
        output::note("no cycle has begun yet");
        return Ok(false);
    };
    let id = cycle.record().id();
    if !cycle.has_ended() && state.holder(known.id)?.is_none() {
        output::warning(&format!(
            "cycle {id} has not ended and is not being run: `cssc workflow run` or `serve` \
             continues it"
        ));
    }
    let trigger = cycle.run(&RunId::trigger(id));
    let reason = trigger.and_then(|run| run.reason());
    if let Some(reason) = reason {
        output::error(&reason.to_string());
    }
    Ok(reason.is_some())
}

impl Report {
    pub(super) fn run(&self) -> Outcome {
        let known = history::find(&self.registry, &self.state, self.cycle)?;
        let report = known.report()?.ok_or_else(|| {
            Failure::No(match self.cycle {
                Some(cycle) => format!(
                    "no cycle `{cycle}` of `{}` is kept here, nor recorded in the registry",
                    self.registry.workflow_key()
                ),
                None => "no cycle has begun yet".to_owned(),
            })
        })?;
        let registry = &self.registry.registry;
        self.format
            .print(&report, registry, || known.earlier(&report, &self.registry))?;
        Ok(Answer::Yes)
    }
}
