//! The policy: which tags are patched, and how patches are tagged.

mod builder;
mod cursor;
mod diagnostic;
mod error;
mod findings;
mod json;
mod lint;
mod lints;
#[cfg(feature = "schema")]
mod schema;
mod selector;
mod spelling;
mod validate;

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::Repository;
use crate::tags::TagConvention;

pub use builder::PolicyBuilder;
pub use diagnostic::{Diagnostic, DiagnosticCode, DiagnosticSeverity, Span};
pub use error::PolicyError;
pub use lints::{LintName, LintNameError, Lints};
#[cfg(feature = "schema")]
pub use schema::PolicySchema;
pub use selector::{Glob, Selector, SelectorError, SelectorErrorKind};

pub(crate) use selector::is_glob_text;

/// The JSON Schema (draft 2020-12) of a policy, for editors and other tools.
pub const POLICY_SCHEMA: &str = include_str!("policy.schema.json");
/// A policy to start from.
pub const POLICY_TEMPLATE: &str = include_str!("policy.template.json");
/// The largest policy that is read, in bytes: 10 MiB.
pub const MAX_POLICY_LEN: usize = 10 * 1024 * 1024;

/// A policy: rules that select tags, and the convention that patches are tagged by.
///
/// ```
/// use cssc_core::{Policy, TagConvention};
///
/// let policy: Policy = r#"{
///     "version": "v1",
///     "tag-convention": "floating",
///     "repositories": [
///         {"repository": "python", "tags": ["*"]},
///         {"repository": "ubuntu", "tags": ["jammy-20240111"], "enabled": false}
///     ]
/// }"#.parse()?;
/// assert_eq!(policy.tag_convention(), TagConvention::Floating);
/// assert_eq!(policy.rules()[0].repository().as_str(), "python");
/// assert!(!policy.rules()[1].is_enabled());
///
/// let error = r#"{"version": "v2", "repositories": []}"#.parse::<Policy>().unwrap_err();
/// let codes: Vec<_> = error.diagnostics().iter().map(|found| found.code.as_str()).collect();
/// assert_eq!(codes, ["unsupported-version", "empty-list"]);
/// # Ok::<(), cssc_core::policy::PolicyError>(())
/// ```
///
/// # Errors
///
/// Reading fails with all problems at once; [`DiagnosticCode`] lists their kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    convention: TagConvention,
    rules: Vec<Rule>,
}

/// One entry of a policy's `repositories`: the tags of one repository that are to be patched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    repository: Repository,
    selectors: Arc<[Selector]>,
    enabled: bool,
}

/// A policy that was read, or not, and everything there is to say about its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyCheck {
    /// The policy; none when there is an error among the findings.
    pub policy: Option<Policy>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl PolicyCheck {
    /// The policy, without its warnings.
    ///
    /// # Errors
    ///
    /// Fails when there is an error among the findings.
    pub fn into_policy(self) -> Result<Policy, PolicyError> {
        self.policy.ok_or(PolicyError::new(self.diagnostics))
    }
}

impl Policy {
    /// Begins a policy that a program makes.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder::default()
    }

    /// Reads a policy from text, and tells all that is wrong or doubtful about it.
    ///
    /// ```
    /// use cssc_core::Policy;
    /// use cssc_core::policy::DiagnosticCode;
    ///
    /// let text = "{\n  \"version\": \"v1\",\n  \"repositories\": [],\n}";
    /// let checked = Policy::check(text.as_bytes());
    /// let found = &checked.diagnostics[0];
    /// assert_eq!(found.code, DiagnosticCode::TrailingComma);
    /// assert_eq!(found.span.map(|at| (at.line, at.column)), Some((3, 21)));
    /// ```
    pub fn check(text: &[u8]) -> PolicyCheck {
        validate::check_text(text, validate::nothing_more)
    }

    /// Reads a policy from a parsed JSON value: the same meaning and the same findings as from
    /// text, with pointers but without lines.
    ///
    /// What parsing has lost is not found: of two equal keys only one is left in a value.
    pub fn check_value(value: &serde_json::Value) -> PolicyCheck {
        validate::check_value(value, validate::nothing_more)
    }

    /// Reads a policy from text.
    ///
    /// # Errors
    ///
    /// Fails with every problem of the policy.
    pub fn from_json(text: &[u8]) -> Result<Self, PolicyError> {
        Self::check(text).into_policy()
    }

    /// Reads a policy from a parsed JSON value.
    ///
    /// # Errors
    ///
    /// Fails with every problem of the policy.
    pub fn from_value(value: &serde_json::Value) -> Result<Self, PolicyError> {
        Self::check_value(value).into_policy()
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How patches are tagged.
    pub fn tag_convention(&self) -> TagConvention {
        self.convention
    }

    /// The repositories whose tags planning needs, each once, in the order of the rules.
    pub fn enabled_repositories(&self) -> Vec<&Repository> {
        distinct(self.rules.iter().filter(|rule| rule.enabled))
    }

    /// All repositories the policy names, each once, in the order of the rules.
    pub fn repositories(&self) -> Vec<&Repository> {
        distinct(self.rules.iter())
    }

    /// The policy as text, every key written out. Reading it gives the same policy.
    pub fn to_json(&self) -> String {
        // Strings and booleans only: nothing that could fail to be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn distinct<'a>(rules: impl Iterator<Item = &'a Rule>) -> Vec<&'a Repository> {
    let mut seen = BTreeSet::new();
    rules
        .map(Rule::repository)
        .filter(|repository| seen.insert(*repository))
        .collect()
}

impl Rule {
    /// The repository the rule is about.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The entries of the rule's `tags`. `*` stands alone.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// Whether the rule selects anything.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::from_json(text.as_bytes())
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Document<'a> {
            version: &'static str,
            tag_convention: TagConvention,
            repositories: &'a [Rule],
        }
        Document {
            version: validate::VERSION,
            tag_convention: self.convention,
            repositories: &self.rules,
        }
        .serialize(serializer)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Document<'a> {
            repository: &'a Repository,
            tags: &'a [Selector],
            enabled: bool,
        }
        Document {
            repository: &self.repository,
            tags: &self.selectors,
            enabled: self.enabled,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::from_value(&value).map_err(serde::de::Error::custom)
    }
}
