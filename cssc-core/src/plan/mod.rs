//! Policy and inventory into a plan: which images are scanned, and what a patch would be called.

mod difference;
mod document;
mod documented;
mod explain;
mod globs;
mod limit;
mod literals;
mod row;
mod service;

use crate::dialect::Dialect;
use crate::inventory::{Inventory, ListingError};
use crate::policy::{Policy, Rule};
use crate::tags::Original;
use crate::tags::TagConvention;
use crate::tags::TagSet;

pub use difference::{DialectDifference, PlanList, dialect_differences};
pub use document::PlanDocument;
pub use explain::{Explanation, SelectorRef, Verdict};
pub use limit::{ImageLimit, ImageLimitError, LimitExceeded};
pub use row::{Image, NotFound, SkipReason, Skipped, Unavailable};

/// What planning is told besides the policy and the inventory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Whose reading of the rules decides.
    pub dialect: Dialect,
    /// How many images a workflow may run.
    pub limit: ImageLimit,
}

/// Which images will be scanned, under which tag, and the tag a patch would get.
///
/// Images come in the order of the rules and, under one rule, in byte order of their tags; an
/// image that two rules select is listed once, under the first. The same input gives the same
/// plan. Planning is linear in the number of tags; a plan shares the text of the tags with the
/// inventory it was made from.
///
/// ```
/// use cssc_core::{Policy, Inventory, Plan, PlanOptions};
///
/// let policy: Policy = r#"{"version": "v1", "repositories": [
///     {"repository": "python", "tags": ["*"]}]}"#.parse()?;
/// let inventory = Inventory::from_json(br#"{"python": ["3.11", "3.11-1", "3.12"]}"#)?;
///
/// let plan = Plan::new(&policy, &inventory, &PlanOptions::default());
/// let rows: Vec<_> = plan
///     .images()
///     .map(|image| format!("{} -> {}", image.scan_tag(), image.patch_tag().unwrap()))
///     .collect();
/// assert_eq!(rows, ["3.11-1 -> 3.11-2", "3.12 -> 3.12-1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What a plan does not do: it never looks into an image. Whether there is something to patch is
/// for the scan to say.
#[derive(Debug, Clone)]
pub struct Plan {
    options: PlanOptions,
    convention: TagConvention,
    /// One for each rule of the policy, in order, disabled ones included.
    rules: Vec<RulePlan>,
    matches: usize,
}

/// What one rule contributes to the plan.
#[derive(Debug, Clone)]
struct RulePlan {
    rule: Rule,
    /// The tags of the rule's repository; empty unless it was found.
    tags: TagSet,
    images: Vec<Original>,
    skipped: Vec<SkippedTag>,
    /// Which selectors of the rule select nothing, by index.
    not_found: Vec<usize>,
    /// Why the repository could not be read.
    unavailable: Option<ListingError>,
}

/// A tag that was taken in but cannot be patched, by its place.
#[derive(Debug, Clone, Copy)]
struct SkippedTag {
    place: usize,
    reason: SkipReason,
}

impl RulePlan {
    fn new(rule: &Rule) -> Self {
        Self {
            rule: rule.clone(),
            tags: TagSet::default(),
            images: Vec::new(),
            skipped: Vec::new(),
            not_found: Vec::new(),
            unavailable: None,
        }
    }
}

impl Plan {
    /// Makes the plan of `policy` for the registry that `inventory` describes.
    pub fn new(policy: &Policy, inventory: &Inventory, options: &PlanOptions) -> Self {
        let rules = match options.dialect {
            Dialect::Documented => documented::plan_rules(policy, inventory),
            Dialect::Service => service::plan_rules(policy, inventory),
        };
        Self {
            options: *options,
            convention: policy.tag_convention(),
            matches: rules.iter().map(|rule| rule.images.len()).sum(),
            rules,
        }
    }

    /// Whose reading of the rules decided.
    pub fn dialect(&self) -> Dialect {
        self.options.dialect
    }

    /// How patches are tagged.
    pub fn tag_convention(&self) -> TagConvention {
        self.convention
    }

    /// The rules of the policy, in order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|plan| &plan.rule)
    }

    /// The images to scan.
    pub fn images(&self) -> impl Iterator<Item = Image<'_>> + Clone {
        self.rules.iter().flat_map(|plan| {
            plan.images.iter().filter_map(|original| {
                Some(Image {
                    repository: plan.rule.repository(),
                    lineage: original.lineage_in(&plan.tags, self.convention)?,
                })
            })
        })
    }

    /// Tags that were taken in but cannot be patched.
    pub fn skipped(&self) -> impl Iterator<Item = Skipped<'_>> + Clone {
        self.rules.iter().flat_map(|plan| {
            plan.skipped.iter().filter_map(|skipped| {
                Some(Skipped {
                    repository: plan.rule.repository(),
                    tag: plan.tags.get(skipped.place)?,
                    reason: skipped.reason,
                })
            })
        })
    }

    /// Entries of rules that select nothing.
    pub fn not_found(&self) -> impl Iterator<Item = NotFound<'_>> + Clone {
        self.rules.iter().flat_map(|plan| {
            plan.not_found.iter().filter_map(|&selector| {
                Some(NotFound {
                    repository: plan.rule.repository(),
                    selector: plan.rule.selectors().get(selector)?,
                })
            })
        })
    }

    /// Repositories whose tags could not be read, so that nothing is known of their images.
    pub fn unavailable(&self) -> impl Iterator<Item = Unavailable<'_>> + Clone {
        self.rules.iter().filter_map(|plan| {
            Some(Unavailable {
                repository: plan.rule.repository(),
                error: plan.unavailable.as_ref()?,
            })
        })
    }

    /// How many images there are. What was skipped is no match.
    pub fn matches(&self) -> usize {
        self.matches
    }

    /// How many images a workflow may run.
    pub fn limit(&self) -> ImageLimit {
        self.options.limit
    }

    /// Compares the images with the limit.
    ///
    /// # Errors
    ///
    /// Fails when there are more images than a workflow may run.
    pub fn check_limit(&self) -> Result<(), LimitExceeded> {
        let matches = u64::try_from(self.matches).unwrap_or(u64::MAX);
        self.options.limit.check(matches)
    }

    /// Whether there are more images than a workflow may run.
    pub fn limit_exceeded(&self) -> bool {
        self.check_limit().is_err()
    }
}
