//! Canceling what is queued or running.

use chrono::Utc;
use clap::Args;
use cssc_engine::workflow::{self, CanceledCycle};
use serde::Serialize;

use super::args::WorkflowArgs;
use crate::args::{Format, FormatArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::{self, noun};

/// Cancel what is queued or running in the current cycle
#[derive(Debug, Args)]
pub(crate) struct CancelRun {
    #[command(flatten)]
    of: WorkflowArgs,
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

impl CancelRun {
    pub(super) fn run(&self) -> Outcome {
        let (state, known) = self.of.state.open_known(&self.of.registry)?;
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
