//! The plan against `vectors/plan.json`, in both dialects.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use cssc_core::inventory::{ListingError, UnavailableKind};
use cssc_core::plan::dialect_differences;
use cssc_core::tags::TagSet;
use cssc_core::{Dialect, Inventory, Listing, Plan, PlanOptions, Policy};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("vectors/plan.json");

fn cases() -> Vec<Value> {
    serde_json::from_str(VECTORS).unwrap()
}

fn inventory(value: &Value) -> Inventory {
    let listing = |listing: &Value| match listing {
        Value::Null => Listing::Absent,
        Value::Array(tags) => {
            Listing::Found(TagSet::new(tags.iter().map(|tag| tag.as_str().unwrap())).unwrap())
        }
        other => {
            let reason = other["unavailable"].as_str().unwrap();
            Listing::Unavailable(ListingError::new(UnavailableKind::Transient, reason))
        }
    };
    let listings = value.as_object().unwrap().iter();
    listings
        .map(|(name, tags)| (name.parse().unwrap(), listing(tags)))
        .collect()
}

fn plan(case: &Value, dialect: Dialect) -> Plan {
    let policy: Policy = case["policy"].to_string().parse().unwrap();
    let options = PlanOptions {
        dialect,
        ..PlanOptions::default()
    };
    Plan::new(&policy, &inventory(&case["inventory"]), &options)
}

/// The rows of a plan in the vectors' short form, read from its JSON document.
fn rows(plan: &Plan) -> Value {
    let document = serde_json::to_value(plan).unwrap();
    let rows = |list: &str, fields: &[&str]| -> Value {
        let short = |row: &Value| fields.iter().map(|&field| row[field].clone()).collect();
        document[list]
            .as_array()
            .unwrap()
            .iter()
            .map(short)
            .collect::<Vec<Value>>()
            .into()
    };
    json!({
        "images": rows("images", &["repository", "tag", "latestPatch", "patchTag"]),
        "skipped": rows("skipped", &["repository", "tag", "reason"]),
        "notFound": rows("notFound", &["repository", "tag"]),
        "unavailable": rows("unavailable", &["repository", "reason"]),
    })
}

fn expected(case: &Value, dialect: Dialect) -> Value {
    let expected = match &case[dialect.as_str()] {
        Value::String(same) if same == "same" => &case["documented"],
        expected => expected,
    };
    let list = |name: &str| expected.get(name).cloned().unwrap_or_else(|| json!([]));
    json!({
        "images": list("images"),
        "skipped": list("skipped"),
        "notFound": list("notFound"),
        "unavailable": list("unavailable"),
    })
}

#[test]
fn every_case_in_both_dialects() {
    for case in cases() {
        for dialect in Dialect::ALL {
            let plan = plan(&case, dialect);
            let expected = expected(&case, dialect);
            assert_eq!(rows(&plan), expected, "{dialect}: {}", case["name"]);
            assert_eq!(plan.matches(), expected["images"].as_array().unwrap().len());
        }
    }
}

#[test]
fn the_scan_tag_is_the_latest_patch_or_else_the_original() {
    for case in cases() {
        for image in plan(&case, Dialect::Documented).images() {
            let latest = image.latest_patch().map(|patch| patch.to_string());
            let expected = latest.unwrap_or_else(|| image.tag().to_string());
            assert_eq!(image.scan_tag().to_string(), expected);
        }
    }
}

#[test]
fn the_dialects_differ_where_the_vectors_say_so() {
    for case in cases() {
        let policy: Policy = case["policy"].to_string().parse().unwrap();
        let differences = dialect_differences(&policy, &inventory(&case["inventory"]));
        let same = case["service"] == "same";
        assert_eq!(
            differences.is_empty(),
            same,
            "{}: {differences:?}",
            case["name"]
        );
    }
}

#[test]
fn every_tag_has_a_verdict() {
    for case in cases() {
        for (dialect, key) in [
            (Dialect::Documented, "explain"),
            (Dialect::Service, "explainService"),
        ] {
            let plan = plan(&case, dialect);
            let inventory = inventory(&case["inventory"]);
            let mut verdicts = serde_json::Map::new();
            for explanation in plan.explain(&inventory) {
                let tags = verdicts
                    .entry(explanation.repository.as_str())
                    .or_insert_with(|| json!({}));
                tags[explanation.tag.as_str()] = explanation.verdict.as_str().into();
            }
            if let Some(expected) = case.get(key) {
                let name = &case["name"];
                assert_eq!(&Value::Object(verdicts), expected, "{dialect}: {name}");
            }
        }
    }
}
