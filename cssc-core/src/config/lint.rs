//! What is valid but doubtful about a policy.

use std::collections::BTreeSet;
use std::ops::Range;

use super::diagnostic::Code;
use super::findings::Findings;
use super::json::{Node, Value};
use super::{Config, Rule};
use crate::pattern::Selector;

/// Adds warnings about `config`, which was read from `root`.
pub(super) fn lint(config: &Config, root: &Node, findings: &mut Findings<'_>) {
    let places = Places(root);
    if config.rules.iter().all(|rule| !rule.enabled) {
        let message = "every rule is disabled, so the policy selects nothing";
        findings.add(
            Code::NothingEnabled,
            "/repositories",
            places.rules().as_ref(),
            message,
        );
    }
    let mut selected = BTreeSet::new();
    for (index, rule) in config.rules.iter().enumerate() {
        for (entry, selector) in rule.selectors.iter().enumerate() {
            if selector.is_glob() {
                findings.add(
                    Code::GlobNotPortable,
                    &format!("/repositories/{index}/tags/{entry}"),
                    places.tag(index, entry).as_ref(),
                    format!(
                        "`{selector}` is a glob here, but Azure takes it for the name of a tag"
                    ),
                );
            }
        }
        if rule.enabled && is_redundant(rule, &mut selected) {
            findings.add(
                Code::RedundantRule,
                &format!("/repositories/{index}"),
                places.rule(index).as_ref(),
                format!(
                    "earlier rules select all that this one does of `{}`",
                    rule.repository
                ),
            );
        }
    }
}

/// Whether earlier rules, whose entries are in `selected`, have all entries of `rule`.
fn is_redundant<'a>(rule: &'a Rule, selected: &mut BTreeSet<(&'a str, &'a str)>) -> bool {
    let repository = rule.repository.as_str();
    let all = selected.contains(&(repository, Selector::All.as_str()));
    let mut is_redundant = true;
    for selector in &rule.selectors {
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
