//! Policies against `vectors/policy.json`: every finding, with its exact message and place.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeSet;

use cssc_core::Policy;
use cssc_core::policy::DiagnosticCode;
use serde_json::Value;

const VECTORS: &str = include_str!("vectors/policy.json");

fn cases() -> Vec<(String, String, Value)> {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    cases
        .iter()
        .map(|case| {
            (
                text(&case["name"]),
                text(&case["text"]),
                case["findings"].clone(),
            )
        })
        .collect()
}

fn found(text: &str) -> Value {
    serde_json::to_value(Policy::check(text.as_bytes()).diagnostics).unwrap()
}

#[test]
fn every_finding_with_its_message_and_place() {
    for (name, text, findings) in cases() {
        let found = found(&text);
        assert_eq!(
            found,
            findings,
            "{name}\n{}",
            serde_json::to_string_pretty(&found).unwrap()
        );
    }
}

#[test]
fn a_policy_is_read_when_no_finding_is_an_error() {
    for (name, text, findings) in cases() {
        let has_error = findings
            .as_array()
            .unwrap()
            .iter()
            .any(|found| found["severity"] == "error");
        let checked = Policy::check(text.as_bytes());
        assert_eq!(checked.policy.is_none(), has_error, "{name}");
        if let Some(policy) = checked.policy {
            assert_eq!(policy.to_json().parse(), Ok(policy), "{name}");
        }
    }
}

#[test]
fn a_parsed_value_means_the_same() {
    for (name, text, findings) in cases() {
        // What a parser of values has lost, or let pass, cannot be found in one.
        let findings_text = findings.to_string();
        let loses_keys = ["duplicate-key", "too-deep"]
            .iter()
            .any(|code| findings_text.contains(code));
        let Ok(value) = serde_json::from_str(&text) else {
            continue;
        };
        if loses_keys {
            continue;
        }
        let codes = |findings: &Value| -> BTreeSet<(String, String)> {
            let findings = findings.as_array().unwrap().iter();
            findings
                .map(|found| (found["code"].to_string(), found["pointer"].to_string()))
                .collect()
        };
        let checked = Policy::check_value(&value);
        let from_value = serde_json::to_value(&checked.diagnostics).unwrap();
        assert_eq!(codes(&from_value), codes(&findings), "{name}");
        assert_eq!(
            checked.policy,
            Policy::check(text.as_bytes()).policy,
            "{name}"
        );
        assert!(checked.diagnostics.iter().all(|found| found.span.is_none()));
    }
}

/// All codes but those that need a file too large or too odd for a vector.
#[test]
fn the_vectors_have_every_code() {
    let findings: String = cases()
        .iter()
        .map(|(_, _, findings)| findings.to_string())
        .collect();
    for code in DiagnosticCode::ALL {
        let elsewhere = [
            DiagnosticCode::TooLarge,
            DiagnosticCode::Encoding,
            DiagnosticCode::TooManyFindings,
            DiagnosticCode::TooManyWarnings,
            DiagnosticCode::Schema,
        ];
        let quoted = format!("\"{code}\"");
        assert_eq!(
            findings.contains(&quoted),
            !elsewhere.contains(code),
            "{code}"
        );
    }
}

/// What the schema rejects, the typed validation rejects too; and no more than these pass the
/// schema although the typed validation rejects them.
#[cfg(feature = "schema")]
#[test]
fn the_schema_and_the_validation_agree() {
    let schema = serde_json::from_str(cssc_core::policy::POLICY_SCHEMA).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let mut looser = Vec::new();
    for (name, text, _) in cases() {
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        let valid = Policy::check(text.as_bytes()).policy.is_some();
        let with_schema = cssc_core::policy::PolicySchema::new().check(text.as_bytes());
        assert_eq!(with_schema, Policy::check(text.as_bytes()), "{name}");
        if schema.is_valid(&value) {
            if !valid {
                looser.push(name);
            }
        } else {
            assert!(!valid, "the schema alone rejects: {name}");
        }
    }
    assert_eq!(
        looser,
        [
            "a broken glob",
            "a glob that matches nothing",
            // A misspelt key is unknown to it, and an unknown one is allowed.
            "unknown keys",
            "a key twice",
            "misspelt keys",
        ]
    );
}

#[test]
fn a_large_or_odd_file_is_told_apart() {
    let codes = |bytes: &[u8]| -> Vec<DiagnosticCode> {
        let found = Policy::check(bytes).diagnostics;
        found.iter().map(|found| found.code).collect()
    };
    assert_eq!(codes(&vec![b' '; 11 << 20]), [DiagnosticCode::TooLarge]);
    assert_eq!(codes(b"\xff\xfe{\0"), [DiagnosticCode::Encoding]);
    assert_eq!(codes(b"{\0}\0"), [DiagnosticCode::Encoding]);
    let latin = Policy::check(b"{\n \"k\xf6ln\": 1}").diagnostics;
    assert_eq!(
        latin[0].message,
        "the file is not UTF-8: byte 5 is 0xf6; save it as UTF-8"
    );
    assert_eq!(latin[0].span.map(|at| (at.line, at.column)), Some((2, 4)));
    assert_eq!(codes(&b"[".repeat(1_000_000)), [DiagnosticCode::TooDeep]);
}

