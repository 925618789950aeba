//! What the current cycle has come to.

use std::borrow::Cow;

use clap::Args;
use cssc_core::cycle::{RunId, StatusFilter, StatusRow};
use cssc_core::schedule::rfc3339;
use cssc_engine::state::State;

use super::args::WorkflowArgs;
use super::history::{self, Here, Known};
use crate::args::FormatArgs;
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::output::rows::{self, Row};
use crate::values;

/// Show the images of the current cycle and their status
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    of: WorkflowArgs,
    /// Only images with this status: `failed`, `successful`, `running`, `queued`, `skipped`,
    /// `canceled`, `unknown`
    #[arg(long, value_name = "STATUS", value_parser = values::status(), hide_possible_values = true)]
    run_status: Option<StatusFilter>,
    #[command(flatten)]
    format: FormatArgs,
}

impl List {
    pub(super) fn run(&self) -> Outcome {
        let known = history::find(&self.of, None)?;
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
            self.scan_date.map(rfc3339).unwrap_or_default(),
            text(self.scan_run_id.as_ref()),
            self.patch_status.to_string(),
            self.patch_date.map(rfc3339).unwrap_or_default(),
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
