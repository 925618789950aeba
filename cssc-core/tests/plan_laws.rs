//! Laws that every plan keeps, on random policies and registries.
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet};

use cssc_core::tags::{ARCHITECTURES, Suffix, TagSet};
use cssc_core::{Dialect, Inventory, Listing, Plan, PlanOptions, Policy, TagConvention, TagRef};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde_json::json;

type Tags = BTreeMap<String, BTreeSet<String>>;

/// Tags that touch every rule: patches, patches of patches, dates, zeros, both conventions.
fn tag() -> impl Strategy<Value = String> {
    let plain = "[ab]([.x][ab])?(-(slim|2024|01|0|012|1000))?(-[1-3])?(-patched2?)?(-(9|99[89]))?";
    prop_oneof![
        8 => plain,
        1 => "[ab](-[12]){1,2}(-patched)?-(amd64|arm64-v8|386)(-1)?",
        1 => "(\\.sig)?(-1)?".prop_map(|end| format!("{ATTACHMENT}{end}")),
        1 => "cssc-candidate-[ab](-1)?(-amd64)?",
    ]
}

const ATTACHMENT: &str = "sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn tags() -> impl Strategy<Value = Tags> {
    btree_map("[rs]", btree_set(tag(), 0..25), 0..3)
}

fn selectors() -> impl Strategy<Value = Vec<String>> {
    let entry = prop_oneof![tag(), "[ab]\\*", "\\*-slim", "\\{a,b\\}", "a\\.\\?"];
    prop_oneof![
        Just(vec!["*".to_owned()]),
        vec(entry, 1..5).prop_map(|mut entries| {
            entries.retain(|entry| entry.parse::<cssc_core::policy::Selector>().is_ok());
            entries.sort();
            entries.dedup();
            if entries.is_empty() {
                vec!["*".to_owned()]
            } else {
                entries
            }
        }),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    (
        any::<bool>(),
        vec(("[rst]", selectors(), prop::bool::weighted(0.8)), 1..4),
    )
        .prop_map(|(floating, rules)| {
            let mut rules: Vec<_> = rules
                .into_iter()
                .map(|(repository, tags, enabled)| {
                    json!({"repository": repository, "tags": tags, "enabled": enabled})
                })
                .collect();
            let mut seen = BTreeSet::new();
            rules.retain(|rule| seen.insert(rule.to_string()));
            let convention = if floating { "floating" } else { "incremental" };
            json!({"version": "v1", "tag-convention": convention, "repositories": rules})
                .to_string()
                .parse()
                .unwrap()
        })
}

/// A policy with none of the entries on which the dialects differ.
fn plain_policy() -> impl Strategy<Value = Policy> {
    let literals = btree_set("[ab](-slim)?", 1..4).prop_map(Vec::from_iter);
    let selectors = prop_oneof![Just(vec!["*".to_owned()]), literals];
    btree_map("[rst]", (selectors, any::<bool>()), 1..4).prop_map(|rules| {
        let rules: Vec<_> = rules
            .into_iter()
            .map(|(repository, (tags, enabled))| {
                json!({"repository": repository, "tags": tags, "enabled": enabled})
            })
            .collect();
        let policy = json!({"version": "v1", "repositories": rules});
        policy.to_string().parse().unwrap()
    })
}

fn inventory(tags: &Tags) -> Inventory {
    tags.iter()
        .map(|(name, tags)| {
            let tags = TagSet::new(tags).unwrap();
            (name.parse().unwrap(), Listing::Found(tags))
        })
        .collect()
}

fn plan(policy: &Policy, tags: &Tags, dialect: Dialect) -> Plan {
    let options = PlanOptions {
        dialect,
        ..PlanOptions::default()
    };
    Plan::new(policy, &inventory(tags), &options)
}

fn json(plan: &Plan) -> String {
    serde_json::to_string(plan).unwrap()
}

fn is_reserved(tag: &str) -> bool {
    Suffix::of(TagRef::new(tag).unwrap()).is_some()
}

/// Whether the tag is an attachment or a platform copy.
fn is_auxiliary(tag: &str, tags: &BTreeSet<String>) -> bool {
    let copy_of = |architecture: &str| {
        let patch = tag.strip_suffix(architecture)?.strip_suffix('-')?;
        let mut conventions = TagConvention::ALL.into_iter();
        let patch = conventions.find_map(|c| c.parse(TagRef::new(patch).ok()?))?;
        let original = patch.original().as_str();
        Some(tags.contains(original) && !is_reserved(original))
    };
    tag == ATTACHMENT
        || tag.starts_with(&format!("{ATTACHMENT}."))
        || ARCHITECTURES
            .iter()
            .any(|architecture| copy_of(architecture) == Some(true))
}

/// What the words of the design say, tag by tag, without any cleverness: images and skipped.
fn obvious_plan(policy: &Policy, tags: &Tags) -> (Vec<String>, Vec<String>) {
    let (mut images, mut skipped) = (Vec::new(), Vec::new());
    let convention = policy.tag_convention();
    for rule in policy.rules().iter().filter(|rule| rule.is_enabled()) {
        let repository = rule.repository().as_str();
        let Some(tags) = tags.get(repository) else {
            continue;
        };
        let selects = |tag: &str| {
            let tag = TagRef::new(tag).unwrap();
            rule.selectors()
                .iter()
                .any(|selector| selector.matches(tag))
        };
        let (mut rule_images, mut rule_skipped) = (Vec::new(), Vec::new());
        for tag in tags.iter().filter(|tag| !is_auxiliary(tag, tags)) {
            if !is_reserved(tag) {
                if selects(tag) {
                    let newest = match convention {
                        TagConvention::Floating => 0,
                        TagConvention::Incremental => (1..=999)
                            .rev()
                            .find(|n| tags.contains(&format!("{tag}-{n}")))
                            .unwrap_or(0),
                    };
                    if newest == 999 {
                        rule_skipped.push(format!("{repository}:{tag} exhausted"));
                    } else {
                        let patch = match convention {
                            TagConvention::Floating => format!("{tag}-patched"),
                            TagConvention::Incremental => format!("{tag}-{}", newest + 1),
                        };
                        rule_images.push(format!("{repository}:{tag} {patch}"));
                    }
                }
            } else if let Some(patch) = convention.parse(TagRef::new(tag).unwrap()) {
                let original = patch.original().as_str();
                let is_base_missing = !tags.contains(original)
                    || is_reserved(original)
                    || is_auxiliary(original, tags);
                let by_literal = rule.selectors().iter().all(|s| s.as_literal().is_some());
                if is_base_missing && !by_literal {
                    let takes_in = |tag: &str| {
                        let tag = TagRef::new(tag).unwrap();
                        let mut globs =
                            rule.selectors().iter().filter(|s| s.as_literal().is_none());
                        globs.any(|glob| glob.matches(tag))
                    };
                    if takes_in(tag) || takes_in(original) {
                        rule_skipped.push(format!("{repository}:{tag} base-missing"));
                    }
                }
            }
        }
        rule_images.retain(|image| !images.contains(image));
        rule_skipped.retain(|tag| !skipped.contains(tag));
        images.extend(rule_images);
        skipped.extend(rule_skipped);
    }
    (images, skipped)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_obvious_plan(policy in policy(), tags in tags()) {
        let plan = plan(&policy, &tags, Dialect::Documented);
        let images: Vec<String> = plan
            .images()
            .map(|image| format!("{}:{} {}", image.repository(), image.tag(), image.patch_tag().unwrap()))
            .collect();
        let skipped: Vec<String> = plan
            .skipped()
            .map(|skipped| format!("{}:{} {}", skipped.repository, skipped.tag, skipped.reason))
            .collect();
        prop_assert_eq!((images, skipped), obvious_plan(&policy, &tags));
    }

    #[test]
    fn the_order_of_the_tags_does_not_matter(policy in policy(), tags in tags(), seed: u64) {
        for dialect in Dialect::ALL {
            let shuffled: Inventory = tags
                .iter()
                .map(|(name, tags)| {
                    let mut tags: Vec<&String> = tags.iter().chain(tags).collect();
                    tags.sort_by_key(|tag| (tag.len() as u64 ^ seed, std::cmp::Reverse(*tag)));
                    (name.parse().unwrap(), Listing::Found(TagSet::new(tags).unwrap()))
                })
                .collect();
            let options = PlanOptions { dialect, ..PlanOptions::default() };
            let shuffled = Plan::new(&policy, &shuffled, &options);
            prop_assert_eq!(json(&plan(&policy, &tags, dialect)), json(&shuffled));
        }
    }

    #[test]
    fn a_patch_tag_is_new_and_no_original_s(policy in policy(), tags in tags()) {
        let plan = plan(&policy, &tags, Dialect::Documented);
        let mut patches = BTreeSet::new();
        for image in plan.images() {
            let patch = image.patch_tag().unwrap();
            let repository = image.repository().as_str();
            let text = patch.to_string();
            prop_assert_eq!(patch.original(), image.tag());
            prop_assert!(is_reserved(&text) && !is_reserved(image.tag().as_str()));
            if policy.tag_convention() == TagConvention::Incremental {
                prop_assert!(!tags[repository].contains(&text));
            }
            prop_assert!(patches.insert((repository.to_owned(), text)), "two images, one patch tag");
        }
    }

    #[test]
    fn after_patching_the_plan_holds_the_same_images(policy in policy(), mut tags in tags()) {
        let before = plan(&policy, &tags, Dialect::Documented);
        let patched: Vec<(String, String, String)> = before
            .images()
            .map(|image| (
                image.repository().to_string(),
                image.tag().to_string(),
                image.patch_tag().unwrap().to_string(),
            ))
            .collect();
        for (repository, _, patch) in &patched {
            tags.get_mut(repository).unwrap().insert(patch.clone());
        }
        let after = plan(&policy, &tags, Dialect::Documented);
        let mut newest: Vec<(String, String, String)> = after
            .images()
            .map(|image| (
                image.repository().to_string(),
                image.tag().to_string(),
                image.scan_tag().to_string(),
            ))
            .collect();
        // An image patched to 999 is exhausted now.
        newest.extend(patched.iter().filter(|row| row.2.ends_with("-999")).cloned());
        newest.sort();
        let mut expected = patched;
        expected.sort();
        prop_assert_eq!(newest, expected);
    }

    /// Section "two dialects" lists every difference; without its cases there is none.
    #[test]
    fn the_dialects_agree_where_no_difference_is_listed(
        policy in plain_policy(),
        tags in btree_map("[rs]", btree_set("[ab](-slim)?", 0..8), 0..3),
        patches in vec(1_u16..900, 0..4),
    ) {
        let mut tags = tags;
        for tags in tags.values_mut() {
            for original in tags.clone() {
                tags.extend(patches.iter().map(|n| format!("{original}-{n}")));
                tags.insert(format!("{original}-patched"));
            }
        }
        let [documented, service] = Dialect::ALL.map(|dialect| {
            let plan = plan(&policy, &tags, dialect);
            let mut document = serde_json::to_value(&plan).unwrap();
            document["dialect"] = json!(null);
            document
        });
        prop_assert_eq!(documented, service);
    }

    #[test]
    fn every_tag_is_explained_once(policy in policy(), tags in tags()) {
        let inventory = inventory(&tags);
        for dialect in Dialect::ALL {
            let plan = plan(&policy, &tags, dialect);
            let explained: Vec<(String, String)> = plan
                .explain(&inventory)
                .map(|row| (row.repository.to_string(), row.tag.to_string()))
                .collect();
            let expected: Vec<(String, String)> = tags
                .iter()
                .filter(|(name, _)| policy.rules().iter().any(|rule| rule.repository().as_str() == *name))
                .flat_map(|(name, tags)| tags.iter().map(move |tag| (name.clone(), tag.clone())))
                .collect();
            prop_assert_eq!(explained, expected);
            let selected: Vec<_> = plan
                .explain(&inventory)
                .filter(|row| row.verdict.as_str() == "selected")
                .collect();
            prop_assert!(selected.iter().all(|row| row.decided_by.is_some()));
            if dialect == Dialect::Documented {
                prop_assert_eq!(selected.len(), plan.matches());
            }
        }
    }

    /// Who is named as having decided would have decided alone, in the dialect of the plan.
    #[test]
    fn what_is_named_as_the_reason_is_the_reason(policy in policy(), tags in tags()) {
        let inventory = inventory(&tags);
        for dialect in Dialect::ALL {
            let whole = plan(&policy, &tags, dialect);
            let mut alone: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
            for row in whole.explain(&inventory) {
                let Some(by) = row.decided_by else { continue };
                let rows = alone.entry((by.rule, by.index)).or_insert_with(|| {
                    let policy = json!({
                        "version": "v1", "tag-convention": policy.tag_convention(),
                        "repositories": [{"repository": row.repository, "tags": [by.selector]}],
                    });
                    let plan = plan(&policy.to_string().parse().unwrap(), &tags, dialect);
                    let images = plan.images().map(|image| image.tag().to_string());
                    let skipped = plan.skipped().map(|skipped| skipped.tag.to_string());
                    images.chain(skipped).collect()
                });
                let tag = row.tag.as_str();
                let suffix = Suffix::of(row.tag).map_or(0, Suffix::len);
                let original = &tag[..tag.len() - suffix];
                prop_assert!(rows.contains(tag) || rows.contains(original), "{dialect}: {row:?}");
            }
        }
    }

    /// Whatever selects them, in no list and in no count.
    #[test]
    fn what_is_no_image_changes_no_row(policy in policy(), tags in tags()) {
        let plain: Tags = tags
            .iter()
            .map(|(name, tags)| {
                let images = tags.iter().filter(|tag| !is_auxiliary(tag, tags)).cloned();
                (name.clone(), images.collect())
            })
            .collect();
        let rows = |tags| {
            let plan = plan(&policy, tags, Dialect::Documented);
            let mut document = serde_json::to_value(&plan).unwrap();
            document["notFound"] = json!(null);
            document
        };
        prop_assert_eq!(rows(&tags), rows(&plain));
    }
}

/// So many large globs that they make no single automaton are still matched, one by one.
#[test]
fn globs_too_large_for_one_automaton() {
    let globs: Vec<String> = (0..600)
        .map(|n| format!("{n}{}*", "[a-c][d-f]?".repeat(90)))
        .chain(["x*".to_owned()])
        .collect();
    let policy: Policy =
        json!({"version": "v1", "repositories": [{"repository": "r", "tags": globs}]})
            .to_string()
            .parse()
            .unwrap();
    let tags = Tags::from([(
        "r".to_owned(),
        BTreeSet::from(["x1".to_owned(), "y".to_owned()]),
    )]);
    let plan = plan(&policy, &tags, Dialect::Documented);
    let images: Vec<&str> = plan.images().map(|image| image.tag().as_str()).collect();
    assert_eq!(images, ["x1"]);
    assert_eq!(plan.not_found().count(), 600);
}
