//! The command line.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command `cssc`, whose name is the first argument; returns its exit code.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| cssc_cli::run(arguments))
}
