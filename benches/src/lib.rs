//! What the benchmarks share: made-up registries of any size.
