//! Scan reports.

use std::collections::BTreeMap;

use cssc_core::cycle::{ScanOutcome, VerifyOutcome};
use cssc_core::scan::{PublishVerdict, ScanVerdict};
use cssc_core::{Digest, Evidence, ScanReport};
use pyo3::prelude::*;

use crate::convert::{error, invalid, package, to_dict};

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

/// What a cycle is told of a scan: the verdict, and the findings that can be fixed.
#[pyfunction]
pub(crate) fn scan_outcome<'py>(py: Python<'py>, report: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    to_dict(py, &ScanOutcome::from(&read(py, report)?))
}

/// What a cycle is told of a candidate, by the reports of the original, of the candidate, and of
/// what was scanned before, by digest.
#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "PyO3 makes the map of a dictionary"
)]
pub(crate) fn verify_outcome<'py>(
    py: Python<'py>,
    original: &[u8],
    candidate: &[u8],
    scanned: BTreeMap<String, Vec<u8>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (original, candidate) = (read(py, original)?, read(py, candidate)?);
    let before = scanned.iter().map(|(digest, report)| {
        let digest: Digest = digest.parse().map_err(|error| invalid(py, error))?;
        Ok((digest, read(py, report)?))
    });
    let before = before.collect::<PyResult<Vec<_>>>()?;
    let outcome = py.detach(|| VerifyOutcome::of_scans(&original, &candidate, &before));
    to_dict(py, &outcome)
}
