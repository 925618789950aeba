//! The workflow as a machine, driven from Python. Steps and outcomes are dictionaries in the
//! shape of the core's JSON.

use std::collections::HashMap;
use std::num::NonZeroU32;

use cssc_core::cycle::{
    Cause, CycleId, CycleImage, CycleOptions, RunId, StatusFilter, StepOutcome,
};
use cssc_core::name::Platform;
use cssc_core::scan::ConfigKey;
use cssc_core::workflow::WorkflowSettings;
use cssc_core::{Digest, Repository, TagRef};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use serde::de::DeserializeOwned;

use crate::convert::{error, instant, invalid, to_dict, to_json_text, to_python};
use crate::plan::Plan;

/// One execution of a workflow.
// It is borrowed only while nothing of Python's can run, so that threads that share it, and time
// zones and outcomes written in Python, never meet it half way.
#[pyclass(module = "cssc")]
pub(crate) struct Cycle {
    inner: cssc_core::Cycle,
}

fn from_dict<T: DeserializeOwned>(value: &Bound<'_, PyAny>) -> PyResult<T> {
    // By way of a value: a place in a text that nobody has seen helps nobody.
    serde_json::from_str(&to_json_text(value)?)
        .and_then(serde_json::from_value)
        .map_err(|error| invalid(value.py(), error))
}

/// One of the words that an option knows.
fn word<T: DeserializeOwned>(py: Python<'_>, option: &str, text: &str) -> PyResult<T> {
    serde_json::from_value(text.into()).map_err(|error| invalid(py, format!("{option}: {error}")))
}

