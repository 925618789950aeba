//! Plans.

use std::hash::{DefaultHasher, Hash, Hasher};

use cssc_core::inventory::{ListingError, UnavailableKind};
use cssc_core::{Dialect, Inventory, Listing, PlanOptions, Repository};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::convert::{invalid, member, package, to_python};
use crate::policy::Policy;
use crate::tags::tag_set;

/// How far each level of JSON may be indented; an indent without bound takes memory without bound.
const MAX_INDENT: usize = 16;

/// A plan, and the inventory it was made from.
#[pyclass(frozen, module = "cssc")]
pub(crate) struct Plan {
    inner: cssc_core::Plan,
    policy: cssc_core::Policy,
    inventory: Inventory,
    rows: PyOnceLock<Py<PyTuple>>,
}

impl Plan {
    pub(crate) fn inner(&self) -> &cssc_core::Plan {
        &self.inner
    }

    /// The images as rows, made when they are asked for first.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyTuple>> {
        let rows = self.rows.get_or_try_init(py, || {
            let class = package(py, "Image")?;
            // A row's own constructor is a function of Python's, and four times as slow.
            let new = py.get_type::<PyTuple>().getattr("__new__")?;
            let mut repository: Option<Bound<'py, PyString>> = None;
            let mut rows = Vec::with_capacity(self.inner.matches());
            for image in self.inner.images() {
                let name = image.repository().as_str();
                let repository = match repository.take().filter(|known| *known == name) {
                    Some(known) => repository.insert(known),
                    None => repository.insert(PyString::new(py, name)),
                };
                let tag = PyString::new(py, image.tag().as_str());
                let latest = image.latest_patch();
                let latest = latest.map(|patch| PyString::new(py, &patch.to_string()));
                let patch = image.patch_tag().ok();
                let patch = patch.map(|patch| PyString::new(py, &patch.to_string()));
                let scan = latest.as_ref().unwrap_or(&tag);
                let fields = (&*repository, &tag, &latest, scan, patch);
                rows.push(new.call1((&class, fields))?);
            }
            Ok::<_, PyErr>(PyTuple::new(py, rows)?.unbind())
        })?;
        Ok(rows.bind(py))
    }
}

/// What Python says of a repository: a list of tags, none, or the exception that came instead.
fn listing(tags: &Bound<'_, PyAny>) -> PyResult<Listing> {
    if tags.is_none() {
        Ok(Listing::Absent)
    } else if tags.is_instance_of::<pyo3::exceptions::PyException>() {
        let reason = tags.str()?.to_cow()?.into_owned();
        let reason = if reason.is_empty() {
            tags.get_type().name()?.to_cow()?.into_owned()
        } else {
            reason
        };
        // An exception of Python's does not say whether another attempt would help.
        let error = ListingError::new(UnavailableKind::Transient, reason);
        Ok(Listing::Unavailable(error))
    } else {
        Ok(Listing::Found(tag_set(tags)?))
    }
}

/// The inventory of `repositories`, from a mapping or a callable.
fn inventory(source: &Bound<'_, PyAny>, repositories: &[&Repository]) -> PyResult<Inventory> {
    let py = source.py();
    let is_callable = source.is_callable();
    if !is_callable {
        if !(source.hasattr("keys")? && source.hasattr("__getitem__")?) {
            let kind = source.get_type().name()?;
            let message = format!("an inventory must be a mapping or a callable, not {kind}");
            return Err(PyTypeError::new_err(message));
        }
        for name in source.try_iter()? {
            let name = name?;
            let text: String = name.extract().map_err(|_| {
                PyTypeError::new_err("the repositories of an inventory must be strings")
            })?;
            text.parse::<Repository>()
                .map_err(|error| invalid(py, error))?;
        }
    }
    repositories
        .iter()
        .map(|&name| {
            let text = name.as_str();
            let listing = if is_callable {
                listing(&source.call1((text,))?)?
            } else if source.contains(text)? {
                listing(&source.get_item(text)?)?
            } else {
                Listing::Absent
            };
            Ok((name.clone(), listing))
        })
        .collect()
}

