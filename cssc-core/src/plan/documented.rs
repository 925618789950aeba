//! What the documentation says a rule selects.

use std::collections::{BTreeMap, BTreeSet};

use super::globs::Globs;
use super::{RulePlan, SkipReason, SkippedTag};
use crate::inventory::{Inventory, Listing};
use crate::name::Repository;
use crate::policy::Policy;
use crate::policy::Selector;
use crate::tags::TagSet;
use crate::tags::{Lineages, Original};
use crate::tags::{TagConvention, next_suffix};

/// Plans every rule, in order: what an earlier rule listed, a later one does not list again.
pub(super) fn plan_rules(policy: &Policy, inventory: &Inventory) -> Vec<RulePlan> {
    let convention = policy.tag_convention();
    let mut found: BTreeMap<&Repository, FoundRepository> = BTreeMap::new();
    let mut unavailable: BTreeSet<&Repository> = BTreeSet::new();
    let mut not_found: BTreeSet<(&Repository, &str)> = BTreeSet::new();
    let mut plans = Vec::with_capacity(policy.rules().len());
    for rule in policy.rules() {
        let mut plan = RulePlan::new(rule);
        let repository = rule.repository();
        if rule.is_enabled() {
            match inventory.listing(repository) {
                Listing::Found(tags) => {
                    plan.tags = tags.clone();
                    found
                        .entry(repository)
                        .or_insert_with(|| FoundRepository::new(tags, convention))
                        .list(rule.selectors(), &mut plan);
                }
                Listing::Absent => plan.not_found = (0..rule.selectors().len()).collect(),
                Listing::Unavailable(error) => {
                    plan.unavailable = unavailable.insert(repository).then(|| error.clone());
                }
            }
        }
        plan.not_found.retain(|&index| {
            let selector = rule.selectors().get(index).map(Selector::as_str);
            selector.is_some_and(|selector| not_found.insert((repository, selector)))
        });
        plans.push(plan);
    }
    plans
}

/// A repository with its tags told apart, and what has been listed of it so far.
struct FoundRepository {
    lineages: Lineages,
    /// Whether the tag at a place is listed, under this rule or an earlier one.
    listed: Vec<bool>,
}

impl FoundRepository {
    fn new(tags: &TagSet, convention: TagConvention) -> Self {
        Self {
            lineages: Lineages::new(tags, convention),
            listed: vec![false; tags.len()],
        }
    }

    /// Lists in `plan` what `selectors` select and is not listed yet.
    fn list(&mut self, selectors: &[Selector], plan: &mut RulePlan) {
        let Self { lineages, listed } = self;
        let takes_all = selectors.contains(&Selector::All);
        if takes_all {
            plan.images.reserve_exact(lineages.originals().len());
        }
        let mut is_new = |place: usize| {
            listed
                .get_mut(place)
                .is_some_and(|listed| !std::mem::replace(listed, true))
        };
        let mut list_original = |original: &Original| {
            if is_new(original.place) {
                let len = usize::from(original.len);
                match next_suffix(len, lineages.convention(), original.latest) {
                    Ok(_) => plan.images.push(*original),
                    Err(cause) => plan.skipped.push(SkippedTag {
                        place: original.place,
                        reason: cause.into(),
                    }),
                }
            }
        };
        let base_missing = |place| SkippedTag {
            place,
            reason: SkipReason::BaseMissing,
        };
        let without_base = lineages.base_missing_places().iter().copied();

        if takes_all {
            lineages.originals().iter().for_each(list_original);
            plan.skipped.extend(
                without_base
                    .filter(|&place| is_new(place))
                    .map(base_missing),
            );
        } else {
            let globs = Globs::of(selectors);
            let chosen = choose(selectors, &globs, lineages, &mut plan.not_found);
            for index in chosen {
                lineages.originals().get(index).map(&mut list_original);
            }
            let takes_in = |place| {
                let tag = lineages.tags().get(place);
                tag.is_some_and(|tag| globs.match_patch(tag))
            };
            plan.skipped.extend(
                without_base
                    .filter(|&place| takes_in(place) && is_new(place))
                    .map(base_missing),
            );
        }
        // Two ascending runs: a stable sort merges them.
        plan.skipped.sort_by_key(|skipped| skipped.place);
    }
}

/// The originals that literals and globs choose, by index, in order; and the selectors that
/// choose none.
fn choose(
    selectors: &[Selector],
    globs: &Globs<'_>,
    lineages: &Lineages,
    not_found: &mut Vec<usize>,
) -> Vec<usize> {
    let mut chosen = Vec::new();
    let mut chooses = vec![false; selectors.len()];
    for (selector, chooses) in selectors.iter().zip(&mut chooses) {
        if let Selector::Literal(tag) = selector {
            let place = lineages.position(tag.as_str());
            chosen.extend(place);
            // One that is there and no original, such as an attachment, is no image, and neither
            // is it missing.
            *chooses = place.is_some() || lineages.tags().contains(tag.as_str());
        }
    }
    if !globs.is_empty() {
        let mut matcher = globs.matcher();
        for (index, lineage) in lineages.iter().enumerate() {
            let mut is_chosen = false;
            matcher.for_each_match(lineage.original(), |selector| {
                is_chosen = true;
                if let Some(chooses) = chooses.get_mut(selector) {
                    *chooses = true;
                }
            });
            if is_chosen {
                chosen.push(index);
            }
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    not_found.extend(
        (0..)
            .zip(&chooses)
            .filter(|(_, chooses)| !**chooses)
            .map(|(index, _)| index),
    );
    chosen
}
