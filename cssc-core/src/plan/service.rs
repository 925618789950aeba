//! What the deployed service was observed to select.
//!
//! Its quirks stay in this file. They follow from how the service works: it groups the tags it
//! collects by what stands before the patch suffix, whether or not that is a tag; it builds a
//! regular expression from a literal without escaping the `.`; it keeps only the first of two
//! images whose `repository-tag-latestPatch` is the same text; and it takes a failed listing for
//! an empty one.

use std::collections::{BTreeMap, BTreeSet};

use super::{RulePlan, SkipReason, SkippedTag};
use crate::inventory::{Inventory, Listing};
use crate::name::TagRef;
use crate::policy::Selector;
use crate::policy::{Policy, Rule};
use crate::tags::Original;
use crate::tags::{NoNextTag, Suffix, TagConvention, next_suffix};
use crate::tags::{TagSet, is_candidate};

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
    let mut images = Images::new(convention);
    for (index, selector) in rule.selectors().iter().enumerate() {
        match selector {
            Selector::All => {
                for (place, tag) in tags.iter().enumerate() {
                    images.collect(place, tag);
                }
            }
            Selector::Literal(literal) if tags.contains(literal.as_str()) => {
                for (place, tag) in belonging_to(literal.as_str(), convention, &tags) {
                    images.collect(place, tag);
                }
            }
            // No tag has the name of a glob.
            Selector::Literal(_) | Selector::Glob(_) => plan.not_found.push(index),
        }
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
        if is_candidate(tag.as_str()) {
            return;
        }
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

/// The tags that belong to `literal`, with their places.
fn belonging_to<'a>(
    literal: &str,
    convention: TagConvention,
    tags: &'a TagSet,
) -> impl Iterator<Item = (usize, TagRef<'a>)> {
    let fixed = literal.split('.').next().unwrap_or_default();
    tags.starting_with(fixed)
        .filter(move |(_, tag)| belongs(*tag, literal, convention))
}

/// Whether `tag` matches `^literal(suffix)?$`, where a `.` of the literal is any one character.
fn belongs(tag: TagRef<'_>, literal: &str, convention: TagConvention) -> bool {
    let Some((front, rest)) = tag.as_str().split_at_checked(literal.len()) else {
        return false;
    };
    let matches_literal = literal
        .bytes()
        .zip(front.bytes())
        .all(|(expected, byte)| expected == b'.' || expected == byte);
    matches_literal && (rest.is_empty() || is_suffix(rest, convention))
}

/// Whether the service lists the image `original` on account of `selector`: because it collects
/// the original, or a patch of it.
pub(super) fn lists(
    selector: &Selector,
    original: TagRef<'_>,
    convention: TagConvention,
    tags: &TagSet,
) -> bool {
    match selector {
        Selector::All => true,
        Selector::Glob(_) => false,
        Selector::Literal(literal) => {
            let literal = literal.as_str();
            let collects = |tag| belongs(tag, literal, convention);
            let block = format!("{original}-");
            tags.contains(literal)
                && (tags.contains(original.as_str()) && collects(original)
                    || tags.starting_with(&block).any(|(_, tag)| {
                        let patch = convention.parse(tag);
                        patch.is_some_and(|patch| patch.original() == original) && collects(tag)
                    }))
        }
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