pub(crate) fn plan_of(
    py: Python<'_>,
    policy: cssc_core::Policy,
    inventory: Inventory,
    dialect: &str,
    limit: Option<u64>,
) -> PyResult<Plan> {
    let dialect: Dialect = dialect.parse().map_err(|error| invalid(py, error))?;
    let options = PlanOptions {
        dialect,
        limit: limit.into(),
    };
    let inner = py.detach(|| cssc_core::Plan::new(&policy, &inventory, &options));
    Ok(Plan {
        inner,
        policy,
        inventory,
        rows: PyOnceLock::new(),
    })
}

#[pymethods]
impl Plan {
    /// Plan `policy` for the registry that `inventory` describes.
    #[new]
    #[pyo3(signature = (policy, inventory, /, *, dialect = "documented", limit = cssc_core::plan::ImageLimit::default().get()))]
    fn new(
        py: Python<'_>,
        policy: &Bound<'_, PyAny>,
        inventory: &Bound<'_, PyAny>,
        dialect: &str,
        limit: Option<u64>,
    ) -> PyResult<Self> {
        let policy = Policy::from_any(policy)?;
        // A mapping is explained whole; a callable is only asked for what planning needs.
        let repositories = if inventory.is_callable() {
            policy.enabled_repositories()
        } else {
            policy.repositories()
        };
        let inventory = self::inventory(inventory, &repositories)?;
        plan_of(py, policy, inventory, dialect, limit)
    }

    /// What a pattern takes apart.
    #[classattr]
    fn __match_args__() -> (&'static str,) {
        ("images",)
    }

