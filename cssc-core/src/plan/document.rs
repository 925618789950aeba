//! A plan as the JSON document that `cssc dry-run` prints.

use chrono::{DateTime, Utc};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::{Image, Plan};
use crate::schedule::rfc3339;

/// A plan and, where there is a schedule, its next run, in the shape of the JSON output.
///
/// Rows are written one by one as they are serialised, so a large plan needs no second copy.
///
/// ```
/// use cssc_core::{Policy, Inventory, Plan, PlanOptions};
/// use cssc_core::plan::PlanDocument;
///
/// let policy: Policy = r#"{"version": "v1", "repositories": [
///     {"repository": "python", "tags": ["3.11"]}]}"#.parse()?;
/// let plan = Plan::new(&policy, &Inventory::default(), &PlanOptions::default());
/// let json = serde_json::to_string(&PlanDocument::new(&plan, None))?;
/// assert!(json.contains(r#""notFound":[{"repository":"python","tag":"3.11"}]"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PlanDocument<'a> {
    plan: &'a Plan,
    next_run: Option<DateTime<Utc>>,
}

impl<'a> PlanDocument<'a> {
    /// The document of `plan`; `nextRun` is in it when `next_run` is given.
    pub fn new(plan: &'a Plan, next_run: Option<DateTime<Utc>>) -> Self {
        Self { plan, next_run }
    }
}

impl Serialize for PlanDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.plan;
        let mut document = serializer.serialize_struct("Plan", 10)?;
        document.serialize_field("dialect", &plan.dialect())?;
        document.serialize_field("tagConvention", &plan.tag_convention())?;
        document.serialize_field("images", &Rows(|| plan.images()))?;
        document.serialize_field("skipped", &Rows(|| plan.skipped()))?;
        document.serialize_field("notFound", &Rows(|| plan.not_found()))?;
        document.serialize_field("unavailable", &Rows(|| plan.unavailable()))?;
        document.serialize_field("matches", &plan.matches())?;
        document.serialize_field("limit", &plan.limit().get())?;
        document.serialize_field("limitExceeded", &plan.limit_exceeded())?;
        match self.next_run {
            Some(next_run) => {
                document.serialize_field("nextRun", &rfc3339(next_run))?;
            }
            None => document.skip_field("nextRun")?,
        }
        document.end()
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PlanDocument::new(self, None).serialize(serializer)
    }
}

impl Serialize for Image<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut image = serializer.serialize_struct("Image", 5)?;
        image.serialize_field("repository", self.repository())?;
        image.serialize_field("tag", &self.tag())?;
        image.serialize_field("latestPatch", &self.latest_patch())?;
        image.serialize_field("scanTag", &self.scan_tag())?;
        image.serialize_field("patchTag", &self.patch_tag().ok())?;
        image.end()
    }
}

/// A sequence whose rows are made while it is written.
struct Rows<F>(F);

impl<F, I> Serialize for Rows<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}
