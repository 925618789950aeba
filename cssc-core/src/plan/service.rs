//! What the deployed service was observed to select.
//!
//! Its quirks stay in this file. They follow from how the service works: it groups the tags it
//! collects by what stands before the patch suffix, whether or not that is a tag; it builds a
//! regular expression from a literal without escaping the `.`; it keeps only the first of two
//! images whose `repository-tag-latestPatch` is the same text; and it takes a failed listing for
//! an empty one.

use std::collections::{BTreeMap, BTreeSet};

use super::literals::Literals;
use super::{RulePlan, SkipReason, SkippedTag};
use crate::inventory::{Inventory, Listing};
use crate::name::TagRef;
use crate::policy::Selector;
use crate::policy::{Policy, Rule};
use crate::tags::Original;
use crate::tags::TagSet;
use crate::tags::{NoNextTag, Suffix, TagConvention, next_suffix};

/// Plans every rule, in order.
pub(super) fn plan_rules(policy: &Policy, inventory: &Inventory) -> Vec<RulePlan> {
    let convention = policy.tag_convention();
    let mut listed = BTreeSet::new();
    policy
        .rules()
        .iter()
        .map(|rule| {
            let mut plan = RulePlan::new(rule);
            if rule.is_enabled() {
                match inventory.listing(rule.repository()) {
                    Listing::Found(tags) => {
                        plan.tags = tags.clone();
                        list(rule, convention, &mut listed, &mut plan);
                    }
                    Listing::Absent | Listing::Unavailable(_) => {
                        plan.not_found = (0..rule.selectors().len()).collect();
                    }
                }
            }
            plan
        })
        .collect()
}

/// Lists what `rule` collects; `listed` holds the texts of all images listed so far.
fn list(
    rule: &Rule,
    convention: TagConvention,
    listed: &mut BTreeSet<String>,
    plan: &mut RulePlan,
) {
    let tags = plan.tags.clone();
    let collector = Collector::new(rule.selectors(), convention, &tags);
    for (index, selector) in rule.selectors().iter().enumerate() {
        let is_there = match selector {
            Selector::All => true,
            Selector::Literal(literal) => tags.contains(literal.as_str()),
            // No tag has the name of a glob.
            Selector::Glob(_) => false,
        };
        if !is_there {
            plan.not_found.push(index);
        }
    }
    // In the order of the entries, and of the tags under each.
    let mut collected: Vec<(usize, usize, TagRef<'_>)> = (0..)
        .zip(&tags)
        .filter_map(|(place, tag)| Some((collector.first(tag)?, place, tag)))
        .collect();
    collected.sort_unstable_by_key(|&(selector, place, _)| (selector, place));
    let mut images = Images::new(convention);
    for (_, place, tag) in collected {
        images.collect(place, tag);
    }
    for (tag, image) in images.by_tag {
        if next_suffix(tag.len(), convention, image.latest) == Err(NoNextTag::TagTooLong) {
            plan.skipped.push(SkippedTag {
                place: image.place,
                reason: SkipReason::TagTooLong,
            });
            continue;
        }
        let repository = rule.repository();
        let text = match image.latest {
            Some(suffix) => format!("{repository}-{tag}-{tag}{suffix}"),
            None => format!("{repository}-{tag}-N/A"),
        };
        if listed.insert(text) {
            plan.images.push(image);
        }
    }
}

/// Tags grouped by what stands before their patch suffix.
struct Images<'a> {
    convention: TagConvention,
    by_tag: BTreeMap<&'a str, Original>,
}

impl<'a> Images<'a> {
    fn new(convention: TagConvention) -> Self {
        Self {
            convention,
            by_tag: BTreeMap::new(),
        }
    }

    fn collect(&mut self, place: usize, tag: TagRef<'a>) {
        let suffix = Suffix::of(tag);
        if suffix.is_some_and(|suffix| suffix.convention() != self.convention) {
            return;
        }
        let original = suffix.map_or(tag, |suffix| suffix.original_in(tag));
        self.by_tag
            .entry(original.as_str())
            .and_modify(|image| image.latest = image.latest.max(suffix))
            .or_insert_with(|| Original::new(place, original, suffix));
    }
}

/// Which entry of a rule a tag is collected on account of.
pub(super) struct Collector<'a> {
    /// The place of `*`.
    all: Option<usize>,
    /// Those that are there as tags; the others collect nothing.
    literals: Literals<'a>,
    convention: TagConvention,
    tags: &'a TagSet,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        selectors: &'a [Selector],
        convention: TagConvention,
        tags: &'a TagSet,
    ) -> Self {
        let literals = (0..).zip(selectors).filter_map(|(place, selector)| {
            let literal = selector.as_literal()?.as_str();
            tags.contains(literal).then_some((literal, place))
        });
        Self {
            all: selectors.iter().position(|one| *one == Selector::All),
            literals: Literals::new(literals),
            convention,
            tags,
        }
    }

    /// The first entry that collects `tag`: `^literal(suffix)?$`, where a `.` of the literal is
    /// any one character.
    fn first(&self, tag: TagRef<'_>) -> Option<usize> {
        let tag = tag.as_str();
        let last_dash = tag.rfind('-');
        let split = last_dash.and_then(|at| tag.split_at_checked(at));
        let front = split.filter(|(_, suffix)| is_suffix(suffix, self.convention));
        let front = front.and_then(|(front, _)| self.literals.first(front));
        let whole = self.literals.first(tag);
        [self.all, whole, front].into_iter().flatten().min()
    }

    /// The first entry on account of which the service lists the image `original`: because it
    /// collects the original, or a patch of it.
    pub(super) fn first_that_lists(&self, original: TagRef<'_>) -> Option<usize> {
        let itself = self.tags.contains(original.as_str());
        let itself = itself.then(|| self.first(original)).flatten();
        let block = format!("{original}-");
        let patches = self.tags.starting_with(&block).filter(|(_, tag)| {
            let patch = self.convention.parse(*tag);
            patch.is_some_and(|patch| patch.original() == original)
        });
        let patches = patches.filter_map(|(_, tag)| self.first(tag));
        patches.chain(itself).chain(self.all).min()
    }
}

/// `-[1-9][0-9]{0,2}`, or `-patched[0-9]*` for the floating convention.
fn is_suffix(text: &str, convention: TagConvention) -> bool {
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match convention {
        TagConvention::Incremental => text.strip_prefix('-').is_some_and(|number| {
            (1..=3).contains(&number.len()) && all_digits(number) && !number.starts_with('0')
        }),
        TagConvention::Floating => text.strip_prefix("-patched").is_some_and(all_digits),
    }
}
