//! What the current cycle has come to.

use std::io::Write;

use clap::{Args, ValueEnum};
use cssc_core::{CycleReport, StatusFilter};
use cssc_engine::workflow;

use super::args::{StateArgs, TypeArgs};
use super::manage::time;
use crate::args::{Format, FormatArgs, RegistryArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::output::table::Columns;

/// Show the images of the current cycle and how they stand
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
    #[arg(long, value_name = "STATUS")]
    run_status: Option<StatusFilter>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Report on a cycle as JSON, `JUnit` XML or Markdown
#[derive(Debug, Args)]
pub(crate) struct Report {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    state: StateArgs,
    /// The number of the cycle; the current one by default
    #[arg(long, value_name = "N")]
    cycle: Option<u64>,
    /// How to write it
    #[arg(long, value_name = "FORMAT", default_value = "markdown")]
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ReportFormat {
    /// JSON, for programs
    Json,
    /// `JUnit` XML, for CI
    Junit,
    /// Markdown, for people
    Markdown,
}

impl List {
    pub(super) fn run(&self) -> Outcome {
        let store = self.state.open()?;
        let rows = workflow::list(&store, &self.registry.registry.to_string(), self.run_status)?;
        match self.format.output {
            Format::Json => output::json(&rows)?,
            Format::Plain => {
                let mut out = output::stdout();
                for row in &rows {
                    writeln!(out, "{}", row.image)?;
                }
                out.flush()?;
            }
            format => {
                let cells: Vec<[String; 10]> = rows
                    .into_iter()
                    .map(|row| {
                        [
                            row.image,
                            row.workflow_type,
                            row.scan_status.to_string(),
                            row.scan_date.map(time).unwrap_or_default(),
                            row.scan_run_id.to_string(),
                            row.patch_status.to_string(),
                            row.patch_date.map(time).unwrap_or_default(),
                            row.patched_image.unwrap_or_default(),
                            row.patch_run_id
                                .map(|id| id.to_string())
                                .unwrap_or_default(),
                            row.reason.unwrap_or_default(),
                        ]
                    })
                    .collect();
                write_rows(format, HEADS, &cells)?;
            }
        }
        Ok(Answer::Yes)
    }
}

const HEADS: [&str; 10] = [
    "IMAGE",
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

/// Writes rows as a table, or separated by tabs.
pub(crate) fn write_rows<const N: usize>(
    format: Format,
    heads: [&'static str; N],
    rows: &[[String; N]],
) -> Result<(), Failure> {
    let mut out = output::stdout();
    if format == Format::Tsv {
        for row in rows {
            writeln!(out, "{}", row.join("\t"))?;
        }
    } else {
        let mut columns = Columns::new(heads);
        for row in rows {
            columns.measure(row.each_ref().map(|cell| cell as &dyn std::fmt::Display));
        }
        columns.write_heads(&mut out)?;
        for row in rows {
            let cells = row.each_ref().map(|cell| cell as &dyn std::fmt::Display);
            columns.write(&mut out, cells)?;
        }
    }
    out.flush()?;
    Ok(())
}

impl Report {
    pub(super) fn run(&self) -> Outcome {
        let store = self.state.open()?;
        let key = self.registry.registry.to_string();
        let cycle = workflow::cycle(&store, &key, self.cycle)?
            .ok_or_else(|| Failure::No(format!("no such cycle of `{key}` is kept here")))?;
        let report = CycleReport::new(&cycle);
        let mut out = output::stdout();
        match self.format {
            ReportFormat::Json => output::json(&report)?,
            ReportFormat::Junit => write!(out, "{}", report.junit())?,
            ReportFormat::Markdown => write!(out, "{}", report.markdown())?,
        }
        out.flush()?;
        Ok(Answer::Yes)
    }
}
