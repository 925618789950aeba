//! Who is told when a cycle has ended.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use cssc_core::cycle::CycleReport;
use cssc_engine::tool::{EndCommand, Job, StopToken, ToolError, ToolOptions};

use crate::args::parse_duration;
use crate::output;
use crate::registry::Registry;

/// Who is told when a cycle has ended.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tool options")]
pub(crate) struct OnEndArgs {
    /// A program to call when a cycle has ended: it finds the report as JSON on its standard input,
    /// and `CSSC_REGISTRY`, `CSSC_CYCLE`, `CSSC_STATUS` and `CSSC_SUMMARY` in its environment
    #[arg(long, value_name = "PROGRAM")]
    on_end: Option<PathBuf>,
    /// The time limit for that program
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration, requires = "on_end")]
    on_end_limit: Duration,
}

impl OnEndArgs {
    pub(crate) fn command(&self) -> Option<EndCommand> {
        let program = self.on_end.as_ref()?;
        Some(EndCommand::new(ToolOptions {
            time_limit: self.on_end_limit,
            ..ToolOptions::new(program)
        }))
    }

    /// Tells of a cycle that no runner has run; what the program prints is passed on.
    pub(crate) fn tell(&self, report: &CycleReport, registry: &Registry) {
        let Some(command) = self.command() else {
            return;
        };
        let told = tempfile::tempdir().map_err(|error| error.to_string());
        let told = told.and_then(|folder| {
            let host = registry.host().map_err(|_| String::new())?;
            let job = Job {
                folder: folder.path(),
                log: &output::note,
                stop: &StopToken::default(),
                kept: None,
                login: None,
                started: &|_| {},
            };
            let told = command.tell(report, host, &job);
            told.map_err(|error: ToolError| error.to_string())
        });
        if let Err(reason) = told {
            not_told(&reason);
        }
    }
}

/// That the program has not done its work.
pub(crate) fn not_told(reason: &str) {
    output::warning(&format!(
        "the end of the cycle was not reported: {reason} (--on-end)"
    ));
}
