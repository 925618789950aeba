//! Why a tag is or is not patched: a verdict for every tag, and the rule that decided it.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::globs::Globs;
use super::service::Collector;
use super::{Plan, RulePlan, SkipReason};
use crate::dialect::Dialect;
use crate::inventory::{Inventory, Listing};
use crate::name::{Repository, TagRef};
use crate::policy::Selector;
use crate::tags::{AuxiliaryTag, PatchNumber, Suffix, TagConvention, TagSet};

/// What became of one tag, and why.
///
/// Displays as a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict<'a> {
    /// It is an image of the plan.
    Selected,
    /// A rule takes it in, but it cannot be patched.
    Skipped(SkipReason),
    /// It is a patch, under the policy's convention, of an original that is there.
    PatchOf {
        /// The original.
        original: TagRef<'a>,
        /// Whether the original is an image of the plan.
        is_selected: bool,
    },
    /// It looks like a patch of a tag that is not there.
    BaseMissing {
        /// The tag it looks like a patch of.
        original: TagRef<'a>,
        /// Whether it looks like a date, such as `2024-01-15`, so that somebody likely meant one.
        is_date: bool,
    },
    /// It looks like a patch of a tag that is never an original: reserved for patches, or auxiliary.
    BaseReserved {
        /// The tag it looks like a patch of.
        original: TagRef<'a>,
    },
    /// It is reserved for patches of the convention that the policy does not use.
    OtherConvention {
        /// The convention it is reserved by.
        convention: TagConvention,
    },
    /// It belongs to another image: a signature, an attestation, an SBOM.
    Attachment,
    /// It is one platform of a patch whose original is there.
    PlatformCopy {
        /// The patch tag.
        patch: TagRef<'a>,
    },
    /// Only a rule that is disabled takes it in.
    RuleDisabled,
    /// No rule takes it in.
    NotSelected,
}

impl Verdict<'_> {
    /// The verdict's name as it is written in JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Selected => "selected",
            Self::Skipped(reason) => reason.as_str(),
            Self::PatchOf { .. } => "patch",
            Self::BaseMissing { .. } => "base-missing",
            Self::BaseReserved { .. } => "base-reserved",
            Self::OtherConvention { .. } => "other-convention",
            Self::Attachment => "attachment",
            Self::PlatformCopy { .. } => "platform-copy",
            Self::RuleDisabled => "rule-disabled",
            Self::NotSelected => "not-selected",
        }
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selected => f.write_str("selected"),
            Self::Skipped(reason) => write!(f, "skipped: {}", reason.describe()),
            Self::PatchOf {
                original,
                is_selected: true,
            } => write!(f, "patch of `{original}`"),
            Self::PatchOf {
                original,
                is_selected: false,
            } => write!(f, "patch of `{original}`, which is not selected"),
            Self::BaseMissing { original, is_date } => {
                write!(f, "looks like a patch of `{original}`, which does not exist")?;
                if *is_date {
                    f.write_str("; if a date is meant, write it without dashes, as in `20240115`")?;
                }
                Ok(())
            }
            Self::BaseReserved { original } => {
                let itself = match Suffix::of(*original) {
                    Some(_) => "itself a patch tag and ",
                    None => "",
                };
                write!(f, "looks like a patch of `{original}`, which is {itself}never an original")
            }
            Self::OtherConvention { convention } => write!(
                f,
                "reserved for patches of the {convention} convention, which the policy does not use"
            ),
            Self::Attachment => f.write_str(
                "never an original: it is attached to another image, as signatures, attestations and SBOMs are",
            ),
            Self::PlatformCopy { patch } => {
                write!(f, "never an original: it is patch `{patch}` for one platform")
            }
            Self::RuleDisabled => f.write_str("not selected: the rule that names it is disabled"),
            Self::NotSelected => f.write_str("not selected by any rule"),
        }
    }
}

/// A tag of a repository in the policy, its verdict, and the entry of the policy that decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The tag.
    pub tag: TagRef<'a>,
    /// What became of it.
    pub verdict: Verdict<'a>,
    /// The entry that decided, if one did.
    pub decided_by: Option<SelectorRef<'a>>,
}

/// An entry of a rule's `tags`, and where it stands. Displays as a JSON pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectorRef<'a> {
    /// The index of the rule among the policy's `repositories`.
    pub rule: usize,
    /// The index of the entry among the rule's `tags`.
    pub index: usize,
    /// The entry.
    pub selector: &'a Selector,
}

impl fmt::Display for SelectorRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/repositories/{}/tags/{}", self.rule, self.index)
    }
}

