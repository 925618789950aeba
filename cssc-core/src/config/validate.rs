//! From JSON to a policy: every rule of the format, checked in one pass.

use std::collections::BTreeMap;
use std::ops::Range;

use super::diagnostic::Code;
use super::findings::Findings;
use super::json::{self, Member, Node, Value};
use super::{Checked, Config, MAX_POLICY_LEN, Rule, lint};
use crate::convention::TagConvention;
use crate::name::{Repository, excerpt};
use crate::pattern::{Selector, SelectorError, is_glob_text};

/// The only version there is.
pub(super) const VERSION: &str = "v1";
/// How many globs a policy may hold; each costs time for every tag of its repository.
const MAX_GLOBS: usize = 1000;

const POLICY_KEYS: [&str; 4] = ["version", "tag-convention", "repositories", "$schema"];
const RULE_KEYS: [&str; 3] = ["repository", "tags", "enabled"];

pub(super) fn check_text(bytes: &[u8]) -> Checked {
    let text = match decode(bytes) {
        Ok(text) => text,
        Err((code, message, at)) => {
            // What precedes the fault is sound text, so that it has a line and a column.
            let sound = bytes.get(..at.unwrap_or_default());
            let sound = sound.and_then(|front| std::str::from_utf8(front).ok());
            let mut findings = Findings::about(sound.unwrap_or_default());
            findings.add(code, "", at.map(|at| at..at).as_ref(), message);
            return rejected(findings);
        }
    };
    let mut findings = Findings::about(text);
    match json::parse(text) {
        Ok(root) => check(&root, findings),
        Err(error) => {
            findings.add(error.code, "", Some(&error.span), error.message);
            rejected(findings)
        }
    }
}

pub(super) fn check_value(value: &serde_json::Value) -> Checked {
    let mut findings = Findings::about("");
    match Node::from_value(value) {
        Ok(root) => check(&root, findings),
        Err(error) => {
            findings.add(error.code, "", None, error.message);
            rejected(findings)
        }
    }
}

/// The text of a policy file, or what is wrong with its bytes, and where.
fn decode(bytes: &[u8]) -> Result<&str, (Code, String, Option<usize>)> {
    if bytes.len() > MAX_POLICY_LEN {
        let message = "the policy has more than 10 MiB, the most that is read".to_owned();
        return Err((Code::TooLarge, message, None));
    }
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => {
            let message = "the file begins with a byte order mark: save it as UTF-8 without one";
            return Err((Code::ByteOrderMark, message.to_owned(), Some(0)));
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [_, 0, ..] | [0, _, ..] => {
            let message = "the file is encoded as UTF-16 or UTF-32: save it as UTF-8";
            return Err((Code::Encoding, message.to_owned(), Some(0)));
        }
        _ => {}
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let byte = bytes.get(at).copied().unwrap_or_default();
        let message = format!("the file is not UTF-8: byte {at} is 0x{byte:02x}; save it as UTF-8");
        (Code::Encoding, message, Some(at))
    })
}

fn rejected(findings: Findings<'_>) -> Checked {
    Checked {
        config: None,
        diagnostics: findings.finish(),
    }
}

fn check(root: &Node, findings: Findings<'_>) -> Checked {
    let mut validator = Validator { findings, globs: 0 };
    let config = validator.policy(root);
    let mut findings = validator.findings;
    #[cfg(feature = "schema")]
    if !findings.has_errors() && config.is_some() {
        super::schema::check(root, &mut findings);
    }
    let config = config.filter(|_| !findings.has_errors());
    if let Some(config) = &config {
        lint::lint(config, root, &mut findings);
    }
    Checked {
        config: config.filter(|_| !findings.has_errors()),
        diagnostics: findings.finish(),
    }
}

struct Validator<'a> {
    findings: Findings<'a>,
    globs: usize,
}

/// An object's members by key, the first of each.
type Members<'n> = BTreeMap<&'n str, &'n Node>;

