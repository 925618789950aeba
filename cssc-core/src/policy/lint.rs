//! What is valid but doubtful about a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::diagnostic::DiagnosticCode;
use super::findings::Findings;
use super::json::{Node, Value};
use super::{Policy, Rule};
use crate::policy::Selector;
use crate::tags::is_attachment;

/// Adds warnings about `policy`, which was read from `root`.
pub(super) fn lint(policy: &Policy, root: &Node, findings: &mut Findings<'_>) {
    let places = Places(root);
    if policy.rules.iter().all(|rule| !rule.enabled) {
        let message = "every rule is disabled, so the policy selects nothing";
        findings.add(
            DiagnosticCode::NothingEnabled,
            "/repositories",
            places.rules().as_ref(),
            message,
        );
    }
    let mut selected = BTreeSet::new();
    let mut meanings = BTreeMap::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        repository(rule, index, &places, findings);
        for (entry, selector) in rule.selectors.iter().enumerate() {
            let Some((code, message)) = doubtful(selector) else {
                continue;
            };
            let pointer = format!("/repositories/{index}/tags/{entry}");
            findings.add(code, &pointer, places.tag(index, entry).as_ref(), message);
        }
        let same = *meanings.entry(meaning(rule)).or_insert(index);
        let is_redundant = rule.enabled && is_redundant(rule, &mut selected);
        let message = if same != index {
            let number = same.saturating_add(1);
            format!("this rule means the same as rule {number}: remove one")
        } else if is_redundant {
            format!(
                "earlier rules select all that this one does of `{}`",
                rule.repository
            )
        } else {
            continue;
        };
        findings.add(
            DiagnosticCode::RedundantRule,
            &format!("/repositories/{index}"),
            places.rule(index).as_ref(),
            message,
        );
    }
}

/// Warns when the name of a repository begins with that of a registry.
fn repository(rule: &Rule, index: usize, places: &Places<'_>, findings: &mut Findings<'_>) {
    let name = rule.repository.as_str();
    let Some((host, rest)) = name.split_once('/') else {
        return;
    };
    if host.contains(['.', ':']) || host == "localhost" {
        findings.add(
            DiagnosticCode::RegistryInRepository,
            &format!("/repositories/{index}/repository"),
            places.repository(index).as_ref(),
            format!("`{host}` looks like a registry: name the repository alone, `{rest}`"),
        );
    }
}

/// What is doubtful about an entry of `tags`.
fn doubtful(selector: &Selector) -> Option<(DiagnosticCode, String)> {
    if selector.is_glob() {
        let message =
            format!("`{selector}` is a glob here, but Azure takes it for the name of a tag");
        return Some((DiagnosticCode::GlobNotPortable, message));
    }
    if is_attachment(selector.as_str()) {
        let message = format!("`{selector}` is attached to another image, so it is never patched");
        return Some((DiagnosticCode::AttachmentTag, message));
    }
    None
}

/// What rules that mean the same have in common.
fn meaning(rule: &Rule) -> (&str, BTreeSet<&str>, bool) {
    let selectors = rule.selectors.iter().map(Selector::as_str).collect();
    (rule.repository.as_str(), selectors, rule.enabled)
}

/// Whether earlier rules, whose entries are in `selected`, have all entries of `rule`.
fn is_redundant<'a>(rule: &'a Rule, selected: &mut BTreeSet<(&'a str, &'a str)>) -> bool {
    let repository = rule.repository.as_str();
    let all = selected.contains(&(repository, Selector::All.as_str()));
    let mut is_redundant = true;
    for selector in rule.selectors() {
        let is_new = selected.insert((repository, selector.as_str()));
        is_redundant &= all || !is_new;
    }
    is_redundant
}

/// Where the parts of a valid policy stand in its text.
struct Places<'a>(&'a Node);

impl Places<'_> {
    fn rules(&self) -> Option<Range<usize>> {
        member(self.0, "repositories")?.span.clone()
    }

    fn rule(&self, rule: usize) -> Option<Range<usize>> {
        item(member(self.0, "repositories")?, rule)?.span.clone()
    }

    fn repository(&self, rule: usize) -> Option<Range<usize>> {
        let rule = item(member(self.0, "repositories")?, rule)?;
        member(rule, "repository")?.span.clone()
    }

    fn tag(&self, rule: usize, tag: usize) -> Option<Range<usize>> {
        let rule = item(member(self.0, "repositories")?, rule)?;
        item(member(rule, "tags")?, tag)?.span.clone()
    }
}

fn member<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Object(members) => {
            let mut found = members.iter().filter(|member| &*member.key == key);
            found.next().map(|member| &member.node)
        }
        _ => None,
    }
}

fn item(node: &Node, index: usize) -> Option<&Node> {
    match &node.value {
        Value::Array(items) => items.get(index),
        _ => None,
    }
}
