//! On which rows the two dialects differ, for one policy and one registry.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ImageLimit, Plan, PlanOptions};
use crate::dialect::Dialect;
use crate::inventory::Inventory;
use crate::policy::Policy;

/// A row that the two dialects do not have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DialectDifference {
    /// The list the row is in.
    pub list: PlanList,
    /// The repository.
    pub repository: String,
    /// The tag, or the entry of the policy; empty for an unavailable repository.
    pub tag: String,
    /// What the row says in the documented dialect, if it is there.
    pub documented: Option<String>,
    /// What the row says in the service dialect, if it is there.
    pub service: Option<String>,
}

/// One of the four lists of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PlanList {
    /// Images to scan; a row says from which tag to which.
    Images,
    /// Tags that cannot be patched; a row says why.
    Skipped,
    /// Entries that select nothing; a row says how often it is listed.
    NotFound,
    /// Repositories that could not be read; a row says why.
    Unavailable,
}

impl PlanList {
    /// The list's name as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Skipped => "skipped",
            Self::NotFound => "notFound",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Plans `policy` in both dialects and gives the rows that differ: list by list, repositories
/// and tags in byte order.
///
/// ```
/// use cssc_core::{Policy, Inventory};
/// use cssc_core::plan::dialect_differences;
///
/// let policy: Policy = r#"{"version": "v1", "repositories": [
///     {"repository": "python", "tags": ["*"]}]}"#.parse()?;
/// let inventory = Inventory::from_json(br#"{"python": ["2024-01-15"]}"#)?;
/// let differences = dialect_differences(&policy, &inventory);
/// // The service takes the date for patch 15 of an image `2024-01`.
/// assert_eq!(differences[0].tag, "2024-01");
/// assert_eq!(differences[0].documented, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn dialect_differences(policy: &Policy, inventory: &Inventory) -> Vec<DialectDifference> {
    let [documented, service] = Dialect::ALL.map(|dialect| {
        let limit = ImageLimit::NONE;
        Plan::new(policy, inventory, &PlanOptions { dialect, limit })
    });
    let documented = rows(&documented);
    let mut service = rows(&service);
    let mut differences = Vec::new();
    for (key, text) in documented {
        let other = service.remove(&key);
        if other.as_ref() != Some(&text) {
            differences.push((key, Some(text), other));
        }
    }
    differences.extend(
        service
            .into_iter()
            .map(|(key, text)| (key, None, Some(text))),
    );
    differences.sort_unstable();
    differences
        .into_iter()
        .map(
            |((list, repository, tag), documented, service)| DialectDifference {
                list,
                repository,
                tag,
                documented,
                service,
            },
        )
        .collect()
}

type Key = (PlanList, String, String);

/// Every row of a plan as text, by list, repository and tag.
fn rows(plan: &Plan) -> BTreeMap<Key, String> {
    let key = |list, repository: &dyn ToString, tag: &dyn ToString| {
        (list, repository.to_string(), tag.to_string())
    };
    let mut rows = BTreeMap::new();
    for image in plan.images() {
        let patch = match image.patch_tag() {
            Ok(patch) => patch.to_string(),
            Err(cause) => cause.to_string(),
        };
        rows.insert(
            key(PlanList::Images, image.repository(), &image.tag()),
            format!("{} -> {patch}", image.scan_tag()),
        );
    }
    for skipped in plan.skipped() {
        rows.insert(
            key(PlanList::Skipped, skipped.repository, &skipped.tag),
            skipped.reason.to_string(),
        );
    }
    let mut times: BTreeMap<Key, usize> = BTreeMap::new();
    for not_found in plan.not_found() {
        let key = key(PlanList::NotFound, not_found.repository, not_found.selector);
        let times = times.entry(key).or_default();
        *times = times.saturating_add(1);
    }
    rows.extend(times.into_iter().map(|(key, times)| match times {
        1 => (key, "not found".to_owned()),
        _ => (key, format!("not found, {times} times")),
    }));
    for unavailable in plan.unavailable() {
        rows.insert(
            key(PlanList::Unavailable, unavailable.repository, &""),
            unavailable.error.to_string(),
        );
    }
    rows
}
