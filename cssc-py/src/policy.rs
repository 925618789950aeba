//! Policies.

use std::hash::{DefaultHasher, Hash, Hasher};

use cssc_core::Diagnostic;
use cssc_core::policy::{
    LintName, LintNameError, Lints, MAX_POLICY_LEN, POLICY_SCHEMA, POLICY_TEMPLATE, PolicyCheck,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::convert::{Reduced, error, member, package, to_json_text, to_python};

/// A policy, valid.
#[pyclass(frozen, module = "cssc", eq)]
#[derive(Debug)]
pub(crate) struct Policy {
    inner: cssc_core::Policy,
    diagnostics: Vec<Diagnostic>,
}

/// Policies are equal when they mean the same, wherever they come from.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

/// Reads a policy given as a string, bytes, a path, or parsed.
fn read(policy: &Bound<'_, PyAny>) -> PyResult<PolicyCheck> {
    if let Ok(text) = policy.cast::<PyString>() {
        let text = text.to_cow()?.into_owned();
        return Ok(policy
            .py()
            .detach(|| cssc_core::Policy::check(text.as_bytes())));
    }
    if let Ok(bytes) = policy.cast::<PyBytes>() {
        let bytes = bytes.as_bytes().to_vec();
        return Ok(policy.py().detach(|| cssc_core::Policy::check(&bytes)));
    }
    if policy.hasattr("__fspath__")? {
        let bytes: Vec<u8> = policy
            .py()
            .import("pathlib")?
            .getattr("Path")?
            .call1((policy,))?
            .call_method0("read_bytes")?
            .extract()?;
        return Ok(policy.py().detach(|| cssc_core::Policy::check(&bytes)));
    }
    if policy.is_instance_of::<pyo3::types::PyDict>() {
        let text = to_json_text(policy)?;
        return Ok(policy.py().detach(|| check_parsed(&text)));
    }
    let kind = policy.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "a policy must be a string, bytes, a path or a dict, not {kind}"
    )))
}

/// Checks what was given parsed, by way of its JSON.
fn check_parsed(text: &str) -> PolicyCheck {
    match serde_json::from_str(text) {
        Ok(value) if text.len() <= MAX_POLICY_LEN => cssc_core::Policy::check_value(&value),
        // Too deep, too long, a number out of range: what is found in text is found here too, but
        // at places nobody has seen.
        _ => {
            let mut checked = cssc_core::Policy::check(text.as_bytes());
            for found in &mut checked.diagnostics {
                found.span = None;
            }
            checked
        }
    }
}

fn to_row<'py>(py: Python<'py>, found: &Diagnostic) -> PyResult<Bound<'py, PyAny>> {
    package(py, "Diagnostic")?.call1((
        found.code.as_str(),
        member(py, "Severity", found.severity.as_str())?,
        &found.message,
        &found.pointer,
        found.span.map(|at| at.line),
        found.span.map(|at| at.column),
    ))
}

fn to_rows<'py>(py: Python<'py>, found: &[Diagnostic]) -> PyResult<Bound<'py, PyTuple>> {
    let rows: Vec<_> = found
        .iter()
        .map(|found| to_row(py, found))
        .collect::<PyResult<_>>()?;
    PyTuple::new(py, rows)
}

impl Policy {
    /// The policy that a registry stores.
    pub(crate) fn from_bytes(py: Python<'_>, policy: &[u8]) -> PyResult<Self> {
        Self::of_check(py, cssc_core::Policy::check(policy))
    }

    fn of_check(py: Python<'_>, check: PolicyCheck) -> PyResult<Self> {
        let PolicyCheck {
            policy,
            diagnostics,
        } = check;
        if let Some(inner) = policy {
            return Ok(Self { inner, diagnostics });
        }
        let rows = to_rows(py, &diagnostics)?;
        let unusable = PolicyCheck {
            policy: None,
            diagnostics,
        };
        let text = unusable.into_policy().err().map(|error| error.to_string());
        Err(error(py, "PolicyError", (text, rows)))
    }

