//! Registries, tools, state and the runner around `cssc-core`.
//!
//! The core decides; this crate acts. Each thing it acts on stands behind a small trait, so that
//! an embedder can take a part and bring another of their own.
//!
//! | module | what it touches |
//! |---|---|
//! | [`registry`] | tag lists, manifests and blobs: over HTTP, in a tree of OCI layouts, in an inventory file |
//! | [`policy_artifact`] | the policy as it is kept in the registry itself |
//! | [`tool`] | Trivy, Copa, Buildah or any program, as child processes |
//! | `store` | workflows, cycles, runs and logs, in SQLite |
//! | `runner` | does what the core's machine asks for, one cycle or for ever |
//! | `workflow` | create, update, show, list, cancel and delete a workflow |
//!
//! Everything blocks: threads, no runtime. Nothing is global.
//!
//! # Features
//!
//! `http` (default): registries over the OCI distribution protocol. `sqlite` (default): `store`,
//! `runner` and `workflow`. `testing`: a registry in this process that misbehaves on demand.
#![forbid(unsafe_code)]

mod atomic;
pub mod policy_artifact;
pub mod registry;
#[cfg(feature = "sqlite")]
pub mod runner;
#[cfg(feature = "sqlite")]
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tool;
#[cfg(feature = "sqlite")]
pub mod workflow;
