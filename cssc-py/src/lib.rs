//! The private native module of the Python package `cssc`: it converts; the core decides, and the
//! engine acts.
//!
//! What Python sees is in `python/cssc`: rows, enumerations and exceptions are plain Python, made
//! here by calling them.

mod client;
mod command;
mod convert;
mod name;
mod plan;
mod policy;
mod scan;
mod schedule;
mod tags;
mod workflow;

use pyo3::prelude::*;

/// The native part of `cssc`. Its interface is private.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::client::Client;
    #[pymodule_export]
    use super::command::main;
    #[pymodule_export]
    use super::name::{check_registry, check_repository, check_selector, check_tag, parse_patch};
    #[pymodule_export]
    use super::plan::{Plan, dialect_differences};
    #[pymodule_export]
    use super::policy::{Policy, check, schema, template};
    #[pymodule_export]
    use super::scan::{compare_scans, scan_outcome, scan_report, verify_outcome};
    #[pymodule_export]
    use super::schedule::{Schedule, check_interval};
    #[pymodule_export]
    use super::tags::{lineage, lineages};
    #[pymodule_export]
    use super::workflow::Cycle;

    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add(
            "DEFAULT_LIMIT",
            cssc_core::plan::ImageLimit::default().get(),
        )
    }
}
