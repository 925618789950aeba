//! Registries, tools, state and the runner around `cssc-core`.
#![forbid(unsafe_code)]

mod atomic;
pub mod registry;
pub mod tool;
