//! Putting the results of the shards together.

use std::num::NonZeroU32;
use std::path::PathBuf;

use chrono::Utc;
use clap::Args;
use cssc_core::cycle::{CycleReport, Status};
use cssc_engine::finish::{FinishError, finish};
use cssc_engine::records::{DEFAULT_KEPT, Records};

use super::document;
use crate::args::{RegistryArgs, parse_count};
use crate::command::workflow::ReportFormatArgs;
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::registry::Registry;
use crate::running::fail_on::FailOnArgs;
use crate::running::on_end::OnEndArgs;
use crate::running::progress::tell_end;

/// Merge the results of the shards and report
#[derive(Debug, Args)]
pub(crate) struct Finish {
    #[command(flatten)]
    registry: RegistryArgs,
    /// The cycle document
    #[arg(long, value_name = "FILE")]
    cycle: PathBuf,
    /// The results of the shards, or folders that contain them; a shard without a result has failed
    #[arg(value_name = "RESULT")]
    results: Vec<PathBuf>,
    #[command(flatten)]
    format: ReportFormatArgs,
    /// Do not keep a record of the cycle in the registry
    #[arg(long)]
    no_record: bool,
    /// How many of the newest cycles are kept in the registry
    #[arg(long, value_name = "N", default_value_t = DEFAULT_KEPT, value_parser = parse_count)]
    keep_records: NonZeroU32,
    #[command(flatten)]
    fail_on: FailOnArgs,
    #[command(flatten)]
    on_end: OnEndArgs,
}

impl Finish {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let plan = document::cycle(&self.cycle)?;
        plan.check_registry(&registry.host()?.key())?;
        let results = document::results(&self.results)?;
        let client = registry.client();
        // Without earlier records the report lacks since when findings are open, and no more.
        let mut records = Records::list(client).unwrap_or_else(|error| {
            output::warning(&format!(
                "records of earlier cycles cannot be read: {error}"
            ));
            Records::default()
        });
        let report = finish(client, &plan, &results, &records, Utc::now())?;
        let earlier = || Ok(records.earlier(client, report.cycle())?);
        self.format
            .print(&report, &self.registry.registry, earlier)?;
        tell_end(&report);
        // One that stops short tells nothing of what the registry needs.
        let is_kept =
            self.no_record || plan.until().is_some() || self.keep(&registry, &mut records, &report);
        self.on_end.tell(&report, &registry);
        let answer = match report.status() {
            Status::Succeeded => Answer::Yes,
            _ if plan.problem().is_some() => Answer::Incomplete,
            _ => Answer::No,
        };
        let answer = self.fail_on.apply(answer, &report.summary());
        Ok(if is_kept { answer } else { Answer::Incomplete })
    }

    /// Keeps a record; whether that could be done.
    fn keep(&self, registry: &Registry, records: &mut Records, report: &CycleReport) -> bool {
        let kept = records.write(registry.client(), report, self.keep_records);
        if let Err(error) = &kept {
            output::error(&format!(
                "the cycle cannot be recorded: {error} (--no-record)"
            ));
        }
        kept.is_ok()
    }
}

impl From<FinishError> for Failure {
    fn from(error: FinishError) -> Self {
        Self::new(error.to_string())
    }
}
