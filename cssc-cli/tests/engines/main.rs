//! Exported files, checked by the engines' own checkers and really run, on a registry on loopback,
//! with stand-ins for Trivy and Copa.
//!
//! `.ci/test engines` installs the engines; without them the tests say that they are left out.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly, also in its helpers, with small numbers"
)]

#[path = "../workflow/bench.rs"]
mod bench;
#[path = "../../../cssc-engine/tests/standin/mod.rs"]
mod standin;
#[path = "../../../cssc-registry/tests/support/mod.rs"]
mod support;

mod airflow;
mod checkers;
mod github;
mod gitlab;
mod integrations;
mod processes;
mod scenario;

/// Whether the engines are to be tried, which takes minutes, and are there.
fn has_engines(tools: &[&str]) -> bool {
    if std::env::var_os("CSSC_ENGINES").is_none() {
        eprintln!("left out: `.ci/test engines` runs it");
        return false;
    }
    support::has_tools(tools)
}
