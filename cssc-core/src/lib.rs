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
//! | is it a patch, and of what? what comes next? is it no image at all? | [`TagConvention`], [`Lineages`](tags::Lineages), [`AuxiliaryTag`](tags::AuxiliaryTag) |
//! | what does the policy say, and what is wrong with it? | [`Policy`], [`Diagnostic`] |
//! | what is scanned, and what would a patch be called? why not? | [`Plan`], [`Verdict`](plan::Verdict) |
//! | when does the workflow run? | [`Schedule`] |
//! | what follows from this scan? was the patch worth a tag? | [`ScanReport`], [`Evidence`] |
//! | what is to be done now? | [`Cycle`] |
//!
//! ```
//! use cssc_core::{Policy, Inventory, Plan, PlanOptions};
//!
//! let policy: Policy = r#"{"version": "v1", "repositories": [
//!     {"repository": "python", "tags": ["3.*"]}]}"#.parse()?;
//! let inventory = Inventory::from_json(br#"{"python": ["3.11", "3.11-1", "3.12"]}"#)?;
//! for image in Plan::new(&policy, &inventory, &PlanOptions::default()).images() {
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
//! `schema`, off by default: `PolicySchema` checks policies against the JSON Schema too, with the
//! `jsonschema` crate. The typed validation alone rejects all that the schema rejects.
#![forbid(unsafe_code)]

pub mod cycle;
pub mod dialect;
pub mod inventory;
pub mod name;
pub mod plan;
pub mod policy;
pub mod scan;
pub mod schedule;
mod serde_text;
#[doc(hidden)]
pub mod stream;
pub mod tags;
#[doc(hidden)]
pub mod text;
pub mod workflow;

pub use cycle::Cycle;
pub use dialect::Dialect;
pub use inventory::{Inventory, Listing};
pub use name::{Digest, Registry, Repository, Tag, TagRef};
pub use plan::{Plan, PlanOptions};
pub use policy::{Diagnostic, Policy};
pub use scan::{Evidence, ScanReport};
pub use schedule::{Interval, Schedule};
pub use tags::TagConvention;
pub use workflow::Workflow;
