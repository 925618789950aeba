//! The policy against its published JSON Schema.
//!
//! The typed validation decides, says more, and rejects all that the schema rejects. This check
//! stands behind it so that the two cannot drift apart unnoticed: what an editor marks as wrong
//! by the schema is wrong here too.

use jsonschema::Validator;

use super::POLICY_SCHEMA;
use super::diagnostic::DiagnosticCode;
use super::findings::Findings;
use super::json::{Node, Value};

/// Adds what the schema finds and the typed validation did not.
pub(super) fn check(root: &Node, findings: &mut Findings<'_>) {
    let Some(validator) = validator() else {
        findings.add(
            DiagnosticCode::Schema,
            "",
            None,
            "the embedded JSON Schema cannot be read",
        );
        return;
    };
    for error in validator.iter_errors(&to_json(root)) {
        let pointer = error.instance_path().to_string();
        let message = format!("the JSON Schema rejects this: {error}");
        findings.add(DiagnosticCode::Schema, &pointer, None, message);
    }
}

fn validator() -> Option<Validator> {
    let schema = serde_json::from_str(POLICY_SCHEMA).ok()?;
    jsonschema::draft202012::new(&schema).ok()
}

fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(text) => serde_json::from_str(text).unwrap_or_default(),
        Value::String(text) => (**text).into(),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Object(members) => members
            .iter()
            .map(|member| (member.key.to_string(), to_json(&member.node)))
            .collect(),
    }
}
