//! A month as people know it from `cal`, with the run days marked.

use std::fmt::Write as _;
use std::io::{self, Write};

use chrono::{Datelike, NaiveDate, Weekday};
use cssc_core::Schedule;

use super::{BOLD, GOOD, styled};

/// Width of a day: its number and room for a mark on either side.
const DAY: usize = 4;

/// Writes the month that begins on `first`; a run day stands in brackets, colored or not.
pub(crate) fn write_month(
    out: &mut impl Write,
    first: NaiveDate,
    schedule: &Schedule,
) -> io::Result<()> {
    let width = DAY.saturating_mul(7);
    let title = first.format("%B %Y").to_string();
    writeln!(
        out,
        "{}",
        styled(BOLD, format!("{title:^width$}").trim_end())
    )?;
    writeln!(out, " Mo  Tu  We  Th  Fr  Sa  Su")?;
    let before = usize::try_from(first.weekday().num_days_from_monday()).unwrap_or_default();
    let mut week = " ".repeat(before.saturating_mul(DAY));
    for day in first
        .iter_days()
        .take_while(|day| day.month() == first.month())
    {
        let number = day.day();
        if schedule.is_run_day(day) {
            let _ = write!(week, "{}", styled(GOOD, format!("[{number:2}]")));
        } else {
            let _ = write!(week, " {number:2} ");
        }
        if day.weekday() == Weekday::Sun {
            writeln!(out, "{}", week.trim_end())?;
            week.clear();
        }
    }
    if !week.is_empty() {
        writeln!(out, "{}", week.trim_end())?;
    }
    let runs = schedule.run_days_in_month(first).count();
    let time = schedule.created().format("%H:%M");
    match runs {
        0 => writeln!(out, "no runs"),
        _ => writeln!(out, "[ ] runs at {time} UTC, {}", super::noun(runs, "run")),
    }
}
