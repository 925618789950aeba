//! The tags of a repository, told apart.

use cssc_core::tags::{Lineage, Lineages, TagSet};
use cssc_core::{Tag, TagConvention};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::convert::{invalid, package};

/// An iterable of strings as a set of tags. A string is no list of tags.
pub(crate) fn tag_set(tags: &Bound<'_, PyAny>) -> PyResult<TagSet> {
    let py = tags.py();
    if tags.is_instance_of::<PyString>() {
        let message = "the tags of a repository must be a list of strings, not a string";
        return Err(pyo3::exceptions::PyTypeError::new_err(message));
    }
    let mut builder = cssc_core::tags::TagSetBuilder::default();
    for tag in tags.try_iter()? {
        let tag = tag?;
        let Ok(text) = tag.cast::<PyString>() else {
            let kind = tag.get_type().name()?;
            let message = format!("a tag must be a string, not {kind}");
            return Err(pyo3::exceptions::PyTypeError::new_err(message));
        };
        let text = text.to_cow()?;
        builder.push(&text).map_err(|error| invalid(py, error))?;
    }
    // Sorting may take long, and needs nothing of Python's.
    Ok(py.detach(|| builder.finish()))
}

fn to_row<'py>(
    py: Python<'py>,
    lineages: &Lineages,
    lineage: Lineage<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let patches = lineages.patches(lineage.original());
    let patches: Vec<String> = patches.iter().map(ToString::to_string).collect();
    package(py, "Lineage")?.call1((
        lineage.original().as_str(),
        pyo3::types::PyTuple::new(py, patches)?,
        lineage.newest().to_string(),
        lineage.next_patch().ok().map(|patch| patch.to_string()),
    ))
}

/// One original with its patches.
#[pyfunction]
pub(crate) fn lineage<'py>(
    py: Python<'py>,
    tags: &Bound<'py, PyAny>,
    original: &str,
    convention: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let convention: TagConvention = convention.parse().map_err(|error| invalid(py, error))?;
    let original: Tag = original.parse().map_err(|error| invalid(py, error))?;
    let tags = tag_set(tags)?;
    let lineages = py.detach(|| Lineages::new(&tags, convention));
    let found = lineages
        .find(&original)
        .map_err(|error| invalid(py, error))?;
    to_row(py, &lineages, found)
}

/// The originals with their patches, and the patch tags without an original.
#[pyfunction]
pub(crate) fn lineages<'py>(
    py: Python<'py>,
    tags: &Bound<'py, PyAny>,
    convention: &str,
) -> PyResult<(Vec<Bound<'py, PyAny>>, Vec<String>)> {
    let convention: TagConvention = convention.parse().map_err(|error| invalid(py, error))?;
    let tags = tag_set(tags)?;
    let lineages = py.detach(|| Lineages::new(&tags, convention));
    let originals = lineages
        .iter()
        .map(|lineage| to_row(py, &lineages, lineage))
        .collect::<PyResult<_>>()?;
    Ok((
        originals,
        lineages
            .base_missing()
            .map(|patch| patch.to_string())
            .collect(),
    ))
}
