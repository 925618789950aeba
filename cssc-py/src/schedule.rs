//! When a workflow runs.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use cssc_core::{Dialect, Interval};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyTuple};

use crate::convert::{instant, invalid, member};

/// The schedule of a workflow.
#[pyclass(frozen, module = "cssc", eq)]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    inner: cssc_core::Schedule,
}

/// The runs of a schedule, one by one.
#[pyclass(module = "cssc")]
pub(crate) struct Runs {
    inner: cssc_core::schedule::Runs,
}

/// Python's years end.
fn is_in_python(run: &DateTime<Utc>) -> bool {
    run.year() <= 9999
}

#[pymethods]
impl Runs {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self) -> Option<DateTime<Utc>> {
        self.inner.next().filter(is_in_python)
    }
}

#[pymethods]
impl Schedule {
    #[new]
    #[pyo3(signature = (interval, /, *, created, dialect = "documented"))]
    fn new(
        py: Python<'_>,
        interval: &str,
        created: &Bound<'_, PyAny>,
        dialect: &str,
    ) -> PyResult<Self> {
        let interval: Interval = interval.parse().map_err(|error| invalid(py, error))?;
        let dialect: Dialect = dialect.parse().map_err(|error| invalid(py, error))?;
        Ok(Self {
            inner: cssc_core::Schedule::new(interval, instant(created)?, dialect),
        })
    }

    /// What a pattern takes apart.
    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str) {
        ("interval", "created", "dialect")
    }

    /// The interval as text: `7d`.
    #[getter]
    fn interval(&self) -> String {
        self.inner.interval().to_string()
    }

    /// The interval in days.
    #[getter]
    fn days(&self) -> u8 {
        self.inner.interval().days()
    }

    /// When the workflow was created, in UTC.
    #[getter]
    fn created(&self) -> DateTime<Utc> {
        self.inner.created()
    }

    /// Whose reading of the month of creation decides.
    #[getter]
    fn dialect<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        member(py, "Dialect", self.inner.dialect().as_str())
    }

    /// The cron expression that Azure's service is given.
    #[getter]
    fn cron(&self) -> String {
        self.inner.cron()
    }

    /// The first run after an instant; None after the last year that Python knows.
    #[pyo3(signature = (instant_, /))]
    fn next_after(&self, instant_: &Bound<'_, PyAny>) -> PyResult<Option<DateTime<Utc>>> {
        let next = self.inner.next_after(instant(instant_)?);
        Ok(next.filter(is_in_python))
    }

    /// The runs after an instant, in order.
    #[pyo3(signature = (instant_, /))]
    fn runs_after(&self, instant_: &Bound<'_, PyAny>) -> PyResult<Runs> {
        Ok(Runs {
            inner: self.inner.runs_after(instant(instant_)?),
        })
    }

    fn __iter__(&self) -> Runs {
        Runs {
            inner: self.inner.runs_after(self.inner.created()),
        }
    }

    /// Whether the workflow runs on a date of UTC; of an aware datetime, its date in UTC.
    #[pyo3(signature = (date, /))]
    fn is_run_day(&self, date: &Bound<'_, PyAny>) -> PyResult<bool> {
        let class = date.py().import("datetime")?.getattr("datetime")?;
        let date = if date.is_instance(&class)? {
            instant(date)?.date_naive()
        } else {
            date.extract()?
        };
        Ok(self.inner.is_run_day(date))
    }

    /// The run days of a month.
    fn run_days(&self, py: Python<'_>, year: i32, month: u32) -> PyResult<Vec<NaiveDate>> {
        let first = NaiveDate::from_ymd_opt(year, month, 1)
            .filter(|first| (1..=9999).contains(&first.year()))
            .ok_or_else(|| {
                let message = format!(
                    "`{year}-{month:02}` is not a month: years are 1 to 9999, months 1 to 12"
                );
                invalid(py, message)
            })?;
        Ok(self.inner.run_days_in_month(first).collect())
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        crate::convert::package(slf.py(), "_schedule_html")?.call1((slf,))
    }

    fn __repr__(&self) -> String {
        let created = self.inner.created().to_rfc3339();
        let (interval, dialect) = (self.inner.interval(), self.inner.dialect());
        format!("<Schedule: {interval}, created {created}, {dialect}>")
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let inner = slf.get().inner;
        let rebuild = crate::convert::package(py, "_schedule")?;
        let arguments = (
            inner.interval().to_string(),
            inner.created(),
            inner.dialect().as_str(),
        );
        Ok((rebuild, arguments.into_pyobject(py)?))
    }
}

/// The schedule's text, checked and written as it is printed: `07d` becomes `7d`.
#[pyfunction]
pub(crate) fn check_interval(py: Python<'_>, text: &str) -> PyResult<String> {
    let interval: Interval = text.parse().map_err(|error| invalid(py, error))?;
    Ok(interval.to_string())
}
