//! The report on a cycle.

use clap::{Args, ValueEnum};
use cssc_core::cycle::{CycleFigures, CycleId, CycleReport};
use cssc_registry::RegistryAddress;

use super::args::WorkflowArgs;
use super::history;
use crate::exit::{Answer, Failure, Outcome};
use crate::output;

/// Report on a cycle as Markdown, a page of HTML, JSON, JUnit XML or SARIF
#[derive(Debug, Args)]
pub(crate) struct Report {
    #[command(flatten)]
    of: WorkflowArgs,
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
    /// JUnit XML, for CI
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

impl Report {
    pub(super) fn run(&self) -> Outcome {
        let known = history::find(&self.of, self.cycle)?;
        let report = known.report()?.ok_or_else(|| {
            Failure::No(match self.cycle {
                Some(cycle) => format!(
                    "no cycle `{cycle}` of `{}` is kept here, nor recorded in the registry",
                    self.of.registry.workflow_key()
                ),
                None => "no cycle has begun yet".to_owned(),
            })
        })?;
        let registry = &self.of.registry;
        self.format.print(&report, &registry.registry, || {
            known.earlier(&report, registry)
        })?;
        Ok(Answer::Yes)
    }
}
