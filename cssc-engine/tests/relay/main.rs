//! The relay: what tools pull and push, and what hostile ones try.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail loudly, with small numbers"
)]

mod client;
mod endings;
mod fetches;
mod hostile;
mod logins;
mod pull;
mod push;
mod ranges;
mod registry;
#[path = "../../../cssc-registry/tests/support/mod.rs"]
mod support;
mod tooling;
mod tools;
mod uploads;
mod world;
