//! When a workflow runs.

mod interval;

use std::iter::FusedIterator;

use chrono::{
    DateTime, Datelike, Months, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Timelike, Utc,
};

use crate::dialect::Dialect;

pub use interval::{Interval, IntervalError, IntervalErrorKind};

/// A time as it is written everywhere: RFC 3339, in UTC, to the second.
///
/// ```
/// let created = "2024-01-03T10:30:12.5+01:00".parse()?;
/// assert_eq!(cssc_core::schedule::rfc3339(created), "2024-01-03T09:30:12Z");
/// # Ok::<(), chrono::ParseError>(())
/// ```
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// When a workflow runs: every so many days, counted anew from the first of each month.
///
/// A workflow runs at the hour and minute (UTC) at which it was created, seconds zero, on run
/// days after the day of its creation. With an interval of N days the run days are
///
/// - in every later month day 1, then every N days: 1, 1+N, 1+2N, …;
/// - in the month of creation the days divisible by N ([`Dialect::Documented`]), or the same
///   days as in any other month ([`Dialect::Service`]). When none of them is left, the first
///   run is on day 1 of the next month.
///
/// An immediate run changes nothing of this. Each run is found in constant time. The rule is
/// that of the note on `--schedule` in the documentation of Azure's continuous patching.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use cssc_core::{Dialect, Schedule};
///
/// let created: DateTime<Utc> = "2024-01-03T09:30:12Z".parse()?;
/// let schedule = Schedule::new("7d".parse()?, created, Dialect::Documented);
/// let runs: Vec<String> = schedule
///     .runs_after(created)
///     .take(6)
///     .map(|run| run.to_rfc3339())
///     .collect();
/// assert_eq!(runs[0], "2024-01-07T09:30:00+00:00");
/// assert_eq!(runs[3], "2024-01-28T09:30:00+00:00");
/// assert_eq!(runs[4], "2024-02-01T09:30:00+00:00");
/// assert_eq!(runs[5], "2024-02-08T09:30:00+00:00");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Schedule {
    interval: Interval,
    created: DateTime<Utc>,
    dialect: Dialect,
}

impl Schedule {
    /// The schedule of a workflow created at `created`.
    pub fn new(interval: Interval, created: DateTime<Utc>, dialect: Dialect) -> Self {
        Self {
            interval,
            created,
            dialect,
        }
    }

    /// How many days lie between two runs.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// When the workflow was created.
    pub fn created(&self) -> DateTime<Utc> {
        self.created
    }

