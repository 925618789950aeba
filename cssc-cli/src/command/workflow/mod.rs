//! `cssc workflow`: policies that run on a schedule.

mod args;
mod cancel_run;
mod create;
mod delete;
mod export;
mod history;
mod list;
mod report;
mod run;
mod show;

use clap::Subcommand;
use cssc_engine::workflow::{WorkflowError, WorkflowErrorKind};

pub(crate) use args::StateArgs;
pub(crate) use report::ReportFormatArgs;

use crate::exit::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store a policy and its schedule in the registry
    Create(Box<create::Create>),
    /// Change the policy, the schedule, or both
    Update(Box<create::Update>),
    /// Show the schedule, the next run and the tasks
    Show(show::Show),
    /// Show the images of the current cycle and their status
    List(list::List),
    /// Delete the policy from the registry, and the runs
    Delete(delete::Delete),
    /// Cancel what is queued or running in the current cycle
    CancelRun(cancel_run::CancelRun),
    /// Run one cycle now, or finish the one that was stopped
    Run(Box<run::Run>),
    /// Run cycles on schedule until stopped
    Serve(Box<run::Serve>),
    /// Report on a cycle as Markdown, a page of HTML, JSON, JUnit XML or SARIF
    Report(report::Report),
    /// Generate the files with which an engine runs the stored workflow in shards
    Export(Box<export::Export>),
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Create(create) => create.run(),
        Command::Update(update) => update.run(),
        Command::Show(show) => show.run(),
        Command::List(list) => list.run(),
        Command::Delete(delete) => delete.run(),
        Command::CancelRun(cancel) => cancel.run(),
        Command::Run(run) => run.run(),
        Command::Serve(serve) => serve.run(),
        Command::Report(report) => report.run(),
        Command::Export(export) => export.run(),
    }
}

impl From<WorkflowError> for Failure {
    fn from(error: WorkflowError) -> Self {
        let advice = match error.kind() {
            WorkflowErrorKind::Exists => " (`cssc workflow update`)",
            WorkflowErrorKind::Absent
            | WorkflowErrorKind::NoSchedule
            | WorkflowErrorKind::Invalid => " (`cssc workflow create`)",
            WorkflowErrorKind::Foreign => " (--take-over does the first)",
            WorkflowErrorKind::OverLimit => " (--max-images)",
            _ => "",
        };
        let message = format!("{error}{advice}");
        match error.kind() {
            WorkflowErrorKind::Exists
            | WorkflowErrorKind::Absent
            | WorkflowErrorKind::NoSchedule
            | WorkflowErrorKind::Foreign
            | WorkflowErrorKind::OverLimit => Self::No(message),
            _ => Self::new(message),
        }
    }
}