    /// The policy that Python gave: a `Policy`, or anything one is made from.
    pub(crate) fn from_any(policy: &Bound<'_, PyAny>) -> PyResult<cssc_core::Policy> {
        match policy.cast::<Self>() {
            Ok(policy) => Ok(policy.get().inner.clone()),
            Err(_) => Ok(Self::new(policy)?.inner),
        }
    }
}

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (policy, /))]
    fn new(policy: &Bound<'_, PyAny>) -> PyResult<Self> {
        let checked = read(policy)?;
        // Whoever gives the name of a file is told so.
        let is_name = policy.cast::<PyString>().is_ok_and(|text| {
            let text = text.to_string_lossy();
            !text.contains(['{', '\n'])
        });
        if is_name && checked.policy.is_none() {
            let message = "a string is the text of a policy: give the name of a file as a \
                           `pathlib.Path`";
            let rows = to_rows(policy.py(), &checked.diagnostics)?;
            return Err(error(policy.py(), "PolicyError", (message, rows)));
        }
        Self::of_check(policy.py(), checked)
    }

    /// What a pattern takes apart.
    #[classattr]
    fn __match_args__() -> (&'static str, &'static str) {
        ("tag_convention", "rules")
    }

    /// How patches are tagged.
    #[getter]
    fn tag_convention<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        member(py, "TagConvention", self.inner.tag_convention().as_str())
    }

    /// The rules, in order.
    #[getter]
    fn rules<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let class = package(py, "Rule")?;
        let rules: Vec<_> = self
            .inner
            .rules()
            .iter()
            .map(|rule| {
                let tags = rule.selectors().iter().map(ToString::to_string);
                let tags = PyTuple::new(py, tags.collect::<Vec<_>>())?;
                class.call1((rule.repository().as_str(), tags, rule.is_enabled()))
            })
            .collect::<PyResult<_>>()?;
        PyTuple::new(py, rules)
    }

    /// The repositories the policy names, each once.
    #[getter]
    fn repositories<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(
            py,
            self.inner
                .repositories()
                .into_iter()
                .map(|name| name.as_str().to_owned())
                .collect::<Vec<_>>(),
        )
    }

    /// What is doubtful about the text the policy was read from.
    #[getter]
    fn warnings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        to_rows(py, &self.diagnostics)
    }

    /// The policy as text, every key written out.
    fn to_json(&self) -> String {
        self.inner.to_json()
    }

    /// The policy as a dictionary.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = serde_json::to_value(&self.inner).unwrap_or_default();
        to_python(py, &value)
    }

    fn __repr__(&self) -> String {
        let rules = self.inner.rules().len();
        let s = if rules == 1 { "" } else { "s" };
        let tags = self.inner.tag_convention();
        format!("<Policy: {rules} rule{s}, {tags} tags>")
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.to_json().hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Reduced<'py>> {
        let text = slf.get().inner.to_json();
        Ok((slf.get_type(), PyTuple::new(slf.py(), [text])?))
    }
}

fn lint_names(names: Vec<String>) -> PyResult<Vec<LintName>> {
    names
        .into_iter()
        .map(|name| {
            name.parse()
                .map_err(|error: LintNameError| PyValueError::new_err(error.to_string()))
        })
        .collect()
}

/// Everything that is wrong or doubtful about a policy.
#[pyfunction]
#[pyo3(
    signature = (policy, /, *, deny = Vec::new(), allow = Vec::new()),
    text_signature = "(policy, /, *, deny=(), allow=())"
)]
pub(crate) fn check<'py>(
    policy: &Bound<'py, PyAny>,
    deny: Vec<String>,
    allow: Vec<String>,
) -> PyResult<Bound<'py, PyTuple>> {
    let lints = Lints::new(lint_names(deny)?, lint_names(allow)?);
    let checked = lints.apply(read(policy)?);
    to_rows(policy.py(), &checked.diagnostics)
}

/// The JSON Schema of a policy, as text.
#[pyfunction]
pub(crate) fn schema() -> &'static str {
    POLICY_SCHEMA
}

/// A policy to start from, as text.
#[pyfunction]
pub(crate) fn template() -> &'static str {
    POLICY_TEMPLATE
}
