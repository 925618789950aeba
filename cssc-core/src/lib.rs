//! Continuous patching of container images, as pure functions.
//!
//! Continuous patching keeps a registry's images free of known OS vulnerabilities: a policy
//! selects tags, a schedule triggers cycles, each cycle scans the newest patched version of every
//! image and, where something fixable is found, builds a patched image under a new tag. This
//! crate decides all of that and does none of it: it takes tags as data, scan reports as bytes
//! and "now" as an argument.
//!
//! | question | answered by |
//! |---|---|
//! | is this a valid tag, repository, registry? | [`Tag`], [`Repository`], [`Registry`] |
//! | is it a patch, and of what? what comes next? | [`TagConvention`], [`Lineages`] |
//! | what does the policy say, and what is wrong with it? | [`Config`], [`Diagnostic`] |
//! | what is scanned, and what would a patch be called? why not? | [`Plan`], [`Verdict`] |
//! | when does the workflow run? | [`Schedule`] |
//! | what follows from this scan? was the patch worth a tag? | [`ScanReport`], [`Evidence`] |
//! | what is to be done now? | [`Cycle`] |
//!
//! ```
//! use cssc_core::{Config, Inventory, Plan, PlanOptions};
//!
//! let config: Config = r#"{"version": "v1", "repositories": [
//!     {"repository": "python", "tags": ["3.*"]}]}"#.parse()?;
//! let inventory = Inventory::from_json(br#"{"python": ["3.11", "3.11-1", "3.12"]}"#)?;
//! for image in Plan::new(&config, &inventory, &PlanOptions::default()).images() {
//!     println!("scan {}, patch to {}", image.scan_tag(), image.patch_tag()?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - No I/O, clock, environment, thread, or global state; everything is `Send + Sync`.
//! - The same input gives the same output, byte for byte.
//! - No input makes it panic, hang, or grow without bound.
//!
//! # What it does not do
//!
//! It does not speak to registries, run scanners or patchers, wait, or keep state: see
//! `cssc-engine`, or do it yourself and report to [`Cycle`]. It never looks into an image.
//!
//! # Features
//!
//! `schema` (default): check policies against the JSON Schema too, with the `jsonschema` crate.
//! Without it the typed validation alone decides; it rejects all that the schema rejects.
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
pub use lineage::{ImageTag, Lineage, Lineages, NoOriginal};
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
