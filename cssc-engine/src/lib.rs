//! Tools, state and the runner around `cssc-core`.
//!
//! The core decides; this crate acts. Each thing it acts on stands behind a small trait, so that
//! an embedder can take a part and bring another of their own.
//!
//! | module | what it touches |
//! |---|---|
//! | [`policy_artifact`] | the policy as it is kept in the registry itself |
//! | [`policy_source`] | where a cycle reads the policy: the registry, a file, a closure |
//! | [`relay`] | the registry that is served to tools: none of them touches another |
//! | [`tool`] | Trivy, Copa, Buildah or any program, as child processes |
//! | [`step`] | performs one step of a cycle: the scan of an image, its patch … |
//! | [`state`] | workflows, cycles, runs and logs: in SQLite, or in memory |
//! | [`runner`] | has the steps of cycles performed, one cycle or for ever |
//! | [`doctor`] | what a cycle needs, checked before it is needed |
//! | [`export`] | writes files for engines that run the cycles |
//! | [`finish`] | puts together what the workers of a cycle did |
//! | [`records`] | what is kept in the registry of cycles that have ended |
//! | [`monitor`] | `/healthz` and `/metrics` of a workflow that is served |
//! | [`story`] | what a registry alone tells of an image and its patches |
//! | [`workflow`] | create, update, show, list, cancel and delete a workflow |
//!
//! Calls block; only the relay and the monitor, which serve HTTP, have a runtime of their own.
//! Nothing is global.
//!
//! # Features
//!
//! `sqlite` (default): state in a SQLite file.
#![forbid(unsafe_code)]

pub mod doctor;
pub mod export;
pub mod finish;
mod image;
pub mod monitor;
pub mod policy_artifact;
pub mod policy_source;
mod private;
pub mod records;
pub mod relay;
pub mod reports;
pub mod runner;
mod server;
pub mod state;
pub mod step;
pub mod story;
pub mod tool;
pub mod workflow;
