//! `cssc task`: the runs of the three tasks, and what they printed.

use std::io::Write;
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use cssc_core::{RowStatus, Run, RunId, Status, StatusFilter, Task};
use cssc_engine::store::RunFilter;

use super::workflow::StateArgs;
use super::workflow::write_rows;
use crate::args::{Format, FormatArgs, RegistryArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;

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
    #[arg(short, long, value_name = "TASK")]
    name: Option<Task>,
    /// Only runs with this status: `Failed`, `Running`, …
    #[arg(long, value_name = "STATUS")]
    run_status: Option<StatusFilter>,
    /// At most so many
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
    /// The run: `c12-3`
    #[arg(long, value_name = "RUN")]
    run_id: RunId,
    /// Go on until the run ends
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
        let store = self.state.open()?;
        let known = store.workflow(&self.registry.registry.to_string())?;
        let status = self.run_status.map(|filter| match filter.status() {
            RowStatus::Queued => Ok(Status::Queued),
            RowStatus::Running => Ok(Status::Running),
            RowStatus::Succeeded => Ok(Status::Succeeded),
            RowStatus::Failed => Ok(Status::Failed),
            RowStatus::Canceled => Ok(Status::Canceled),
            other => Err(Failure::new(format!(
                "no run is ever `{other}`: that is said of images, by `cssc workflow list`"
            ))),
        });
        let filter = RunFilter {
            task: self.name,
            status: status.transpose()?,
            top: self.top,
        };
        let runs = match known {
            Some(known) => store.runs(known.id, &filter)?,
            None => Vec::new(),
        };
        match self.format.output {
            Format::Json => output::json(&runs)?,
            Format::Plain => {
                let mut out = output::stdout();
                for run in &runs {
                    writeln!(out, "{}", run.id())?;
                }
                out.flush()?;
            }
            format => {
                let rows: Vec<[String; 7]> = runs.iter().map(cells).collect();
                let heads = [
                    "RUN", "TASK", "STATUS", "IMAGE", "STARTED", "FINISHED", "REASON",
                ];
                write_rows(format, heads, &rows)?;
            }
        }
        Ok(Answer::Yes)
    }
}

fn cells(run: &Run) -> [String; 7] {
    use super::workflow::time;
    let image = run
        .image()
        .map(|image| format!("{}:{}", image.repository, image.tag));
    [
        run.id().to_string(),
        run.task().to_string(),
        run.status().to_string(),
        image.unwrap_or_default(),
        run.started().map(time).unwrap_or_default(),
        run.finished().map(time).unwrap_or_default(),
        run.reason().map(ToString::to_string).unwrap_or_default(),
    ]
}

impl Logs {
    fn run(&self) -> Outcome {
        let store = self.state.open()?;
        let mut offset = 0_usize;
        loop {
            // Whether it has ended is asked first: what it wrote until then is read after that.
            let run = store.run(self.run_id)?;
            let has_ended = run.is_none_or(|run| run.status().is_final());
            let text = store.log(self.run_id, offset)?.ok_or_else(|| {
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
