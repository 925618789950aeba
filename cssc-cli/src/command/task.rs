//! `cssc task`: the runs of the three tasks, and what they printed.

use std::borrow::Cow;
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use cssc_core::cycle::{RowStatus, Run, RunId, Status, StatusFilter, Task};
use cssc_core::schedule::rfc3339;
use cssc_engine::state::{RunFilter, State};

use super::workflow::StateArgs;
use crate::args::{FormatArgs, RegistryArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::output::rows::{self, Row};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the newest runs
    ListRuns(ListRuns),
    /// Print the log of a run
    Logs(Logs),
}

/// List the newest runs
#[derive(Debug, Args)]
pub(crate) struct ListRuns {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Only runs of this task: `cssc-trigger-workflow`, `cssc-scan-image`, `cssc-patch-image`
    #[arg(short, long, value_name = "TASK", value_parser = values::task(), hide_possible_values = true)]
    name: Option<Task>,
    /// Only runs with this status: `failed`, `successful`, `running`, `queued`, `skipped`,
    /// `canceled`, `unknown`
    #[arg(long, value_name = "STATUS", value_parser = values::status(), hide_possible_values = true)]
    run_status: Option<StatusFilter>,
    /// The maximum number of runs
    #[arg(long, value_name = "N")]
    top: Option<u32>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Print the log of a run
#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    state: StateArgs,
    /// The run: `20260107T093000Z-3f2a.scan.17`
    #[arg(long, value_name = "RUN")]
    run_id: RunId,
    /// Keep printing until the run ends
    #[arg(short, long)]
    follow: bool,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::ListRuns(list) => list.run(),
        Command::Logs(logs) => logs.run(),
    }
}

impl ListRuns {
    fn run(&self) -> Outcome {
        let (state, known) = self.state.open_known(&self.registry)?;
        let status = self.run_status.map(|filter| match filter.status() {
            RowStatus::Queued => Ok(Status::Queued),
            RowStatus::Running => Ok(Status::Running),
            RowStatus::Succeeded => Ok(Status::Succeeded),
            RowStatus::Failed => Ok(Status::Failed),
            RowStatus::Canceled => Ok(Status::Canceled),
            other => Err(Failure::new(format!(
                "runs are never `{other}`: that is a status of images, in `cssc workflow list`"
            ))),
        });
        let filter = RunFilter {
            task: self.name,
            status: status.transpose()?,
            top: self.top,
        };
        let runs = state.runs(known.id, &filter)?;
        rows::print(self.format.output, || runs.iter())?;
        Ok(Answer::Yes)
    }
}

impl Row<7> for &Run {
    const HEADS: [&'static str; 7] = [
        "RUN", "TASK", "STATUS", "IMAGE", "STARTED", "FINISHED", "REASON",
    ];

    fn cells(&self) -> [Cow<'_, str>; 7] {
        let image = self
            .image()
            .map(|image| format!("{}:{}", image.repository, image.tag));
        [
            self.id().to_string(),
            self.task().to_string(),
            self.status().to_string(),
            image.unwrap_or_default(),
            self.started().map(rfc3339).unwrap_or_default(),
            self.finished().map(rfc3339).unwrap_or_default(),
            self.reason().map(ToString::to_string).unwrap_or_default(),
        ]
        .map(Cow::from)
    }

    fn plain(&self) -> String {
        self.id().to_string()
    }
}

impl Logs {
    fn run(&self) -> Outcome {
        let state = self.state.open_existing()?;
        let mut offset = 0_usize;
        loop {
            // Whether it has ended is asked first: what it wrote until then is read after that.
            let run = state.run(&self.run_id)?;
            let has_ended = run.is_none_or(|run| run.status().is_final());
            let text = state.log(&self.run_id, offset)?.ok_or_else(|| {
                Failure::No(format!(
                    "there is no run `{}`: see `cssc task list-runs`",
                    self.run_id
                ))
            })?;
            let mut out = output::stdout();
            out.write_all(text.as_bytes())?;
            out.flush()?;
            offset = offset.saturating_add(text.len());
            if has_ended || !self.follow {
                return Ok(Answer::Yes);
            }
            thread::sleep(Duration::from_millis(250));
        }
    }
}
