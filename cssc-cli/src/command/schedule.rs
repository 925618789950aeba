//! `cssc schedule`: when a workflow runs.

use std::time::Duration;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use cssc_core::schedule::{ScheduleDifference, rfc3339};
use cssc_core::{Interval, Schedule};
use serde::{Serialize, Serializer};

use cssc_engine::workflow;

use crate::args::{
    CreatedArgs, DialectArgs, Format, FormatArgs, RegistryArgs, parse_duration, parse_time,
};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::{self, calendar};
use crate::registry::Registry;
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the next runs
    Next(Next),
    /// Print the calendar of a month with the run days marked
    Calendar(Calendar),
    /// Check whether a run is due, for engines whose schedules only know days: exit code 0 if it
    /// is, 1 if not
    Due(Box<Due>),
}

#[derive(Debug, Args)]
pub(crate) struct Next {
    /// How often the workflow runs: `1d` to `30d`
    #[arg(value_parser = values::interval(), hide_possible_values = true)]
    schedule: Interval,
    #[command(flatten)]
    created: CreatedArgs,
    /// Runs after this time: RFC 3339, or a date [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    after: Option<DateTime<Utc>>,
    /// The number of runs
    #[arg(long, value_name = "K", default_value_t = 1)]
    count: usize,
    #[command(flatten)]
    dialect: DialectArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Calendar {
    /// How often the workflow runs: `1d` to `30d`
    #[arg(value_parser = values::interval(), hide_possible_values = true)]
    schedule: Interval,
    #[command(flatten)]
    created: CreatedArgs,
    /// The first month, as `2024-01` [default: that of the creation]
    #[arg(long, value_name = "MONTH", value_parser = parse_month)]
    month: Option<NaiveDate>,
    /// The number of months
    #[arg(long, value_name = "K", default_value_t = 1)]
    count: u32,
    #[command(flatten)]
    dialect: DialectArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Due {
    /// How often the workflow runs, `1d` to `30d`; by default that of the workflow stored in the
    /// registry
    #[arg(value_parser = values::interval(), hide_possible_values = true, requires = "created", conflicts_with = "registry", required_unless_present = "registry")]
    schedule: Option<Interval>,
    #[command(flatten)]
    created: CreatedArgs,
    /// The time for which the engine scheduled this run: RFC 3339, or a date [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<DateTime<Utc>>,
    /// How far back a run is still due: the time between two starts of the engine
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    within: Duration,
    #[command(flatten)]
    dialect: DialectArgs,
    #[command(flatten)]
    registry: Option<RegistryArgs>,
}

fn parse_month(text: &str) -> Result<NaiveDate, &'static str> {
    let is_month = text.len() == "2024-01".len();
    NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d")
        .ok()
        .filter(|_| is_month)
        .ok_or("expected a month such as `2024-01`")
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Next(next) => next.run(),
        Command::Calendar(calendar) => calendar.run(),
        Command::Due(due) => due.run(),
    }
}

/// The fixed JSON of `schedule next`.
#[derive(Serialize)]
struct NextDocument<R: Iterator<Item = String> + Clone> {
    schedule: Interval,
    dialect: cssc_core::Dialect,
    cron: String,
    created: String,
    #[serde(serialize_with = "as_they_come")]
    runs: R,
}

/// Writes a list without holding it: there may be millions of runs.
fn as_they_come<S: Serializer>(
    runs: &(impl Iterator<Item = String> + Clone),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(runs.clone())
}

/// Prints runs for people or programs.
fn print_runs(
    format: Format,
    schedule: &Schedule,
    runs: impl Iterator<Item = DateTime<Utc>> + Clone,
) -> Result<(), Failure> {
    if format == Format::Json {
        return output::json(&NextDocument {
            schedule: schedule.interval(),
            dialect: schedule.dialect(),
            cron: schedule.cron(),
            created: rfc3339(schedule.created()),
            runs: runs.map(rfc3339),
        });
    }
    let mut out = output::stdout();
    for run in runs {
        match format {
            Format::Table => writeln!(out, "{}", in_words(run))?,
            _ => writeln!(out, "{}", rfc3339(run))?,
        }
    }
    Ok(out.flush()?)
}

