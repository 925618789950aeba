//! Registries, tools, state and the runner around `cssc-core`.
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