#[pymethods]
impl Cycle {
    #[new]
    #[pyo3(signature = (
        id,
        /,
        *,
        now,
        scheduled = None,
        jobs = CycleOptions::default().jobs,
        attempts = WorkflowSettings::default().effective_attempts(),
        pause_seconds = CycleOptions::default().pause_seconds,
        step_limit_seconds = CycleOptions::default().step_limit_seconds,
        interruptions = CycleOptions::default().interruptions,
        verify = CycleOptions::default().verify,
        test = CycleOptions::default().test,
        allow_config = Vec::new(),
        attach = "never",
        sign = CycleOptions::default().sign,
        until = None,
        adopt = CycleOptions::default().adopt,
        patcher = None,
        limit = WorkflowSettings::default().effective_limit().get(),
    ), text_signature = "(id, /, *, now, scheduled=None, jobs=1, attempts=3, pause_seconds=30, step_limit_seconds=1800, interruptions=10, verify=True, test=False, allow_config=(), attach='never', sign=False, until=None, adopt=False, patcher=None, limit=100)")]
    #[expect(
        clippy::too_many_arguments,
        clippy::fn_params_excessive_bools,
        reason = "they are keywords in Python, where a misspelled one must be an error"
    )]
    fn new(
        id: &str,
        now: &Bound<'_, PyAny>,
        scheduled: Option<&Bound<'_, PyAny>>,
        jobs: NonZeroU32,
        attempts: NonZeroU32,
        pause_seconds: u32,
        step_limit_seconds: u32,
        interruptions: u32,
        verify: bool,
        test: bool,
        allow_config: Vec<String>,
        attach: &str,
        sign: bool,
        until: Option<&str>,
        adopt: bool,
        patcher: Option<&str>,
        limit: Option<u64>,
    ) -> PyResult<Self> {
        let py = now.py();
        let mut settings = WorkflowSettings::default();
        settings.attempts = Some(attempts);
        settings.limit = Some(limit.into());
        settings.patcher = patcher
            .map(str::parse)
            .transpose()
            .map_err(|error| invalid(py, error))?;
        let options = CycleOptions {
            jobs,
            pause_seconds,
            step_limit_seconds,
            interruptions,
            verify,
            test,
            allow_config: allow_config
                .into_iter()
                .map(ConfigKey::try_from)
                .collect::<Result<_, _>>()
                .map_err(|error| invalid(py, format!("allow_config: {error}")))?,
            sign,
            attach: word(py, "attach", attach)?,
            until: until.map(|until| word(py, "until", until)).transpose()?,
            adopt,
            settings,
            ..CycleOptions::default()
        };
        let cause = match scheduled {
            Some(run) => Cause::Scheduled(instant(run)?),
            None => Cause::Immediate,
        };
        let id: CycleId = id.parse().map_err(|error| invalid(py, error))?;
        Ok(Self {
            inner: cssc_core::Cycle::new(id, cause, options, instant(now)?),
        })
    }

    /// A cycle as it was stored. To go on with one whose steps were being done, `recover` it.
    #[staticmethod]
    fn from_json(py: Python<'_>, text: &str) -> PyResult<Self> {
        let inner = serde_json::from_str(text).map_err(|error| invalid(py, error))?;
        Ok(Self { inner })
    }

    /// The cycle as text, to be stored.
    fn to_json(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&self.inner).map_err(|error| invalid(py, error))
    }

    /// What to do next: `{"assigned": …}`, `{"waitUntil": …}`, `"idle"` or `"done"`.
    #[pyo3(signature = (now, /))]
    fn next_step<'py>(
        slf: &Bound<'py, Self>,
        now: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let now = instant(now)?;
        let next = slf.try_borrow_mut()?.inner.next_step(now);
        to_dict(slf.py(), &next)
    }

    /// Report what a step came to.
    fn report(
        slf: &Bound<'_, Self>,
        run: &str,
        attempt: u32,
        outcome: &Bound<'_, PyAny>,
        now: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = outcome.py();
        let run: RunId = run.parse().map_err(|error| invalid(py, error))?;
        let outcome: StepOutcome = from_dict(outcome)?;
        let now = instant(now)?;
        let reported = slf
            .try_borrow_mut()?
            .inner
            .report(&run, attempt, outcome, now);
        reported.map_err(|cause| error(py, "WorkflowError", (cause.to_string(),)))
    }

    /// Say that what was performing steps is gone, as after a crash: they are to be done again, and
    /// each counts as an interruption of its step.
    #[pyo3(signature = (now, /))]
    fn recover(slf: &Bound<'_, Self>, now: &Bound<'_, PyAny>) -> PyResult<()> {
        let now = instant(now)?;
        slf.try_borrow_mut()?.inner.recover(now);
        Ok(())
    }

    /// Cancel what is queued or running; how many runs that were.
    #[pyo3(signature = (now, /))]
    fn cancel(slf: &Bound<'_, Self>, now: &Bound<'_, PyAny>) -> PyResult<usize> {
        let now = instant(now)?;
        Ok(slf.try_borrow_mut()?.inner.cancel(now))
    }

    /// The changes to store since this was asked last.
    fn take_changes<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let changes = slf.try_borrow_mut()?.inner.take_changes();
        to_dict(slf.py(), &changes)
    }

    /// A status row for each image, or those that a status selects.
    #[pyo3(signature = (*, run_status = None))]
    fn rows<'py>(slf: &Bound<'py, Self>, run_status: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let filter: Option<StatusFilter> = run_status
            .map(str::parse)
            .transpose()
            .map_err(|error| invalid(py, error))?;
        let rows = {
            let cycle = slf.try_borrow()?;
            let asked = cycle.inner.rows().filter(|row| {
                filter.is_none_or(|filter| filter.matches_image(row.scan_status, row.patch_status))
            });
            serde_json::to_value(asked.collect::<Vec<_>>())
        };
        to_python(py, &rows.map_err(|error| invalid(py, error))?)
    }

    /// The name of a cycle that starts now: its start, and a random number below 65536.
    #[staticmethod]
    fn new_id(now: &Bound<'_, PyAny>, random: u16) -> PyResult<String> {
        Ok(CycleId::new(instant(now)?, random).to_string())
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
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let text = slf.try_borrow()?.to_json(py)?;
        let rebuild = py.get_type::<Self>().getattr("from_json")?;
        Ok((rebuild, PyTuple::new(py, [text])?))
    }

    /// The images of a plan, in the shape of an outcome's `images`, for originals that are the
    /// manifests of one platform: with the digest of each tag, by `repository:tag`.
    #[staticmethod]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "PyO3 makes the map of a dictionary"
    )]
    #[pyo3(signature = (plan, digests, *, platform = "linux/amd64"))]
    fn images_of<'py>(
        py: Python<'py>,
        plan: &Plan,
        digests: HashMap<String, String>,
        platform: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let platform: Platform = platform.parse().map_err(|error| invalid(py, error))?;
        let digest = |repository: &Repository, tag: TagRef<'_>| -> PyResult<Digest> {
            let name = format!("{repository}:{tag}");
            let digest = digests.get(&name);
            let digest = digest.ok_or_else(|| invalid(py, format!("no digest of `{name}`")))?;
            digest.parse().map_err(|error| invalid(py, error))
        };
        let images = plan.inner().images().map(|image| {
            let original = digest(image.repository(), image.tag())?;
            let patch = image.latest_patch();
            let patch = patch.map(|patch| digest(image.repository(), patch.to_tag().borrowed()));
            let (platform, patch) = (platform.clone(), patch.transpose()?);
            Ok(CycleImage::of_manifest(image, platform, original, patch))
        });
        to_dict(py, &images.collect::<PyResult<Vec<CycleImage>>>()?)
    }
}
