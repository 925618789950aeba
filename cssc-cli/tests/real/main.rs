//! The whole workflow with the tools themselves, on Debian images with known vulnerabilities.
//!
//! `cssc-engine/tests/real/with-image cargo test -p cssc-cli --test real`
//!
//! Without that environment the tests say that they are skipped.
#![cfg(unix)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

#[path = "../../../cssc-registry/tests/support/mod.rs"]
mod support;

mod archive;
mod attestations;
mod chapter;
mod container_image;
mod cost;
mod cycles;
mod everything;
mod immutable;
mod interrupted;
mod names;
mod network;
mod place;
mod platforms;
mod proxy;
mod pull_only;
