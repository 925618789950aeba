//! What the benchmarks share: made-up registries of any size, and the straightforward planner
//! that ours is measured against.

mod registry;
mod straightforward;

pub use registry::{shuffled, tags};
pub use straightforward::{StraightforwardImage, straightforward_plan};
