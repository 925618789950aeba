//! The vectors of `vectors/schedule.json`: intervals, their error texts, and runs.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use chrono::{DateTime, Utc};
use cssc_core::{Dialect, Interval, Schedule};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vectors {
    intervals: Vec<Valid>,
    invalid_intervals: Vec<Invalid>,
    runs: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    text: String,
    prints: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    text: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    schedule: Interval,
    created: String,
    after: String,
    dialect: Dialect,
    runs: Vec<String>,
    cron: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/schedule.json")).unwrap()
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn intervals_read_and_print() {
    for Valid { text, prints } in vectors().intervals {
        assert_eq!(text.parse::<Interval>().unwrap().to_string(), prints);
    }
}

#[test]
fn every_rejected_interval_has_its_message() {
    for Invalid { text, message } in vectors().invalid_intervals {
        assert_eq!(text.parse::<Interval>().unwrap_err().to_string(), message);
    }
}

#[test]
fn runs_and_cron() {
    for case in vectors().runs {
        let schedule = Schedule::new(case.schedule, instant(&case.created), case.dialect);
        let runs: Vec<DateTime<Utc>> = schedule
            .runs_after(instant(&case.after))
            .take(case.runs.len())
            .collect();
        let expected: Vec<DateTime<Utc>> = case.runs.iter().map(|run| instant(run)).collect();
        assert_eq!(runs, expected, "{}", case.name);
        assert_eq!(schedule.cron(), case.cron, "{}", case.name);
    }
}
