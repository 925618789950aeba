use super::*;
use chrono::TimeDelta;
use proptest::prelude::*;

fn intervals() -> impl Iterator<Item = Interval> {
    (1..=30).filter_map(Interval::new)
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn at(date: NaiveDate, time: &str) -> DateTime<Utc> {
    date.and_time(time.parse().unwrap()).and_utc()
}

/// The rule in its plainest form: one date, yes or no.
fn model_is_run_day(schedule: &Schedule, date: NaiveDate) -> bool {
    let n = u32::from(schedule.interval().days());
    let created = schedule.created().date_naive();
    if date <= created {
        return false;
    }
    let month_of_creation = date.month() == created.month() && date.year() == created.year();
    match schedule.dialect() {
        Dialect::Documented if month_of_creation => date.day().is_multiple_of(n),
        _ => date.day() % n == 1 % n,
    }
}

/// Every N, every creation day of a common and a leap year, both dialects: over the month of
/// creation and the two after it, day by day.
#[test]
fn agrees_with_a_day_by_day_model() {
    const DAYS: usize = 95;
    let time: NaiveTime = "09:30:00".parse().unwrap();
    for dialect in Dialect::ALL {
        for interval in intervals() {
            for created in date(2023, 1, 1).iter_days().take(365 + 366) {
                let schedule = Schedule::new(interval, at(created, "09:30:12.5"), dialect);
                let days: Vec<NaiveDate> = created.iter_days().take(DAYS).collect();
                let mut next = None;
                for &day in days.iter().rev() {
                    let run = day.and_time(time).and_utc();
                    if next.is_some() {
                        assert_eq!(schedule.next_after(run), next, "{schedule:?} after {run}");
                    }
                    let is_run_day = model_is_run_day(&schedule, day);
                    assert_eq!(
                        schedule.is_run_day(day),
                        is_run_day,
                        "{schedule:?} on {day}"
                    );
                    if is_run_day {
                        next = Some(run);
                        let just_before = run - TimeDelta::nanoseconds(1);
                        assert_eq!(schedule.next_after(just_before), next, "{schedule:?}");
                    }
                }
                assert_eq!(schedule.next_after(schedule.created()), next);
                assert_eq!(schedule.next_after(DateTime::<Utc>::MIN_UTC), next);
            }
        }
    }
}

#[test]
fn a_month_shows_the_run_days_of_the_model() {
    for dialect in Dialect::ALL {
        for interval in intervals() {
            for created in date(2023, 12, 1).iter_days().take(31 + 31 + 29) {
                let schedule = Schedule::new(interval, at(created, "23:59:59"), dialect);
                for month in 0..6 {
                    let first = date(2023, 11, 1) + Months::new(month);
                    let expected: Vec<NaiveDate> = first
                        .iter_days()
                        .take_while(|day| day.month() == first.month())
                        .filter(|&day| model_is_run_day(&schedule, day))
                        .collect();
                    for day in [first, first.with_day(15).unwrap()] {
                        let shown: Vec<NaiveDate> = schedule.run_days_in_month(day).collect();
                        assert_eq!(shown, expected, "{schedule:?} in {first}");
                    }
                }
            }
        }
    }
}

/// When the dialects part, they part with the next run, and they never part after the month of
/// creation.
#[test]
fn a_difference_shows_in_the_next_run() {
    for interval in intervals() {
        for created in date(2023, 1, 1).iter_days().take(365 + 366) {
            let created = at(created, "12:00:00");
            let schedule = Schedule::new(interval, created, Dialect::Documented);
            let in_service = Schedule::new(interval, created, Dialect::Service);
            let runs: Vec<_> = schedule.runs_after(created).take(40).collect();
            let in_service: Vec<_> = in_service.runs_after(created).take(40).collect();
            let difference = schedule.dialect_difference(created);
            assert_eq!(difference.is_some(), runs != in_service, "{schedule:?}");
            if let Some(difference) = difference {
                assert_eq!(difference.documented, runs[0]);
                assert_eq!(difference.service, in_service[0]);
                assert_eq!(
                    schedule.dialect_difference(DateTime::<Utc>::MIN_UTC),
                    Some(difference)
                );
            }
            let later = at(created.date_naive() + TimeDelta::days(31), "00:00:00");
            assert_eq!(schedule.dialect_difference(later), None);
        }
    }
}

#[test]
fn nothing_panics_at_the_ends_of_time() {
    let ends = [
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        DateTime::<Utc>::MAX_UTC - TimeDelta::days(1),
        DateTime::<Utc>::MAX_UTC - TimeDelta::days(31),
    ];
    for dialect in Dialect::ALL {
        for interval in intervals() {
            for created in ends {
                let schedule = Schedule::new(interval, created, dialect);
                for instant in ends {
                    let next = schedule.next_after(instant);
                    assert!(next.is_none_or(|next| next > instant && next > created));
                    schedule.dialect_difference(instant);
                    schedule.is_run_day(instant.date_naive());
                    let month = schedule.run_days_in_month(instant.date_naive());
                    assert!(month.count() <= 31);
                }
                assert_eq!(schedule.next_after(DateTime::<Utc>::MAX_UTC), None);
                let mut runs = schedule.runs_after(DateTime::<Utc>::MAX_UTC);
                assert_eq!((runs.next(), runs.next()), (None, None));
                assert!(schedule.cron().ends_with(" * *"));
            }
        }
    }
    let daily = Schedule::new(Interval::MIN, ends[2], Dialect::Documented);
    let last = daily.next_after(ends[2]).unwrap();
    assert_eq!(last.date_naive(), NaiveDate::MAX);
    assert_eq!(daily.runs_after(ends[2]).count(), 1);
}

#[test]
fn a_leap_second_is_part_of_its_minute() {
    let created = at(date(2016, 12, 31), "23:59:60");
    let schedule = Schedule::new(Interval::MIN, created, Dialect::Documented);
    assert_eq!(
        schedule.next_after(created),
        Some(at(date(2017, 1, 1), "23:59:00"))
    );
}

fn schedule() -> impl Strategy<Value = Schedule> {
    (
        1_u8..=30,
        instant(),
        prop::sample::select(&Dialect::ALL[..]),
    )
        .prop_map(|(days, created, dialect)| {
            Schedule::new(Interval::new(days).unwrap(), created, dialect)
        })
}

fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    // From the year 1653 to 2286, to the nanosecond.
    (-10_000_000_000_i64..10_000_000_000, 0_u32..1_000_000_000)
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

proptest! {
    #[test]
    fn the_next_run_is_the_first_after(schedule in schedule(), instant in instant()) {
        let next = schedule.next_after(instant).unwrap();
        prop_assert!(next > instant && next > schedule.created());
        prop_assert!(schedule.is_run_day(next.date_naive()));
        let created = schedule.created();
        prop_assert_eq!((next.hour(), next.minute()), (created.hour(), created.minute()));
        prop_assert_eq!((next.second(), next.nanosecond()), (0, 0));
        prop_assert!(next - instant.max(created) <= TimeDelta::days(31));
        // No run lies between: on the days before that of the next run there is no run, or it is
        // not after the instant.
        for day in instant.max(created).date_naive().iter_days() {
            if day == next.date_naive() {
                break;
            }
            prop_assert!(!schedule.is_run_day(day) || day.and_time(next.time()).and_utc() <= instant);
        }
    }

    #[test]
    fn runs_are_one_sequence(schedule in schedule(), instant in instant(), skip in 0_usize..20) {
        let runs: Vec<_> = schedule.runs_after(instant).take(30).collect();
        prop_assert!(runs.is_sorted_by(|a, b| a < b));
        let rest: Vec<_> = schedule.runs_after(runs[skip]).take(29 - skip).collect();
        prop_assert_eq!(&runs[skip + 1..], &rest[..]);
        for run in runs {
            let mut marked = schedule.run_days_in_month(run.date_naive());
            prop_assert!(marked.any(|day| day == run.date_naive()));
        }
    }

    #[test]
    fn who_looks_every_day_misses_no_run_and_sees_none_twice(
        schedule in schedule(),
        first in instant(),
        days in 1_i64..200,
    ) {
        let day = TimeDelta::days(1);
        let seen: Vec<_> = (0..days).filter_map(|n| schedule.due(first + TimeDelta::days(n), day)).collect();
        let last = first + TimeDelta::days(days - 1);
        let runs: Vec<_> = schedule.runs_after(first - day).take_while(|run| *run <= last).collect();
        prop_assert_eq!(seen, runs);
    }

    #[test]
    fn seconds_of_the_creation_do_not_matter(schedule in schedule()) {
        let created = schedule.created().with_second(0).unwrap().with_nanosecond(0).unwrap();
        let rounded = Schedule::new(schedule.interval(), created, schedule.dialect());
        prop_assert_eq!(rounded.next_after(created), schedule.next_after(schedule.created()));
        prop_assert_eq!(rounded.cron(), schedule.cron());
    }
}
