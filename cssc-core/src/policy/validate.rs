//! From JSON to a policy: every rule of the format, checked in one pass.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::cursor::Cursor;
use super::diagnostic::DiagnosticCode;
use super::findings::Findings;
use super::json::{self, Member, Node, Value};
use super::{MAX_POLICY_LEN, Policy, PolicyCheck, Rule, lint, spelling};
use crate::name::{Repository, excerpt};
use crate::policy::{Selector, SelectorErrorKind, is_glob_text};
use crate::tags::TagConvention;

/// The only version there is.
pub(super) const VERSION: &str = "v1";
/// How many globs a policy may hold; each costs time for every tag of its repository.
const MAX_GLOBS: usize = 1000;

const POLICY_KEYS: [&str; 4] = ["version", "tag-convention", "repositories", "$schema"];
const RULE_KEYS: [&str; 3] = ["repository", "tags", "enabled"];

/// For a policy that is read without its schema.
pub(super) fn nothing_more(_: &Node, _: &mut Findings<'_>) {}

pub(super) fn check_text(bytes: &[u8], more: impl FnOnce(&Node, &mut Findings<'_>)) -> PolicyCheck {
    let text = match decode(bytes) {
        Ok(text) => text,
        Err((code, message, at)) => {
            // What precedes it is sound text, so that it has a line and a column.
            let sound = bytes.get(..at.unwrap_or_default());
            let sound = sound.and_then(|front| std::str::from_utf8(front).ok());
            let mut findings = Findings::about(sound.unwrap_or_default());
            findings.add(code, "", at.map(|at| at..at).as_ref(), message);
            return rejected(findings);
        }
    };
    let mut findings = Findings::about(text);
    match json::parse(text) {
        Ok(root) => check(&root, findings, more),
        Err(error) => {
            findings.add(error.code, "", Some(&error.span), error.message);
            rejected(findings)
        }
    }
}

pub(super) fn check_value(
    value: &serde_json::Value,
    more: impl FnOnce(&Node, &mut Findings<'_>),
) -> PolicyCheck {
    let mut findings = Findings::about("");
    match Node::from_value(value) {
        Ok(root) => check(&root, findings, more),
        Err(error) => {
            findings.add(error.code, "", None, error.message);
            rejected(findings)
        }
    }
}

/// The text of a policy file, or what is wrong with its bytes, and where.
fn decode(bytes: &[u8]) -> Result<&str, (DiagnosticCode, String, Option<usize>)> {
    if bytes.len() > MAX_POLICY_LEN {
        let message = "the policy has more than 10 MiB, the most that is read".to_owned();
        return Err((DiagnosticCode::TooLarge, message, None));
    }
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => {
            let message = "the file begins with a byte order mark: save it as UTF-8 without one";
            return Err((DiagnosticCode::ByteOrderMark, message.to_owned(), Some(0)));
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [_, 0, ..] | [0, _, ..] => {
            let message = "the file is encoded as UTF-16 or UTF-32: save it as UTF-8";
            return Err((DiagnosticCode::Encoding, message.to_owned(), Some(0)));
        }
        _ => {}
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let byte = bytes.get(at).copied().unwrap_or_default();
        let message = format!("the file is not UTF-8: byte {at} is 0x{byte:02x}; save it as UTF-8");
        (DiagnosticCode::Encoding, message, Some(at))
    })
}

fn rejected(findings: Findings<'_>) -> PolicyCheck {
    PolicyCheck {
        policy: None,
        diagnostics: findings.finish(),
    }
}

fn check(
    root: &Node,
    findings: Findings<'_>,
    more: impl FnOnce(&Node, &mut Findings<'_>),
) -> PolicyCheck {
    let mut validator = Validator { findings, globs: 0 };
    let policy = validator.policy(root);
    let mut findings = validator.findings;
    if !findings.has_errors() && policy.is_some() {
        more(root, &mut findings);
    }
    let mut policy = policy.filter(|_| !findings.has_errors());
    if let Some(policy) = &mut policy {
        lint::lint(policy, root, &mut findings);
        drop_repeats(&mut policy.rules);
    }
    PolicyCheck {
        policy: policy.filter(|_| !findings.has_errors()),
        diagnostics: findings.finish(),
    }
}

/// Leaves out rules that would be written as an earlier one is: a policy that has them twice could
/// not be read again.
fn drop_repeats(rules: &mut Vec<Rule>) {
    let mut seen = BTreeSet::new();
    rules.retain(|rule| match serde_json::to_string(rule) {
        Ok(text) => seen.insert(text),
        Err(_) => true,
    });
}

struct Validator<'a> {
    findings: Findings<'a>,
    globs: usize,
}

/// An object's members by key, the first of each.
type Members<'n> = BTreeMap<&'n str, &'n Node>;

impl Validator<'_> {
    /// Adds a finding about a node.
    fn add(&mut self, at: &Cursor<'_, '_>, code: DiagnosticCode, message: impl Into<String>) {
        self.add_at(at, at.node.span.as_ref(), code, message);
    }

    /// Adds a finding about something at a node, such as its key.
    fn add_at(
        &mut self,
        at: &Cursor<'_, '_>,
        span: Option<&Range<usize>>,
        code: DiagnosticCode,
        message: impl Into<String>,
    ) {
        self.findings.add(code, &at.pointer(), span, message);
    }

    fn policy(&mut self, root: &Node) -> Option<Policy> {
        let root = Cursor::root(root);
        let members = self.members(&root, "a policy", &POLICY_KEYS)?;
        if let Some(schema) = members.get("$schema") {
            self.string(&root.member("$schema", schema), "`$schema`");
        }
        let version = self.required(&root, &members, "version");
        let version = version.is_some_and(|at| self.version(&at));
        let convention = match members.get("tag-convention") {
            None => Some(TagConvention::default()),
            Some(node) => self.convention(&root.member("tag-convention", node)),
        };
        let rules = self
            .required(&root, &members, "repositories")
            .and_then(|at| self.rules(&at));
        let (true, Some(convention), Some(rules)) = (version, convention, rules) else {
            return None;
        };
        Some(Policy { convention, rules })
    }

    fn version(&mut self, at: &Cursor<'_, '_>) -> bool {
        match self.string(at, "`version`") {
            Some(VERSION) => true,
            Some(other) => {
                let other = excerpt(other);
                let message = format!("`{other}` is not a supported version: write `{VERSION}`");
                self.add(at, DiagnosticCode::UnsupportedVersion, message);
                false
            }
            None => false,
        }
    }

    fn convention(&mut self, at: &Cursor<'_, '_>) -> Option<TagConvention> {
        let text = self.string(at, "`tag-convention`")?;
        match text.parse() {
            Ok(convention) => Some(convention),
            Err(error) => {
                let message = if text.contains(['<', '|', '>']) {
                    format!(
                        "`{}` is a placeholder: write `incremental` or `floating`",
                        excerpt(text)
                    )
                } else {
                    format!("{error}")
                };
                self.add(at, DiagnosticCode::UnknownConvention, message);
                None
            }
        }
    }

    fn rules(&mut self, at: &Cursor<'_, '_>) -> Option<Vec<Rule>> {
        let items = self.list(at, "`repositories`", "rule")?;
        let mut rules = Some(Vec::with_capacity(items.len()));
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let at = at.item(index, item);
            let rule = self.rule(&at);
            let first = *seen.entry(canonical(&item.value)).or_insert(index);
            if first != index {
                let first = first.saturating_add(1);
                let message = format!("this rule is the same as rule {first}: remove one");
                self.add(&at, DiagnosticCode::DuplicateRule, message);
            }
            match (rule, &mut rules) {
                (Some(rule), Some(rules)) => rules.push(rule),
                _ => rules = None,
            }
        }
        rules
    }

    fn rule(&mut self, at: &Cursor<'_, '_>) -> Option<Rule> {
        let members = self.members(at, "a rule", &RULE_KEYS)?;
        let repository = self
            .required(at, &members, "repository")
            .and_then(|at| self.repository(&at));
        let selectors = self
            .required(at, &members, "tags")
            .and_then(|at| self.tags(&at));
        let enabled = match members.get("enabled") {
            None => Some(true),
            Some(node) => self.boolean(&at.member("enabled", node)),
        };
        Some(Rule {
            repository: repository?,
            selectors: selectors?.into(),
            enabled: enabled?,
        })
    }

    fn repository(&mut self, at: &Cursor<'_, '_>) -> Option<Repository> {
        match self.string(at, "`repository`")?.parse::<Repository>() {
            Ok(repository) => Some(repository),
            Err(error) => {
                self.add(at, DiagnosticCode::InvalidRepository, error.to_string());
                None
            }
        }
    }

    fn tags(&mut self, at: &Cursor<'_, '_>) -> Option<Vec<Selector>> {
        let items = self.list(at, "`tags`", "tag")?;
        let mut selectors = Some(Vec::with_capacity(items.len()));
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let at = at.item(index, item);
            let text = self.string(&at, "a tag");
            if let Some(text) = text
                && seen.insert(text, index).is_some()
            {
                let message = format!("`{}` is listed twice in `tags`: remove one", excerpt(text));
                self.add(&at, DiagnosticCode::DuplicateTag, message);
            }
            if text == Some("*") && items.len() > 1 {
                let message = "`*` already selects all tags: remove it or the other entries";
                self.add(&at, DiagnosticCode::StarNotAlone, message);
            }
            let selector = text.and_then(|text| self.selector(text, &at));
            match (selector, &mut selectors) {
                (Some(selector), Some(selectors)) => selectors.push(selector),
                _ => selectors = None,
            }
        }
        selectors
    }

    fn selector(&mut self, text: &str, at: &Cursor<'_, '_>) -> Option<Selector> {
        if is_glob_text(text) {
            self.globs = self.globs.saturating_add(1);
            if self.globs > MAX_GLOBS {
                // Said once, and compiling the rest would only cost time.
                if self.globs == MAX_GLOBS.saturating_add(1) {
                    let message = format!("a policy may contain at most {MAX_GLOBS} globs");
                    self.add(at, DiagnosticCode::InvalidGlob, message);
                }
                return None;
            }
        }
        match text.parse::<Selector>() {
            Ok(selector) => Some(selector),
            Err(error) => {
                let code = match error.kind() {
                    SelectorErrorKind::Name(_) => DiagnosticCode::InvalidTag,
                    SelectorErrorKind::Reserved => DiagnosticCode::ReservedTag,
                    SelectorErrorKind::Glob => DiagnosticCode::InvalidGlob,
                };
                self.add(at, code, error.to_string());
                None
            }
        }
    }

    /// The members of an object; doubled and unknown keys are found here.
    fn members<'n>(
        &mut self,
        at: &Cursor<'n, '_>,
        what: &str,
        known: &[&str],
    ) -> Option<Members<'n>> {
        let Value::Object(members) = &at.node.value else {
            self.wrong_type(at, what, "an object");
            return None;
        };
        let mut by_key = Members::new();
        for Member {
            key,
            key_span,
            node,
        } in members
        {
            let at = at.member(key, node);
            if by_key.contains_key(&**key) {
                let message = format!("the key `{}` is given twice: remove one", excerpt(key));
                self.add_at(
                    &at,
                    key_span.as_ref(),
                    DiagnosticCode::DuplicateKey,
                    message,
                );
                continue;
            }
            if !known.contains(&&**key) {
                let shown = excerpt(key);
                let (code, message) = match spelling::nearest(key, known) {
                    Some(near) => (
                        DiagnosticCode::MisspeltKey,
                        format!("unknown key `{shown}`: did you mean `{near}`?"),
                    ),
                    None => (
                        DiagnosticCode::UnknownKey,
                        format!("unknown key `{shown}`: it is ignored"),
                    ),
                };
                self.add_at(&at, key_span.as_ref(), code, message);
            }
            by_key.insert(key, node);
        }
        Some(by_key)
    }

    fn required<'n, 'p>(
        &mut self,
        object: &'p Cursor<'n, 'p>,
        members: &Members<'n>,
        key: &'static str,
    ) -> Option<Cursor<'n, 'p>> {
        if let Some(node) = members.get(key) {
            return Some(object.member(key, node));
        }
        // The object's opening bracket is the place: what is missing has none.
        let span = object.node.span.as_ref();
        let span = span.map(|span| span.start..span.start.saturating_add(1));
        let message = format!("the key `{key}` is missing");
        self.add_at(object, span.as_ref(), DiagnosticCode::MissingKey, message);
        None
    }

    fn wrong_type(&mut self, at: &Cursor<'_, '_>, what: &str, expected: &str) {
        let found = at.node.value.noun();
        let message = format!("{what} must be {expected}, not {found}");
        self.add(at, DiagnosticCode::WrongType, message);
    }

    fn string<'n>(&mut self, at: &Cursor<'n, '_>, what: &str) -> Option<&'n str> {
        if let Value::String(text) = &at.node.value {
            return Some(text);
        }
        self.wrong_type(at, what, "a string");
        None
    }

    fn boolean(&mut self, at: &Cursor<'_, '_>) -> Option<bool> {
        match &at.node.value {
            Value::Bool(value) => return Some(*value),
            Value::String(text) if matches!(&**text, "true" | "false") => {
                let message = format!("`enabled` must be a boolean: write `{text}` without quotes");
                self.add(at, DiagnosticCode::WrongType, message);
            }
            _ => self.wrong_type(at, "`enabled`", "a boolean"),
        }
        None
    }

    fn list<'n>(&mut self, at: &Cursor<'n, '_>, what: &str, entry: &str) -> Option<&'n [Node]> {
        match &at.node.value {
            Value::Array(items) if items.is_empty() => {
                let message = format!("{what} is empty: it needs at least one {entry}");
                self.add(at, DiagnosticCode::EmptyList, message);
            }
            Value::Array(items) => return Some(items),
            _ => self.wrong_type(at, what, "a list"),
        }
        None
    }
}

/// A value as text, such that equal values have equal texts.
fn canonical(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) => text.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| canonical(&item.value)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<String> = members
                .iter()
                .map(|member| format!("{:?}:{}", member.key, canonical(&member.node.value)))
                .collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
    }
}