impl Next {
    fn run(&self) -> Outcome {
        let after = self.after.unwrap_or_else(Utc::now);
        let created = self.created.created.unwrap_or(after);
        let schedule = Schedule::new(self.schedule, created, self.dialect.dialect);
        let runs = schedule.runs_after(after).take(self.count);
        note_difference(&schedule, after);
        print_runs(self.format.output, &schedule, runs)?;
        Ok(Answer::Yes)
    }
}

impl Calendar {
    fn run(&self) -> Outcome {
        let created = self.created.created.unwrap_or_else(Utc::now);
        let schedule = Schedule::new(self.schedule, created, self.dialect.dialect);
        let first = self.month.or_else(|| created.date_naive().with_day(1));
        let month = |offset| {
            first
                .and_then(|first| first.checked_add_months(Months::new(offset)))
                .ok_or_else(|| Failure::new("there is no such month: the calendar ends"))
        };
        note_difference(&schedule, created);
        if self.format.output == Format::Table {
            let mut out = output::stdout();
            for offset in 0..self.count {
                if offset > 0 {
                    writeln!(out)?;
                }
                let month = month(offset)?;
                out.print(|out| calendar::write_month(out, month, &schedule))?;
            }
            out.flush()?;
        } else {
            let (begin, end) = (month(0)?, month(self.count)?);
            let before = begin.and_time(NaiveTime::MIN).and_utc();
            let before = before.checked_sub_signed(TimeDelta::nanoseconds(1));
            let runs = schedule.runs_after(before.unwrap_or(created).max(created));
            let runs = runs.take_while(|run| run.date_naive() < end);
            print_runs(self.format.output, &schedule, runs)?;
        }
        Ok(Answer::Yes)
    }
}

impl Due {
    fn run(&self) -> Outcome {
        let schedule = match (self.schedule, &self.registry) {
            (Some(interval), _) => {
                let created = self.created.created.unwrap_or_else(Utc::now);
                Schedule::new(interval, created, self.dialect.dialect)
            }
            (None, Some(registry)) => {
                let registry = Registry::open(registry)?;
                let stored = workflow::require(registry.client());
                // That there is none is no answer of its schedule.
                let stored = stored.map_err(|error| Failure::new(error.to_string()))?;
                stored.workflow.schedule()
            }
            (None, None) => return Err(Failure::new("pass a schedule, or --registry")),
        };
        let at = self.at.unwrap_or_else(Utc::now);
        let within = TimeDelta::from_std(self.within).unwrap_or(TimeDelta::MAX);
        let Some(run) = schedule.due(at, within) else {
            if let Some(next) = schedule.next_after(at) {
                output::note(&format!("no run is due; the next is on {}", in_words(next)));
            }
            return Ok(Answer::No);
        };
        let mut out = output::stdout();
        writeln!(out, "{}", rfc3339(run))?;
        out.flush()?;
        Ok(Answer::Yes)
    }
}

/// `Sun 2024-01-07 09:30 UTC`.
pub(crate) fn in_words(run: DateTime<Utc>) -> impl std::fmt::Display {
    run.format("%a %Y-%m-%d %H:%M UTC")
}

/// The next run in both dialects.
pub(crate) fn in_both(difference: &ScheduleDifference) -> String {
    format!(
        "{} as documented, {} in Azure's service",
        in_words(difference.documented),
        in_words(difference.service)
    )
}

/// Tells when the dialects do not agree on the next run after `instant`.
pub(crate) fn note_difference(schedule: &Schedule, instant: DateTime<Utc>) {
    if let Some(difference) = schedule.dialect_difference(instant) {
        output::note(&format!(
            "the dialects differ on the next run: {}",
            in_both(&difference)
        ));
    }
}
