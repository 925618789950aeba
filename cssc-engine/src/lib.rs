//! Registries, tools, state and the runner around `cssc-core`.
