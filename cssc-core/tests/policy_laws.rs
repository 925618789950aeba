//! Laws of the policy reader, on random policies and on hostile text.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use cssc_core::policy::{DiagnosticCode, PolicyCheck};
use cssc_core::{Diagnostic, Policy};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Texts near the edge of validity for every key.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-b0-1._/*{},?\\[\\]\\\\!-]{0,4}",
        "[ab]-(0|12|999|1000|patched|Patched)",
        "(a|_|b1)(-{1,2}|_{1,3}|\\.|/)(a|B|1)",
        "<[a|]{0,2}>",
        Just("*".to_owned()),
        Just("v1".to_owned()),
        Just("floating".to_owned()),
        Just("\u{e4}\n".to_owned()),
        (126..=130_usize).prop_map(|len| "a".repeat(len)),
        (254..=257_usize).prop_map(|len| "a".repeat(len)),
        (1023..=1026_usize).prop_map(|len| "?".repeat(len)),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => text().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => (-1..2_i8).prop_map(Value::from),
        1 => Just(json!(1.0)),
        1 => Just(json!({})),
        1 => Just(json!([])),
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    let tags = prop_oneof![
        8 => vec(scalar(), 0..4).prop_map(Value::from),
        8 => vec("[ab](\\*|\\.1)?".prop_map(Value::from), 1..3).prop_map(Value::from),
        1 => scalar(),
    ];
    let repository = prop_oneof![4 => "[ab]".prop_map(Value::from), 1 => scalar()];
    let enabled = prop_oneof![
        4 => Just(None),
        4 => any::<bool>().prop_map(|enabled| Some(json!(enabled))),
        1 => scalar().prop_map(Some)
    ];
    (repository, tags, enabled, any::<bool>()).prop_map(|(repository, tags, enabled, more)| {
        let mut rule = json!({"repository": repository, "tags": tags});
        let members = rule.as_object_mut().unwrap();
        if let Some(enabled) = enabled {
            members.insert("enabled".to_owned(), enabled);
        }
        if more {
            members.insert("x".to_owned(), json!(1));
        }
        rule
    })
}

fn document() -> impl Strategy<Value = Value> {
    let version = prop_oneof![6 => Just(json!("v1")), 1 => scalar()];
    let convention = prop_oneof![4 => Just(json!("incremental")), 1 => scalar()];
    let rules = prop_oneof![12 => vec(rule(), 1..4).prop_map(Value::from), 1 => scalar()];
    let drop = proptest::option::weighted(
        0.2,
        proptest::sample::select(vec!["version", "tag-convention", "repositories"]),
    );
    prop_oneof![
        20 => (version, convention, rules, drop).prop_map(|(version, convention, rules, drop)| {
            let mut document = json!({
                "version": version, "tag-convention": convention, "repositories": rules,
            });
            if let Some(key) = drop {
                document.as_object_mut().unwrap().remove(key);
            }
            document
        }),
        1 => scalar(),
    ]
}

fn meaning(diagnostics: &[Diagnostic]) -> Vec<(DiagnosticCode, &str, &str)> {
    let mut meaning: Vec<_> = diagnostics
        .iter()
        .map(|found| (found.code, found.pointer.as_str(), found.message.as_str()))
        .collect();
    meaning.sort_unstable();
    meaning
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_and_value_mean_the_same(document in document(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&document).unwrap()
        } else {
            document.to_string()
        };
        let PolicyCheck { policy: from_text, diagnostics: of_text } = Policy::check(text.as_bytes());
        let PolicyCheck { policy: from_value, diagnostics: of_value } = Policy::check_value(&document);
        prop_assert_eq!(&from_text, &from_value);
        prop_assert_eq!(meaning(&of_text), meaning(&of_value));
        prop_assert_eq!(from_text.is_none(), of_text.iter().any(Diagnostic::is_error));
        prop_assert!(of_text.iter().all(|found| found.span.is_some()));
        prop_assert!(of_text.is_sorted_by_key(|found| found.span));
        prop_assert!(of_text.iter().all(|found| document.pointer(&found.pointer).is_some()));
        if let Some(policy) = from_text {
            let again = policy.to_json();
            prop_assert_eq!(again.parse(), Ok(policy.clone()));
            prop_assert_eq!(serde_json::from_str::<Policy>(&again).unwrap(), policy.clone());
            prop_assert_eq!(again.parse::<Policy>().unwrap().to_json(), again);
        }
    }

    #[cfg(feature = "schema")]
    #[test]
    fn what_the_schema_rejects_is_rejected(document in document()) {
        let schema = serde_json::from_str(cssc_core::policy::POLICY_SCHEMA).unwrap();
        let schema = jsonschema::draft202012::new(&schema).unwrap();
        let violations = !schema.is_valid(&document);
        let error = Policy::from_value(&document).err();
        prop_assert!(!violations || error.is_some(), "{}", document);
        // And the other way round, but for what a schema cannot say.
        if let (false, Some(error)) = (violations, error) {
            for found in error.diagnostics().iter().filter(|found| found.is_error()) {
                prop_assert!(matches!(found.code, DiagnosticCode::InvalidGlob | DiagnosticCode::MisspeltKey), "{}: {}", document, found.message);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let PolicyCheck { policy, diagnostics } = Policy::check(&bytes);
        prop_assert_eq!(policy.is_none(), diagnostics.iter().any(Diagnostic::is_error));
    }

    #[test]
    fn a_damaged_policy_is_read_or_refused(
        document in document(),
        damage in vec((any::<proptest::sample::Index>(), proptest::sample::select(b"{}[]\",:'<>/#\\u0 \n\xff\x00\xe2".to_vec())), 1..4),
    ) {
        let mut text = document.to_string().into_bytes();
        for (at, byte) in damage {
            let at = at.index(text.len());
            text.splice(at..=at, [byte]);
        }
        let PolicyCheck { policy, diagnostics } = Policy::check(&text);
        prop_assert_eq!(policy.is_none(), diagnostics.iter().any(Diagnostic::is_error));
        prop_assert!(diagnostics.iter().all(|found| found.span.is_some()));
    }
}

#[test]
fn hostile_text_is_refused_soon_and_in_short() {
    let million = |text: &str| text.repeat(1_000_000);
    for text in [
        million("["),
        million("{\"a\":"),
        million("[],"),
        format!("[{}0]", million("[],")),
        format!("\"{}", million("\\u")),
        format!("\"{}\"", million("\u{1f433}")),
        million("1"),
        million("a"),
        million("<"),
        million("/"),
        million("\n"),
        format!("{{{}\"\": 0}}", million("\"\":0,")),
        format!(
            "{{\"version\": \"v1\", \"repositories\": [{}0]}}",
            million("{},")
        ),
        format!("{{\"version\": \"{}\"}}", million("v")),
        million("0123456789a"),
    ] {
        let PolicyCheck {
            policy,
            diagnostics,
        } = Policy::check(text.as_bytes());
        assert_eq!(policy, None);
        assert!(diagnostics.len() <= 2002);
        assert!(diagnostics.iter().all(|found| found.message.len() < 1000));
    }
}

#[test]
fn deep_values_are_refused() {
    let mut value = json!([]);
    for _ in 0..100_000 {
        value = Value::Array(vec![value]);
    }
    let error = Policy::from_value(&value).unwrap_err();
    assert_eq!(
        error.to_string(),
        "lists and objects are nested deeper than 64 levels"
    );
    // Dropping a value recurses as deep as it nests: take it apart instead.
    while let Some(inner) = value.get_mut(0).map(Value::take) {
        value = inner;
    }
}
