//! Scan reports.

use cssc_core::scan::{PublishVerdict, ScanVerdict};
use cssc_core::{Evidence, ScanReport};
use pyo3::prelude::*;

use crate::convert::{error, package};

fn read(py: Python<'_>, report: &[u8]) -> PyResult<ScanReport> {
    let report = report.to_vec();
    py.detach(|| ScanReport::from_slice(&report))
        .map_err(|cause| error(py, "ScanError", (cause.to_string(),)))
}

/// The verdict on a Trivy report.
#[pyfunction]
pub(crate) fn scan_report<'py>(py: Python<'py>, report: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let report = read(py, report)?;
    let (verdict, reason) = match report.verdict() {
        ScanVerdict::Patch { .. } => ("patch", None),
        ScanVerdict::Skip(why) => ("skip", Some(why.to_string())),
        ScanVerdict::Unsupported(why) => ("unsupported", Some(why.to_string())),
        // A verdict that this package does not know yet is none to act on.
        _ => ("unsupported", None),
    };
    let os = report.os().map(|os| (os.family(), os.name()));
    package(py, "ScanVerdict")?.call1((
        verdict,
        reason,
        report.fixable(),
        report.findings().len(),
        os,
        report.architecture(),
    ))
}

/// Whether a patch that changed one report into the other is worth a tag, and why not.
#[pyfunction]
pub(crate) fn compare_scans<'py>(
    py: Python<'py>,
    before: &[u8],
    after: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let (before, after) = (read(py, before)?, read(py, after)?);
    let (evidence, verdict) = py.detach(|| {
        let evidence = Evidence::compare(&before, &after);
        (evidence, PublishVerdict::between(&before, &after))
    });
    let reason = match verdict {
        PublishVerdict::Publish => None,
        PublishVerdict::Withhold(why) => Some(why.to_string()),
    };
    package(py, "Evidence")?.call1((
        reason.is_none(),
        reason,
        evidence.fixed().len(),
        evidence.introduced().len(),
        evidence.remaining().len(),
    ))
}
