//! The workflow as a machine, driven from Python. Work and outcomes are dictionaries in the
//! shape of the core's JSON.

use cssc_core::{Cause, CycleImage, CycleOptions, Outcome, Owner, RunId, StatusFilter};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::convert::{error, instant, invalid, to_json_text, to_python};
use crate::plan::Plan;

/// One execution of a workflow.
#[pyclass(module = "cssc")]
pub(crate) struct Cycle {
    inner: cssc_core::Cycle,
}

fn to_dict<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let value = serde_json::to_value(value).map_err(|error| invalid(py, error))?;
    to_python(py, &value)
}

fn from_dict<T: DeserializeOwned>(value: &Bound<'_, PyAny>) -> PyResult<T> {
    serde_json::from_str(&to_json_text(value)?).map_err(|error| invalid(value.py(), error))
}

#[pymethods]
impl Cycle {
    #[new]
    #[pyo3(signature = (id, /, *, now, owner = 0, scheduled = None, **options))]
    fn new(
        id: u64,
        now: &Bound<'_, PyAny>,
        owner: u32,
        scheduled: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let options: CycleOptions = match options {
            Some(options) => from_dict(options)?,
            None => CycleOptions::default(),
        };
        let cause = match scheduled {
            Some(run) => Cause::Scheduled(instant(run)?),
            None => Cause::Immediate,
        };
        Ok(Self {
            inner: cssc_core::Cycle::new(id, Owner::new(owner), cause, options, instant(now)?),
        })
    }

    /// A cycle as it was stored.
    #[staticmethod]
    fn from_json(py: Python<'_>, text: &str) -> PyResult<Self> {
        let inner = serde_json::from_str(text).map_err(|error| invalid(py, error))?;
        Ok(Self { inner })
    }

    /// The cycle as text, to be stored.
    fn to_json(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&self.inner).map_err(|error| invalid(py, error))
    }

    /// What to do next: `{"work": …}`, `{"waitUntil": …}`, `"idle"` or `"done"`.
    #[pyo3(signature = (now, /))]
    fn next_work<'py>(&mut self, now: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let next = self.inner.next_work(instant(now)?);
        to_dict(now.py(), &next)
    }

    /// Report what a step came to.
    fn report(
        &mut self,
        run: &str,
        attempt: u32,
        outcome: &Bound<'_, PyAny>,
        now: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = outcome.py();
        let run: RunId = run.parse().map_err(|error| invalid(py, error))?;
        let outcome: Outcome = from_dict(outcome)?;
        self.inner
            .report(run, attempt, outcome, instant(now)?)
            .map_err(|cause| error(py, "WorkflowError", (cause.to_string(),)))
    }

    /// Cancel what is queued or running; how many runs that were.
    #[pyo3(signature = (now, /))]
    fn cancel(&mut self, now: &Bound<'_, PyAny>) -> PyResult<usize> {
        Ok(self.inner.cancel(instant(now)?))
    }

    /// The changes to store since this was asked last.
    fn take_changes<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_dict(py, &self.inner.take_changes())
    }

    /// A status row for each image, or those that a status selects.
    #[pyo3(signature = (*, run_status = None))]
    fn rows<'py>(&self, py: Python<'py>, run_status: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let filter: Option<StatusFilter> = run_status
            .map(str::parse)
            .transpose()
            .map_err(|error| invalid(py, error))?;
        let rows: Vec<_> = self
            .inner
            .rows()
            .filter(|row| {
                filter.is_none_or(|filter| filter.matches_image(row.scan_status, row.patch_status))
            })
            .collect();
        to_dict(py, &rows)
    }

    /// Whether the cycle has ended.
    #[getter]
    fn has_ended(&self) -> bool {
        self.inner.has_ended()
    }

    fn __repr__(&self) -> String {
        let record = self.inner.record();
        format!("<Cycle {}: {}>", record.id(), record.status())
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let rebuild = py.get_type::<Self>().getattr("from_json")?;
        Ok((rebuild, PyTuple::new(py, [self.to_json(py)?])?))
    }

    /// The images of a plan, in the shape of an outcome's `images`.
    #[staticmethod]
    fn images_of<'py>(py: Python<'py>, plan: &Plan) -> PyResult<Bound<'py, PyAny>> {
        let images: Vec<CycleImage> = plan.inner().images().map(CycleImage::from).collect();
        to_dict(py, &images)
    }
}
