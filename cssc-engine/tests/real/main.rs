//! The tools themselves, on Debian images with known vulnerabilities.
//!
//! `cssc-engine/tests/real/with-image cargo test -p cssc-engine --test real`
//!
//! Without that environment the tests say that they are skipped.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly, also in its helpers"
)]

mod buildah;
mod buildkit;
mod copa;
mod leftovers;
mod setting;
mod trivy;
