//! A program of the user's that is told how cycles end.

use std::fs;

use cssc_core::Registry;
use cssc_core::cycle::CycleReport;

use super::process::{Call, Ended};
use super::{Job, ToolError, ToolOptions};

/// Tells a program that a cycle has ended: for example a script that posts to a chat. The program finds
/// the [report](CycleReport) of the cycle, as JSON, on its standard input, and in its environment:
///
/// | variable | value |
/// |---|---|
/// | `CSSC_REGISTRY` | the registry, with its namespace |
/// | `CSSC_CYCLE` | the cycle, `20260107T093000Z-3f2a` |
/// | `CSSC_STATUS` | `Succeeded`, `Failed` or `Canceled` |
/// | `CSSC_SUMMARY` | what came of it, in one line |
///
/// What it prints goes to the log of the cycle. Whether it succeeds changes nothing in the cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndCommand {
    options: ToolOptions,
}

impl EndCommand {
    /// The program of the options, with their extra arguments as its arguments.
    pub fn new(options: ToolOptions) -> Self {
        Self { options }
    }

    /// Tells of a cycle.
    ///
    /// # Errors
    ///
    /// Fails when the report cannot be written, and when the program cannot be started, is
    /// interrupted, runs out of time, or ends with another exit code than 0.
    pub fn tell(
        &self,
        report: &CycleReport,
        registry: &Registry,
        job: &Job<'_>,
    ) -> Result<(), ToolError> {
        let path = job.folder.join("cycle-report.json");
        let json = serde_json::to_vec(report).unwrap_or_default();
        fs::write(&path, json).map_err(|error| ToolError::file("write", &path, error))?;
        Call::new(&self.options.program, self.options.time_limit)
            .args(&self.options.extra)
            .input(&path)
            .env("CSSC_REGISTRY", registry.to_string())
            .env("CSSC_CYCLE", report.cycle().to_string())
            .env("CSSC_STATUS", report.status().as_str())
            .env("CSSC_SUMMARY", report.line().to_string())
            .run(job)
            .and_then(Ended::success)
    }
}