impl Validator<'_> {
    fn add(
        &mut self,
        code: Code,
        pointer: &str,
        span: Option<&Range<usize>>,
        message: impl Into<String>,
    ) {
        self.findings.add(code, pointer, span, message);
    }

    fn policy(&mut self, root: &Node) -> Option<Config> {
        let members = self.members(root, "", "a policy", &POLICY_KEYS)?;
        if let Some(schema) = members.get("$schema") {
            self.string(schema, "/$schema", "`$schema`");
        }
        let version = self.required(root, &members, "version", "");
        let version = version.is_some_and(|node| self.version(node));
        let convention = match members.get("tag-convention") {
            None => Some(TagConvention::default()),
            Some(node) => self.convention(node),
        };
        let rules = self
            .required(root, &members, "repositories", "")
            .and_then(|node| self.rules(node));
        let (true, Some(convention), Some(rules)) = (version, convention, rules) else {
            return None;
        };
        Some(Config { convention, rules })
    }

    fn version(&mut self, node: &Node) -> bool {
        let pointer = "/version";
        match self.string(node, pointer, "`version`") {
            Some(VERSION) => true,
            Some(other) => {
                let message = format!(
                    "`{}` is not a supported version: write `{VERSION}`",
                    excerpt(other)
                );
                self.add(
                    Code::UnsupportedVersion,
                    pointer,
                    node.span.as_ref(),
                    message,
                );
                false
            }
            None => false,
        }
    }

    fn convention(&mut self, node: &Node) -> Option<TagConvention> {
        let pointer = "/tag-convention";
        let text = self.string(node, pointer, "`tag-convention`")?;
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
                self.add(
                    Code::UnknownConvention,
                    pointer,
                    node.span.as_ref(),
                    message,
                );
                None
            }
        }
    }

    fn rules(&mut self, node: &Node) -> Option<Vec<Rule>> {
        let pointer = "/repositories";
        let items = self.list(node, pointer, "`repositories`", "rule")?;
        let mut rules = Some(Vec::with_capacity(items.len()));
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            let rule = self.rule(item, &pointer);
            // Rules are equal when they mean the same, or are written the same.
            let text = rule
                .as_ref()
                .and_then(|rule| serde_json::to_string(rule).ok());
            let text = text.unwrap_or_else(|| canonical(&item.value));
            let first = *seen.entry(text).or_insert(index);
            if first != index {
                self.add(
                    Code::DuplicateRule,
                    &pointer,
                    item.span.as_ref(),
                    format!(
                        "this rule is the same as rule {}: remove one",
                        first.saturating_add(1)
                    ),
                );
            }
            match (rule, &mut rules) {
                (Some(rule), Some(rules)) => rules.push(rule),
                _ => rules = None,
            }
        }
        rules
    }

    fn rule(&mut self, node: &Node, pointer: &str) -> Option<Rule> {
        let members = self.members(node, pointer, "a rule", &RULE_KEYS)?;
        let repository = self
            .required(node, &members, "repository", pointer)
            .and_then(|node| {
                let pointer = format!("{pointer}/repository");
                let text = self.string(node, &pointer, "`repository`")?;
                match text.parse::<Repository>() {
                    Ok(repository) => Some(repository),
                    Err(error) => {
                        let message = error.to_string();
                        self.add(
                            Code::InvalidRepository,
                            &pointer,
                            node.span.as_ref(),
                            message,
                        );
                        None
                    }
                }
            });
        let selectors = self
            .required(node, &members, "tags", pointer)
            .and_then(|node| self.tags(node, &format!("{pointer}/tags")));
        let enabled = match members.get("enabled") {
            None => Some(true),
            Some(node) => self.boolean(node, &format!("{pointer}/enabled")),
        };
        Some(Rule {
            repository: repository?,
            selectors: selectors?,
            enabled: enabled?,
        })
    }

    fn tags(&mut self, node: &Node, pointer: &str) -> Option<Vec<Selector>> {
        let items = self.list(node, pointer, "`tags`", "tag")?;
        let mut selectors = Some(Vec::with_capacity(items.len()));
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            let text = self.string(item, &pointer, "a tag");
            if let Some(text) = text
                && seen.insert(text, index).is_some()
            {
                let message = format!("`{}` stands twice in `tags`: remove one", excerpt(text));
                self.add(Code::DuplicateTag, &pointer, item.span.as_ref(), message);
            }
            if text == Some("*") && items.len() > 1 {
                self.add(
                    Code::StarNotAlone,
                    &pointer,
                    item.span.as_ref(),
                    "`*` already selects all tags: remove it or the other entries",
                );
            }
            let selector = text.and_then(|text| self.selector(text, item, &pointer));
            match (selector, &mut selectors) {
                (Some(selector), Some(selectors)) => selectors.push(selector),
                _ => selectors = None,
            }
        }
        selectors
    }

    fn selector(&mut self, text: &str, node: &Node, pointer: &str) -> Option<Selector> {
        let code = |error: &SelectorError| {
            if error.is_reserved() {
                Code::ReservedTag
            } else if error.is_glob() {
                Code::InvalidGlob
            } else {
                Code::InvalidTag
            }
        };
        if is_glob_text(text) {
            self.globs = self.globs.saturating_add(1);
            if self.globs > MAX_GLOBS {
                // Said once, and compiling the rest would only cost time.
                if self.globs == MAX_GLOBS.saturating_add(1) {
                    let message = format!("a policy may hold at most {MAX_GLOBS} globs");
                    self.add(Code::InvalidGlob, pointer, node.span.as_ref(), message);
                }
                return None;
            }
        }
        match text.parse::<Selector>() {
            Ok(selector) => Some(selector),
            Err(error) => {
                self.add(code(&error), pointer, node.span.as_ref(), error.to_string());
                None
            }
        }
    }

    /// The members of an object; doubled and unknown keys are found here.
    fn members<'n>(
        &mut self,
        node: &'n Node,
        pointer: &str,
        what: &str,
        known: &[&str],
    ) -> Option<Members<'n>> {
        let Value::Object(members) = &node.value else {
            let message = format!("{what} must be an object, not {}", node.value.noun());
            self.add(Code::WrongType, pointer, node.span.as_ref(), message);
            return None;
        };
        let mut by_key = Members::new();
        for Member {
            key,
            key_span,
            node,
        } in members
        {
            let pointer = format!("{pointer}/{}", escape_pointer(key));
            if by_key.contains_key(&**key) {
                let message = format!("the key `{}` stands twice: remove one", excerpt(key));
                self.add(Code::DuplicateKey, &pointer, key_span.as_ref(), message);
                continue;
            }
            if !known.contains(&&**key) {
                let message = match nearest(key, known) {
                    Some(near) => {
                        format!("unknown key `{}`: did you mean `{near}`?", excerpt(key))
                    }
                    None => format!("unknown key `{}`: it is ignored", excerpt(key)),
                };
                self.add(Code::UnknownKey, &pointer, key_span.as_ref(), message);
            }
            by_key.insert(key, node);
        }
        Some(by_key)
    }

    fn required<'n>(
        &mut self,
        object: &Node,
        members: &Members<'n>,
        key: &str,
        pointer: &str,
    ) -> Option<&'n Node> {
        let found = members.get(key).copied();
        if found.is_none() {
            // The object's opening bracket is the place: what is missing has none.
            let span = object
                .span
                .as_ref()
                .map(|span| span.start..span.start.saturating_add(1));
            let message = format!("the key `{key}` is missing");
            self.add(Code::MissingKey, pointer, span.as_ref(), message);
        }
        found
    }

    fn wrong_type(&mut self, node: &Node, pointer: &str, what: &str, expected: &str) {
        let message = format!("{what} must be {expected}, not {}", node.value.noun());
        self.add(Code::WrongType, pointer, node.span.as_ref(), message);
    }

    fn string<'n>(&mut self, node: &'n Node, pointer: &str, what: &str) -> Option<&'n str> {
        if let Value::String(text) = &node.value {
            return Some(text);
        }
        self.wrong_type(node, pointer, what, "a string");
        None
    }

    fn boolean(&mut self, node: &Node, pointer: &str) -> Option<bool> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) if matches!(&**text, "true" | "false") => {
                let message = format!("`enabled` must be a boolean: write `{text}` without quotes");
                self.add(Code::WrongType, pointer, node.span.as_ref(), message);
                None
            }
            _ => {
                self.wrong_type(node, pointer, "`enabled`", "a boolean");
                None
            }
        }
    }

    fn list<'n>(
        &mut self,
        node: &'n Node,
        pointer: &str,
        what: &str,
        entry: &str,
    ) -> Option<&'n [Node]> {
        match &node.value {
            Value::Array(items) if items.is_empty() => {
                let message = format!("{what} is empty: it needs at least one {entry}");
                self.add(Code::EmptyList, pointer, node.span.as_ref(), message);
                None
            }
            Value::Array(items) => Some(items),
            _ => {
                self.wrong_type(node, pointer, what, "a list");
                None
            }
        }
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

