//! Names: checked, and patch tags taken apart.

use cssc_core::policy::Selector;
use cssc_core::tags::PatchNumber;
use cssc_core::{Registry, Repository, Tag, TagConvention};
use pyo3::prelude::*;

use crate::convert::invalid;

/// The tag, checked.
#[pyfunction]
pub(crate) fn check_tag(py: Python<'_>, text: &str) -> PyResult<String> {
    text.parse::<Tag>()
        .map(|tag| tag.to_string())
        .map_err(|error| invalid(py, error))
}

/// The repository's name, checked.
#[pyfunction]
pub(crate) fn check_repository(py: Python<'_>, text: &str) -> PyResult<String> {
    text.parse::<Repository>()
        .map(|name| name.to_string())
        .map_err(|error| invalid(py, error))
}

/// The registry's host and namespace, checked, Azure's short form completed.
#[pyfunction]
pub(crate) fn check_registry(py: Python<'_>, text: &str) -> PyResult<String> {
    text.parse::<Registry>()
        .map(|name| name.to_string())
        .map_err(|error| invalid(py, error))
}

/// Whether the entry of a rule's tags takes in the tag.
#[pyfunction]
pub(crate) fn check_selector(py: Python<'_>, selector: &str, tag: &str) -> PyResult<bool> {
    let selector: Selector = selector.parse().map_err(|error| invalid(py, error))?;
    let tag: Tag = tag.parse().map_err(|error| invalid(py, error))?;
    Ok(selector.matches(tag.borrowed()))
}

/// The original and the number of a patch tag, or none when it is no patch tag.
#[pyfunction]
pub(crate) fn parse_patch(
    py: Python<'_>,
    convention: &str,
    tag: &str,
) -> PyResult<Option<(String, Option<u16>)>> {
    let convention: TagConvention = convention.parse().map_err(|error| invalid(py, error))?;
    let tag: Tag = tag.parse().map_err(|error| invalid(py, error))?;
    let patch = convention.parse(tag.borrowed());
    Ok(patch.map(|patch| {
        let number = patch.number().map(PatchNumber::get);
        (patch.original().to_string(), number)
    }))
}