    /// Whose reading of the rules decided.
    #[getter]
    fn dialect<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        member(py, "Dialect", self.inner.dialect().as_str())
    }

    /// How patches are tagged.
    #[getter]
    fn tag_convention<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        member(py, "TagConvention", self.inner.tag_convention().as_str())
    }

    /// How many images a workflow may run; None for any number.
    #[getter]
    fn limit(&self) -> Option<u64> {
        self.inner.limit().get()
    }

    /// Whether there are more images than a workflow may run.
    #[getter]
    fn limit_exceeded(&self) -> bool {
        self.inner.limit_exceeded()
    }

    /// The policy.
    #[getter]
    fn policy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        package(py, "Policy")?.call1((self.policy.to_json(),))
    }

    /// The images to scan.
    #[getter]
    fn images<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        Ok(self.rows(py)?.to_list())
    }

    /// Tags that were taken in but cannot be patched.
    #[getter]
    fn skipped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let class = package(py, "Skipped")?;
        let rows = PyList::empty(py);
        for row in self.inner.skipped() {
            let (repository, tag) = (row.repository.as_str(), row.tag.as_str());
            rows.append(class.call1((repository, tag, row.reason.as_str()))?)?;
        }
        Ok(rows)
    }

    /// Entries of rules that select nothing.
    #[getter]
    fn not_found<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let class = package(py, "NotFound")?;
        let rows = PyList::empty(py);
        for row in self.inner.not_found() {
            rows.append(class.call1((row.repository.as_str(), row.selector.as_str()))?)?;
        }
        Ok(rows)
    }

    /// Repositories whose tags could not be read.
    #[getter]
    fn unavailable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let class = package(py, "Unavailable")?;
        let rows = PyList::empty(py);
        for row in self.inner.unavailable() {
            rows.append(class.call1((row.repository.as_str(), row.error.message()))?)?;
        }
        Ok(rows)
    }

    /// A verdict for every tag, or those of one repository, or of one tag.
    #[pyo3(signature = (repository = None, tag = None))]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        repository: Option<&str>,
        tag: Option<&str>,
    ) -> PyResult<Bound<'py, PyList>> {
        let class = package(py, "Explanation")?;
        let rows = PyList::empty(py);
        for row in self.inner.explain(&self.inventory) {
            let is_asked = repository.is_none_or(|name| name == row.repository.as_str())
                && tag.is_none_or(|tag| tag == row.tag.as_str());
            if is_asked {
                rows.append(class.call1((
                    row.repository.as_str(),
                    row.tag.as_str(),
                    row.verdict.as_str(),
                    row.verdict.to_string(),
                    row.decided_by.map(|by| by.to_string()),
                    row.decided_by.map(|by| by.selector.to_string()),
                ))?)?;
            }
        }
        Ok(rows)
    }

    /// The plan as JSON, in the shape of the command line's.
    #[pyo3(signature = (*, indent = None))]
    fn to_json(&self, py: Python<'_>, indent: Option<usize>) -> PyResult<String> {
        if let Some(indent) = indent.filter(|&indent| indent > MAX_INDENT) {
            let message = format!("an indent must be at most {MAX_INDENT} spaces, not `{indent}`");
            return Err(invalid(py, message));
        }
        let written = py.detach(|| match indent {
            None => serde_json::to_string(&self.inner),
            Some(indent) => {
                let indent = " ".repeat(indent);
                let mut json = Vec::new();
                let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
                let mut serializer = serde_json::Serializer::with_formatter(&mut json, formatter);
                serde::Serialize::serialize(&self.inner, &mut serializer)
                    .map(|()| String::from_utf8_lossy(&json).into_owned())
            }
        });
        written.map_err(|error| invalid(py, error))
    }

    /// The plan as a dictionary, in the shape of its JSON.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = py.detach(|| serde_json::to_value(&self.inner));
        to_python(py, &value.map_err(|error| invalid(py, error))?)
    }

    /// The images by column, as `pandas.DataFrame` and others take a table.
    fn to_table<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        package(py, "_table")?
            .call1((self.images(py)?,))?
            .cast_into()
            .map_err(PyErr::from)
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        package(slf.py(), "_plan_html")?.call1((slf,))
    }

    fn __len__(&self) -> usize {
        self.inner.matches()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.rows(py)?.try_iter()?.into_any())
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.rows(py)?.as_any().get_item(index)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match other.cast::<Self>() {
            Ok(other) => Ok(self.to_json(py, None)? == other.get().to_json(py, None)?),
            Err(_) => Ok(false),
        }
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        self.to_json(py, None)?.hash(&mut hasher);
        Ok(hasher.finish())
    }

    fn __repr__(&self) -> String {
        let count = |count: usize, what: &str| match count {
            0 => String::new(),
            count => format!(", {count} {what}"),
        };
        format!(
            "<Plan: {} image{}{}{}{}>",
            self.inner.matches(),
            if self.inner.matches() == 1 { "" } else { "s" },
            count(self.inner.skipped().count(), "skipped"),
            count(self.inner.not_found().count(), "not found"),
            count(self.inner.unavailable().count(), "unavailable"),
        )
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let plan = slf.get();
        let inventory = PyDict::new(py);
        for (repository, listing) in plan.inventory.iter() {
            let value = match listing {
                Listing::Found(tags) => {
                    let tags = tags.iter().map(|tag| tag.as_str().to_owned());
                    PyList::new(py, tags.collect::<Vec<_>>())?.into_any()
                }
                Listing::Absent => py.None().into_bound(py),
                Listing::Unavailable(error) => package(py, "Error")?.call1((error.message(),))?,
            };
            inventory.set_item(repository.as_str(), value)?;
        }
        let rebuild = package(py, "_plan")?;
        let arguments = (
            plan.policy.to_json(),
            inventory,
            plan.inner.dialect().as_str(),
            plan.inner.limit().get(),
        );
        Ok((rebuild, arguments.into_pyobject(py)?))
    }
}

/// The rows on which the two dialects differ.
#[pyfunction]
pub(crate) fn dialect_differences<'py>(
    py: Python<'py>,
    policy: &Bound<'py, PyAny>,
    inventory: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let policy = Policy::from_any(policy)?;
    let inventory = self::inventory(inventory, &policy.enabled_repositories())?;
    let found = py.detach(|| cssc_core::plan::dialect_differences(&policy, &inventory));
    let class = package(py, "DialectDifference")?;
    let rows = PyList::empty(py);
    for row in found {
        let list = row.list.as_str();
        rows.append(class.call1((list, row.repository, row.tag, row.documented, row.service))?)?;
    }
    Ok(rows)
}