/// A key as part of a JSON pointer (RFC 6901).
fn escape_pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The known key that `key` was likely meant to be: at most a third of its letters differ.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|known| (distance(&key.to_ascii_lowercase(), known), *known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .min()
        .map(|(_, known)| known)
}

/// How many letters must be added, left out, replaced or swapped with their neighbour to make
/// one text the other.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(LONGEST).collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        for (j, &to) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX);
            let next = j.saturating_add(1);
            let replaced = at(&last, j).saturating_add(usize::from(from != to));
            let changed = at(&row, j).min(at(&last, next)).saturating_add(1);
            let mut best = replaced.min(changed);
            let neighbours = i.checked_sub(1).zip(j.checked_sub(1));
            if let Some((i, j)) = neighbours
                && a.get(i) == Some(&to)
                && b.get(j) == Some(&from)
            {
                best = best.min(at(&before_last, j).saturating_add(1));
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key() {
        for (key, near) in [
            ("enable", Some("enabled")),
            ("Enabled", Some("enabled")),
            ("tag", Some("tags")),
            ("tgas", Some("tags")),
            ("repo", None),
            ("comment", None),
        ] {
            assert_eq!(nearest(key, &RULE_KEYS), near, "{key}");
        }
        assert_eq!(
            nearest("tag_convention", &POLICY_KEYS),
            Some("tag-convention")
        );
        assert_eq!(nearest("repository", &POLICY_KEYS), Some("repositories"));
    }
}
