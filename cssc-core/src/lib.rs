//! Continuous patching of container images, as pure functions.
#![forbid(unsafe_code)]

mod config;
mod convention;
mod dialect;
mod inventory;
mod lineage;
mod name;
mod pattern;
mod plan;
mod scan;
mod schedule;
mod serde_text;
mod tag_set;
mod workflow;

pub use config::{
    Checked, Code, Config, ConfigError, Diagnostic, Location, MAX_POLICY_LEN, POLICY_SCHEMA,
    POLICY_TEMPLATE, Rule, Severity,
};
pub use convention::{NoNextTag, PatchNumber, PatchTag, Suffix, TagConvention, TagConventionError};
pub use dialect::{Dialect, DialectError};
pub use inventory::{Inventory, InventoryError, Listing};
pub use lineage::{ImageTag, Lineage, Lineages};
pub use name::{MAX_REPOSITORY_LEN, MAX_TAG_LEN, NameError, Registry, Repository, Tag, TagRef};
pub use pattern::{Glob, Selector, SelectorError};
pub use plan::{
    DEFAULT_LIMIT, DialectDifference, Explanation, Image, NotFound, Plan, PlanDocument, PlanList,
    PlanOptions, SelectorRef, SkipReason, Skipped, Unavailable, Verdict, dialect_differences,
};
pub use scan::{
    Evidence, Finding, ImageOs, PublishVerdict, ScanError, ScanReport, ScanSkip, ScanUnsupported,
    ScanVerdict, SeverityCount, VulnerabilitySeverity, Withheld,
};
pub use schedule::{Interval, IntervalError, Runs, Schedule, ScheduleDifference};
pub use tag_set::{TagSet, TagSetBuilder};
pub use workflow::{
    Cause, Change, Cycle, CycleError, CycleImage, CycleOptions, CycleRecord, CycleReport, Next,
    NothingToUpdate, Outcome, Owner, OwnerError, PublishDecision, Reason, RowStatus, Run, RunId,
    RunIdError, ScanDecision, Status, StatusFilter, StatusFilterError, StatusRow, Step, Summary,
    Task, TaskError, WORKFLOW_TYPE, Work, Workflow, is_candidate,
};
