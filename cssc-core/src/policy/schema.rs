//! The policy against its published JSON Schema.

use jsonschema::Validator;

use super::diagnostic::DiagnosticCode;
use super::findings::Findings;
use super::json::{Node, Value};
use super::{POLICY_SCHEMA, PolicyCheck, validate};

/// The JSON Schema of a policy, compiled: reads policies as [`Policy`](super::Policy) does, and
/// checks them against the schema too.
///
/// The typed validation decides, says more, and rejects all that the schema rejects. The schema
/// stands behind it so that the two cannot drift apart unnoticed: what an editor marks as wrong
/// by the schema is wrong here too. Compiling it takes longer than reading a policy, so it is
/// made once.
///
/// ```
/// use cssc_core::policy::{POLICY_TEMPLATE, PolicySchema};
///
/// let schema = PolicySchema::new();
/// assert!(schema.check(POLICY_TEMPLATE.as_bytes()).policy.is_some());
/// assert!(schema.check(b"{}").policy.is_none());
/// ```
#[derive(Debug)]
pub struct PolicySchema(Option<Validator>);

impl PolicySchema {
    /// Compiles the schema.
    pub fn new() -> Self {
        let schema = serde_json::from_str(POLICY_SCHEMA).ok();
        Self(schema.and_then(|schema| jsonschema::draft202012::new(&schema).ok()))
    }

    /// Reads a policy from text, as [`Policy::check`](super::Policy::check) does.
    pub fn check(&self, text: &[u8]) -> PolicyCheck {
        validate::check_text(text, |root, findings| self.add(root, findings))
    }

    /// Reads a policy from a parsed JSON value, as
    /// [`Policy::check_value`](super::Policy::check_value) does.
    pub fn check_value(&self, value: &serde_json::Value) -> PolicyCheck {
        validate::check_value(value, |root, findings| self.add(root, findings))
    }

    /// Adds what the schema finds and the typed validation did not.
    fn add(&self, root: &Node, findings: &mut Findings<'_>) {
        let Some(validator) = &self.0 else {
            let message = "the embedded JSON Schema cannot be read";
            findings.add(DiagnosticCode::Schema, "", None, message);
            return;
        };
        for error in validator.iter_errors(&to_json(root)) {
            let pointer = error.instance_path().to_string();
            let message = format!("the JSON Schema rejects this: {error}");
            findings.add(DiagnosticCode::Schema, &pointer, None, message);
        }
    }
}

impl Default for PolicySchema {
    fn default() -> Self {
        Self::new()
    }
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