impl Serialize for Explanation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Text<T>(T);
        impl<T: fmt::Display> Serialize for Text<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }
        let mut row = serializer.serialize_struct("Explanation", 6)?;
        row.serialize_field("repository", self.repository)?;
        row.serialize_field("tag", &self.tag)?;
        row.serialize_field("verdict", self.verdict.as_str())?;
        row.serialize_field("explanation", &Text(self.verdict))?;
        row.serialize_field("rule", &self.decided_by.map(Text))?;
        row.serialize_field("selector", &self.decided_by.map(|by| by.selector))?;
        row.end()
    }
}

impl Plan {
    /// A verdict for every tag of every repository in the policy, disabled rules included, with
    /// repositories and tags in byte order.
    ///
    /// `inventory` is the one the plan was made from; it may have been completed with the
    /// repositories that only disabled rules name, which planning does not need.
    pub fn explain<'a>(
        &'a self,
        inventory: &'a Inventory,
    ) -> impl Iterator<Item = Explanation<'a>> + 'a {
        let mut by_repository: BTreeMap<&Repository, Vec<(usize, &RulePlan)>> = BTreeMap::new();
        for (index, plan) in self.rules.iter().enumerate() {
            by_repository
                .entry(plan.rule.repository())
                .or_default()
                .push((index, plan));
        }
        by_repository
            .into_iter()
            .filter_map(|(repository, rules)| match inventory.listing(repository) {
                Listing::Found(tags) => Some((repository, rules, tags)),
                Listing::Absent | Listing::Unavailable(_) => None,
            })
            .flat_map(|(repository, rules, tags)| {
                let judge = Judge::new(self, tags, rules);
                tags.iter().map(move |tag| {
                    let (verdict, decided_by) = judge.verdict(tag);
                    Explanation {
                        repository,
                        tag,
                        verdict,
                        decided_by,
                    }
                })
            })
    }
}

/// Judges the tags of one repository by what the plan lists of it.
struct Judge<'a> {
    dialect: Dialect,
    convention: TagConvention,
    tags: &'a TagSet,
    /// The rules of the repository, with their indexes in the policy, and which of their entries
    /// takes in a tag.
    rules: Vec<(usize, &'a RulePlan, Entries<'a>)>,
    /// What the plan lists: the rule, by its place in `rules`, and why it skips the tag if so.
    listed: BTreeMap<&'a str, (usize, Option<SkipReason>)>,
}

