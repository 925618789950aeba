//! What the benchmarks share: made-up registries of any size, and the straightforward planner
//! that ours is measured against.

mod registry;
mod straightforward;

pub use registry::{shuffled, tags};
pub use straightforward::{StraightforwardImage, straightforward_plan};

/// The Rust examples of the README and the book, as tests.
#[cfg(doctest)]
mod examples {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/src/rust.md")]
    struct Rust;
    #[doc = include_str!("../../docs/src/registry.md")]
    struct Registry;
}
