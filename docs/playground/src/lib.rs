//! What the playground page asks of the core: a policy, tags and a schedule go in as they are
//! typed, and all that there is to show comes out. The core decides, the page shows.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Months, Utc};
use cssc_core::name::NameError;
use cssc_core::plan::Explanation;
use cssc_core::schedule::IntervalError;
use cssc_core::tags::TagSetBuilder;
use cssc_core::{
    Diagnostic, Dialect, Interval, Inventory, Listing, Plan, PlanOptions, Policy, Repository,
    Schedule,
};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::wasm_bindgen;

/// How many months of the calendar are shown, from that of the creation.
const MONTHS: u32 = 3;

/// What was typed in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    policy: String,
    /// An inventory, or one `repository:tag` a line.
    tags: String,
    dialect: Dialect,
    schedule: String,
    /// RFC 3339.
    created: String,
}

/// What is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    findings: Vec<Diagnostic>,
    tags: Result<(), String>,
    #[serde(flatten)]
    planned: Option<Planned>,
    schedule: Result<Calendar, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    plan: serde_json::Value,
    explanations: serde_json::Value,
}

/// The run days of some months.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Calendar {
    cron: String,
    /// The first run after the creation.
    next_run: Option<DateTime<Utc>>,
    months: Vec<RunDays>,
}

#[derive(Debug, Serialize)]
struct RunDays {
    /// `2024-01`
    month: String,
    /// The days on which the workflow runs.
    days: Vec<u32>,
}

/// Answers a question: both are JSON.
///
/// # Errors
///
/// Fails when the question is not one that the page asks.
#[wasm_bindgen]
pub fn answer(question: &str) -> Result<String, String> {
    let question: Question = serde_json::from_str(question).map_err(|error| error.to_string())?;
    serde_json::to_string(&Answer::to(&question)).map_err(|error| error.to_string())
}

impl Answer {
    fn to(question: &Question) -> Self {
        let checked = Policy::check(question.policy.as_bytes());
        let inventory = inventory(&question.tags);
        let planned = match (checked.policy, &inventory) {
            (Some(policy), Ok(inventory)) => planned(&policy, inventory, question.dialect).ok(),
            _ => None,
        };
        Self {
            findings: checked.diagnostics,
            tags: inventory.map(|_| ()),
            planned,
            schedule: calendar(question),
        }
    }
}

fn planned(
    policy: &Policy,
    inventory: &Inventory,
    dialect: Dialect,
) -> Result<Planned, serde_json::Error> {
    let options = PlanOptions {
        dialect,
        ..PlanOptions::default()
    };
    let plan = Plan::new(policy, inventory, &options);
    let explanations: Vec<Explanation<'_>> = plan.explain(inventory).collect();
    Ok(Planned {
        explanations: serde_json::to_value(explanations)?,
        plan: serde_json::to_value(&plan)?,
    })
}

/// The tags that were typed in: an inventory file, or what `docker images` and others list.
fn inventory(text: &str) -> Result<Inventory, String> {
    if text.trim_start().starts_with('{') {
        return Inventory::from_json(text.as_bytes()).map_err(|error| error.to_string());
    }
    let mut repositories: BTreeMap<Repository, TagSetBuilder> = BTreeMap::new();
    for (line, number) in text.lines().map(str::trim).zip(1_usize..) {
        if line.is_empty() {
            continue;
        }
        let wrong = |error: NameError| format!("line {number}: {error}");
        let (repository, tag) = line.split_once(':').ok_or_else(|| {
            format!("line {number}: expected `repository:tag`, as in `python:3.11`, not `{line}`")
        })?;
        let tags = repositories.entry(repository.parse().map_err(wrong)?);
        tags.or_default().push(tag).map_err(wrong)?;
    }
    let listings = repositories.into_iter();
    Ok(listings
        .map(|(repository, tags)| (repository, Listing::Found(tags.finish())))
        .collect())
}

fn calendar(question: &Question) -> Result<Calendar, String> {
    let interval: Interval = question
        .schedule
        .parse()
        .map_err(|error: IntervalError| error.to_string())?;
    let created: DateTime<Utc> = question.created.parse().map_err(|_| {
        format!(
            "`{}` is no time: expected a date and a time",
            question.created
        )
    })?;
    let schedule = Schedule::new(interval, created, question.dialect);
    let first = created.date_naive();
    let months = (0..MONTHS).filter_map(|later| first.checked_add_months(Months::new(later)));
    Ok(Calendar {
        cron: schedule.cron(),
        next_run: schedule.next_after(created),
        months: months
            .map(|date| RunDays {
                month: date.format("%Y-%m").to_string(),
                days: schedule
                    .run_days_in_month(date)
                    .map(|day| day.day())
                    .collect(),
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ask(policy: &str, tags: &str, schedule: &str) -> Value {
        let question = json!({
            "policy": policy, "tags": tags, "dialect": "documented",
            "schedule": schedule, "created": "2024-01-03T09:30:00Z",
        });
        serde_json::from_str(&answer(&question.to_string()).unwrap()).unwrap()
    }

    const POLICY: &str = r#"{"version": "v1", "repositories": [
        {"repository": "python", "tags": ["*"]}]}"#;

    #[test]
    fn lines_and_an_inventory_are_one() {
        let lines = ask(POLICY, "python:3.11\n\n python:3.11-1\nredis:7", "7d");
        let file = ask(
            POLICY,
            r#"{"python": ["3.11-1", "3.11"], "redis": ["7"]}"#,
            "7d",
        );
        assert_eq!(lines, file);
        assert_eq!(lines["plan"]["images"][0]["patchTag"], "3.11-2");
        assert_eq!(lines["explanations"][0]["tag"], "3.11");
        assert_eq!(lines["schedule"]["Ok"]["nextRun"], "2024-01-07T09:30:00Z");
        assert_eq!(
            lines["schedule"]["Ok"]["months"][1]["days"],
            json!([1, 8, 15, 22, 29])
        );
    }

    #[test]
    fn what_is_wrong_is_said_and_the_rest_is_answered() {
        let wrong = ask("{", "python", "31d");
        assert_eq!(wrong["findings"][0]["severity"], "error");
        assert!(
            wrong["tags"]["Err"]
                .as_str()
                .unwrap()
                .starts_with("line 1: expected")
        );
        assert!(wrong["schedule"]["Err"].as_str().unwrap().contains("31d"));
        assert_eq!(wrong.get("plan"), None);
        assert_eq!(
            ask(POLICY, "python", "7d")["schedule"]["Ok"]["cron"],
            "30 9 */7 * *"
        );
        let wrong = ask(POLICY, "python:a b", "7d");
        assert!(
            wrong["tags"]["Err"]
                .as_str()
                .unwrap()
                .starts_with("line 1: `a b`")
        );
        assert!(answer("{}").is_err());
    }
}