    /// Whose reading of the month of creation decides.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The first run after `instant`, and after the creation of the workflow.
    ///
    /// `None` only when that run would lie after the last date there is, in the year 262142.
    ///
    /// ```
    /// use chrono::{DateTime, Utc};
    /// use cssc_core::{Dialect, Schedule};
    ///
    /// let created: DateTime<Utc> = "2024-01-07T09:30:00Z".parse()?;
    /// let schedule = Schedule::new("3d".parse()?, created, Dialect::Documented);
    /// let next = schedule.next_after(created).unwrap();
    /// assert_eq!(next, "2024-01-09T09:30:00Z".parse::<DateTime<Utc>>()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let time = self.time();
        // On the day of creation this always leads to the day after it: that day's hour and
        // minute, seconds zero, are not after the creation.
        let instant = instant.max(self.created);
        let today = instant.date_naive();
        let from = if time > instant.time() {
            today
        } else {
            today.succ_opt()?
        };
        let day = self.run_day_from(from)?;
        Some(day.and_time(time).and_utc())
    }

    /// Since when a run is overdue, where the last one began at `last`, or the workflow was created
    /// then.
    ///
    /// ```
    /// use chrono::{DateTime, Utc};
    /// use cssc_core::{Dialect, Schedule};
    ///
    /// let created: DateTime<Utc> = "2024-01-07T09:30:00Z".parse()?;
    /// let schedule = Schedule::new("3d".parse()?, created, Dialect::Documented);
    /// let run = "2024-01-09T09:30:00Z".parse()?;
    /// assert_eq!(schedule.overdue_since(created, "2024-01-09T09:29:59Z".parse()?), None);
    /// assert_eq!(schedule.overdue_since(created, "2024-01-11T00:00:00Z".parse()?), Some(run));
    /// assert_eq!(schedule.overdue_since(run, "2024-01-11T00:00:00Z".parse()?), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn overdue_since(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.next_after(last).filter(|run| *run <= now)
    }

    /// The run that is due for somebody who looks at intervals of `within`, now at `at`: after `at`
    /// less `within`, and at `at` at the latest. Whoever looks at such intervals misses no run and
    /// sees none twice.
    ///
    /// ```
    /// use chrono::TimeDelta;
    /// use cssc_core::{Dialect, Schedule};
    ///
    /// let created = "2024-01-03T09:30:00Z".parse()?;
    /// let schedule = Schedule::new("7d".parse()?, created, Dialect::Documented);
    /// let due = |at: &str| schedule.due(at.parse().unwrap(), TimeDelta::days(1)).is_some();
    /// assert!(!due("2024-01-07T03:00:00Z"));
    /// assert!(due("2024-01-08T03:00:00Z"));
    /// assert!(!due("2024-01-09T03:00:00Z"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn due(&self, at: DateTime<Utc>, within: TimeDelta) -> Option<DateTime<Utc>> {
        let since = at.checked_sub_signed(within);
        self.overdue_since(since.unwrap_or(DateTime::<Utc>::MIN_UTC), at)
    }

    /// The runs after `instant`, in order, to the end of time.
    pub fn runs_after(&self, instant: DateTime<Utc>) -> Runs {
        Runs {
            schedule: *self,
            after: Some(instant),
        }
    }

    /// Whether the workflow runs on `date` (UTC).
    ///
    /// Never on the day of its creation, nor before: that day's hour and minute have begun when
    /// the workflow comes to be.
    pub fn is_run_day(&self, date: NaiveDate) -> bool {
        date > self.created.date_naive() && self.run_day_from(date) == Some(date)
    }

    /// The run days of the month that `date` lies in, in order: what a calendar marks.
    ///
    /// ```
    /// use chrono::{Datelike, NaiveDate};
    /// use cssc_core::{Dialect, Schedule};
    ///
    /// let created = "2024-01-03T09:30:00Z".parse()?;
    /// let schedule = Schedule::new("30d".parse()?, created, Dialect::Documented);
    /// let march = NaiveDate::from_ymd_opt(2024, 3, 1).unwrap();
    /// let days: Vec<u32> = schedule.run_days_in_month(march).map(|day| day.day()).collect();
    /// assert_eq!(days, [1, 31]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_days_in_month(&self, date: NaiveDate) -> impl Iterator<Item = NaiveDate> + use<> {
        let schedule = *self;
        let earliest = date.with_day(1).zip(self.created.date_naive().succ_opt());
        std::iter::successors(
            earliest.and_then(|(first, possible)| schedule.run_day_from(first.max(possible))),
            move |day| schedule.run_day_from(day.succ_opt()?),
        )
        .take_while(move |day| (day.year(), day.month()) == (date.year(), date.month()))
    }

    /// The schedule as a cron expression: minute, hour, day of the month, month, day of the week.
    ///
    /// This is what Azure's service is given. It says what the service does in every month, and
    /// in the documented dialect what holds in every month but that of the creation.
    ///
    /// ```
    /// use cssc_core::{Dialect, Schedule};
    ///
    /// let created = "2024-01-03T09:30:00Z".parse()?;
    /// let schedule = Schedule::new("7d".parse()?, created, Dialect::Service);
    /// assert_eq!(schedule.cron(), "30 9 */7 * *");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cron(&self) -> String {
        format!(
            "{} {} */{} * *",
            self.created.minute(),
            self.created.hour(),
            self.interval.days()
        )
    }

    /// Where the two dialects part for this interval and creation: the next run after `instant`
    /// in each of them, when those differ.
    ///
    /// They differ only in the month of creation, so `None` means that they agree for ever after
    /// `instant`. (At the end of the year 262142, where one of the two has no next run: `None`.)
    ///
    /// ```
    /// use chrono::{DateTime, Datelike, Utc};
    /// use cssc_core::{Dialect, Schedule};
    ///
    /// let created: DateTime<Utc> = "2024-01-03T09:30:00Z".parse()?;
    /// let schedule = Schedule::new("7d".parse()?, created, Dialect::Documented);
    /// let difference = schedule.dialect_difference(created).unwrap();
    /// assert_eq!(difference.documented.day(), 7);
    /// assert_eq!(difference.service.day(), 8);
    /// assert_eq!(schedule.dialect_difference("2024-01-29T09:30:00Z".parse()?), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dialect_difference(&self, instant: DateTime<Utc>) -> Option<ScheduleDifference> {
        let next = |dialect| Self { dialect, ..*self }.next_after(instant);
        let difference = ScheduleDifference {
            documented: next(Dialect::Documented)?,
            service: next(Dialect::Service)?,
        };
        (difference.documented != difference.service).then_some(difference)
    }

    /// The time of the day at which the workflow runs.
    fn time(&self) -> NaiveTime {
        NaiveTime::from_hms_opt(self.created.hour(), self.created.minute(), 0).unwrap_or_default()
    }

    /// The first run day that is not before `date`, which must be after the day of creation.
    fn run_day_from(&self, date: NaiveDate) -> Option<NaiveDate> {
        let interval = u32::from(self.interval.days());
        let day = if self.counts_from_zero(date) {
            date.day().next_multiple_of(interval)
        } else {
            let days_before = date.day().saturating_sub(1);
            days_before.next_multiple_of(interval).saturating_add(1)
        };
        // No such day left in the month: day 1 of the next, which is a run day of any schedule.
        date.with_day(day)
            .or_else(|| date.with_day(1)?.checked_add_months(Months::new(1)))
    }

    /// Whether run days are multiples of the interval in the month of `date`.
    fn counts_from_zero(&self, date: NaiveDate) -> bool {
        let created = self.created.date_naive();
        self.dialect == Dialect::Documented
            && (date.year(), date.month()) == (created.year(), created.month())
    }
}

/// The runs of a schedule in order; see [`Schedule::runs_after`].
#[derive(Debug, Clone)]
pub struct Runs {
    schedule: Schedule,
    after: Option<DateTime<Utc>>,
}

impl Iterator for Runs {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        self.after = self.schedule.next_after(self.after?);
        self.after
    }
}

impl FusedIterator for Runs {}

/// The next run in each dialect, where they differ; see [`Schedule::dialect_difference`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScheduleDifference {
    /// The next run as the documentation has it.
    pub documented: DateTime<Utc>,
    /// The next run as the service has it.
    pub service: DateTime<Utc>,
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests;