impl<'a> Judge<'a> {
    fn new(plan: &Plan, tags: &'a TagSet, rules: Vec<(usize, &'a RulePlan)>) -> Self {
        let convention = plan.convention;
        let mut listed = BTreeMap::new();
        for (at, (_, plan)) in rules.iter().enumerate() {
            for image in &plan.images {
                if let Some(lineage) = image.lineage_in(&plan.tags, convention) {
                    listed.insert(lineage.original().as_str(), (at, None));
                }
            }
            for skipped in &plan.skipped {
                if let Some(tag) = plan.tags.get(skipped.place) {
                    listed.insert(tag.as_str(), (at, Some(skipped.reason)));
                }
            }
        }
        let dialect = plan.dialect();
        let rules = rules.into_iter().map(|(index, plan)| {
            let selectors = plan.rule.selectors();
            let entries = Entries::new(selectors, dialect, convention, tags);
            (index, plan, entries)
        });
        Self {
            dialect,
            convention,
            tags,
            rules: rules.collect(),
            listed,
        }
    }

    fn verdict(&self, tag: TagRef<'a>) -> (Verdict<'a>, Option<SelectorRef<'a>>) {
        if let Some(verdict) = self.auxiliary(tag) {
            return (verdict, None);
        }
        let listed = self.listed.get(tag.as_str());
        let decided_by = listed.and_then(|&(at, _)| self.decided_by(at, tag));
        match listed {
            Some((_, None)) => return (Verdict::Selected, decided_by),
            // Which base is missing is worked out below.
            Some((_, Some(SkipReason::BaseMissing))) | None => {}
            Some(&(_, Some(reason))) => return (Verdict::Skipped(reason), decided_by),
        }
        match Suffix::of(tag) {
            Some(suffix) if suffix.convention() == self.convention => {
                let original = suffix.original_in(tag);
                match self.listed.get(original.as_str()) {
                    Some(&(at, reason)) if reason != Some(SkipReason::BaseMissing) => {
                        let is_selected = true;
                        let verdict = Verdict::PatchOf {
                            original,
                            is_selected,
                        };
                        (verdict, self.decided_by(at, original))
                    }
                    _ => (self.unlisted_patch(tag, suffix), decided_by),
                }
            }
            Some(suffix) => {
                let convention = suffix.convention();
                (Verdict::OtherConvention { convention }, None)
            }
            None => self.unlisted_original(tag),
        }
    }

    /// The verdict on a tag that stands for no image. The service knows nothing of attachments
    /// and platform copies.
    fn auxiliary(&self, tag: TagRef<'a>) -> Option<Verdict<'a>> {
        match (AuxiliaryTag::of(tag, self.tags)?, self.dialect) {
            (_, Dialect::Service) => None,
            (AuxiliaryTag::Attachment, _) => Some(Verdict::Attachment),
            (AuxiliaryTag::PlatformCopy { patch }, _) => Some(Verdict::PlatformCopy { patch }),
        }
    }

    /// The verdict on a patch tag whose original the plan does not list.
    fn unlisted_patch(&self, tag: TagRef<'a>, suffix: Suffix) -> Verdict<'a> {
        let original = suffix.original_in(tag);
        if Suffix::of(original).is_some() || self.auxiliary(original).is_some() {
            Verdict::BaseReserved { original }
        } else if self.tags.contains(original.as_str()) {
            let is_selected = false;
            Verdict::PatchOf {
                original,
                is_selected,
            }
        } else {
            let is_date = reads_as_date(original, suffix);
            Verdict::BaseMissing { original, is_date }
        }
    }

    /// The verdict on an original that the plan does not list.
    fn unlisted_original(&self, tag: TagRef<'a>) -> (Verdict<'a>, Option<SelectorRef<'a>>) {
        let disabled = (0..)
            .zip(&self.rules)
            .filter(|(_, (_, plan, _))| !plan.rule.is_enabled())
            .find_map(|(at, _)| self.decided_by(at, tag));
        match disabled {
            Some(selector) => (Verdict::RuleDisabled, Some(selector)),
            None => (Verdict::NotSelected, None),
        }
    }

    /// The first entry of the rule at `at` on account of which `tag` is listed, or would be.
    fn decided_by(&self, at: usize, tag: TagRef<'a>) -> Option<SelectorRef<'a>> {
        let (rule, plan, entries) = self.rules.get(at)?;
        let index = entries.first(tag)?;
        Some(SelectorRef {
            rule: *rule,
            index,
            selector: plan.rule.selectors().get(index)?,
        })
    }
}

/// The entries of a rule, all looked up at once.
enum Entries<'a> {
    Documented {
        all: Option<usize>,
        literals: BTreeMap<&'a str, usize>,
        globs: Globs<'a>,
    },
    Service(Collector<'a>),
}

impl<'a> Entries<'a> {
    fn new(
        selectors: &'a [Selector],
        dialect: Dialect,
        convention: TagConvention,
        tags: &'a TagSet,
    ) -> Self {
        match dialect {
            Dialect::Service => Self::Service(Collector::new(selectors, convention, tags)),
            Dialect::Documented => {
                let literals = (0..selectors.len()).zip(selectors).rev();
                let literals = literals
                    .filter_map(|(index, selector)| Some((selector.as_literal()?.as_str(), index)));
                Self::Documented {
                    all: selectors.iter().position(|one| *one == Selector::All),
                    // Of equal ones the first is put in last and stays.
                    literals: literals.collect(),
                    globs: Globs::of(selectors),
                }
            }
        }
    }

    /// The first that takes in `tag`, or would.
    fn first(&self, tag: TagRef<'_>) -> Option<usize> {
        match self {
            Self::Service(collector) => collector.first_that_lists(tag),
            // A literal names an original alone; a glob takes in patches of what it would select.
            Self::Documented {
                all,
                literals,
                globs,
            } => {
                let mut first = literals.get(tag.as_str()).copied();
                first = first.into_iter().chain(*all).min();
                globs.for_each_match_of_patch(tag, |index| {
                    first = Some(first.map_or(index, |first| first.min(index)));
                });
                first
            }
        }
    }
}

/// Whether original and suffix together read as a date: `2024-01` and `-15`, `2024` and `-11`.
fn reads_as_date(original: TagRef<'_>, suffix: Suffix) -> bool {
    let Some(number) = suffix.number().map(PatchNumber::get) else {
        return false;
    };
    let is_year = |text: &str| {
        let year = text.rsplit(|c: char| !c.is_ascii_digit()).next();
        year.is_some_and(|year| {
            year.len() == 4 && (year.starts_with("19") || year.starts_with("20"))
        })
    };
    match original.as_str().rsplit_once('-') {
        Some((front, month)) if is_year(front) => {
            number <= 31
                && month
                    .parse()
                    .is_ok_and(|month: u8| (1..=12).contains(&month))
        }
        _ => is_year(original.as_str()) && number <= 12,
    }
}