#[test]
fn ten_thousand_errors_are_counted_and_a_thousand_listed() {
    let tags = vec!["\"a b\""; 10_000].join(",");
    let text = format!(
        r#"{{"version": "v1", "repositories": [{{"repository": "a", "tags": [{tags}]}}]}}"#
    );
    let found = Policy::check(text.as_bytes()).diagnostics;
    assert_eq!(found.len(), 1001);
    assert_eq!(found[1000].message, "and 18999 more, which are not listed");
}

/// Warnings never crowd out an error, and never make a policy invalid, however many there are.
#[test]
fn errors_and_warnings_are_counted_apart() {
    let unknown: Vec<String> = (0..1500).map(|key| format!("\"x{key}\": 0")).collect();
    let policy = |version: &str| {
        format!(
            r#"{{{}, "version": "{version}", "repositories": [{{"repository": "a", "tags": ["*"]}}]}}"#,
            unknown.join(",")
        )
    };
    let checked = Policy::check(policy("v1").as_bytes());
    assert!(checked.policy.is_some());
    assert!(checked.diagnostics.iter().all(|found| !found.is_error()));
    assert_eq!(checked.diagnostics.len(), 1001);
    assert_eq!(
        checked.diagnostics[1000].code,
        DiagnosticCode::TooManyWarnings
    );
    assert_eq!(
        checked.diagnostics[1000].message,
        "and 500 more, which are not listed"
    );
    let checked = Policy::check(policy("v2").as_bytes());
    assert!(checked.policy.is_none());
    let errors = checked.diagnostics.iter().filter(|found| found.is_error());
    assert_eq!(errors.count(), 1);
}

/// A policy of one long line is as good as any other.
#[test]
fn many_findings_on_one_long_line_end_fast() {
    let tags = vec!["\"a b\""; 1_500_000].join(",");
    let text = format!(
        r#"{{"version": "v1", "repositories": [{{"repository": "a", "tags": [{tags}]}}], "version": 1}}"#
    );
    assert!(text.len() < cssc_core::policy::MAX_POLICY_LEN);
    let found = Policy::check(text.as_bytes()).diagnostics;
    assert_eq!(found.len(), 1001);
}

#[test]
fn globs_beyond_the_limit_are_refused_once() {
    let globs: Vec<String> = (0..3000).map(|n| format!("\"{n}*\"")).collect();
    let globs = globs.join(",");
    let text = format!(
        r#"{{"version": "v1", "repositories": [{{"repository": "a", "tags": [{globs}]}}]}}"#
    );
    let checked = Policy::check(text.as_bytes());
    assert!(checked.policy.is_none());
    let messages: Vec<&str> = checked
        .diagnostics
        .iter()
        .map(|found| &*found.message)
        .collect();
    assert_eq!(messages, ["a policy may contain at most 1000 globs"]);
    assert_eq!(checked.diagnostics[0].pointer, "/repositories/0/tags/1000");
}

#[test]
fn the_template_is_a_policy_without_findings() {
    let checked = Policy::check(cssc_core::policy::POLICY_TEMPLATE.as_bytes());
    assert_eq!(checked.diagnostics, []);
    assert!(checked.policy.is_some());
}

#[test]
fn the_error_lists_every_problem_with_its_place() {
    let text = "{\n  \"version\": \"v2\",\n  \"repositories\": []\n}";
    assert_eq!(
        text.parse::<Policy>().unwrap_err().to_string(),
        "line 2, column 14: `v2` is not a supported version: write `v1`\n\
         line 3, column 19: `repositories` is empty: it needs at least one rule"
    );
    let value = serde_json::from_str(text).unwrap();
    assert_eq!(
        Policy::from_value(&value).unwrap_err().to_string(),
        "/version: `v2` is not a supported version: write `v1`\n\
         /repositories: `repositories` is empty: it needs at least one rule"
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let checked = Policy::check(&bytes);
        proptest::prop_assert_eq!(checked.policy.is_none(), checked.diagnostics.iter().any(cssc_core::Diagnostic::is_error));
    }

    /// Our reader takes exactly what `serde_json` takes.
    #[test]
    fn json_is_read_as_serde_json_reads_it(text in r#"[\[\]{}",: a0-9.eE+\-\\nu\u{e9}truefalsn]{0,40}"#) {
        use DiagnosticCode::{Comment, EmptyDocument, SingleQuotes, Syntax, TooDeep, TrailingComma, Unquoted};
        let by_us = Policy::check(text.as_bytes()).diagnostics;
        let refused = by_us.iter().any(|found| {
            matches!(found.code, Comment | EmptyDocument | SingleQuotes | Syntax | TooDeep | TrailingComma | Unquoted)
        });
        let by_serde = serde_json::from_str::<serde::de::IgnoredAny>(&text);
        proptest::prop_assert_eq!(refused, by_serde.is_err(), "{:?} {:?}", by_us, by_serde);
    }
}
