//! The report in lines, for logs and terminals.

use std::fmt;

use super::{CycleReport, ImageOutcome, ImageReport};
use crate::cycle::row::{RowFindings, StatusRow};

/// The images by outcome, and the findings.
pub(super) fn cycle(report: &CycleReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let status = report.status.as_str().to_lowercase();
    let count = report.summary.images;
    let noun = if count == 1 { "image" } else { "images" };
    write!(f, "cycle {} {status}: {count} {noun}", report.cycle)?;
    for outcome in ImageOutcome::ALL {
        match report.summary.of(outcome) {
            0 => {}
            count => write!(f, ", {count} {outcome}")?,
        }
    }
    match report.findings() {
        none if none == RowFindings::default() => Ok(()),
        findings => write!(f, "; findings: {findings}"),
    }
}

/// A line for each image that was not clean, then the one of the cycle.
pub(super) fn all(report: &CycleReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let untold = [Some(ImageOutcome::Clean), Some(ImageOutcome::LeftOut)];
    for image in &report.images {
        if !untold.contains(&image.row.outcome) {
            self::image(image, f)?;
            writeln!(f)?;
        }
    }
    cycle(report, f)
}

/// Outcome, reason and findings.
fn image(image: &ImageReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let StatusRow {
        image: name,
        outcome,
        reason,
        patched_image,
        findings,
        ..
    } = &image.row;
    let outcome = outcome.map_or("not done", ImageOutcome::as_str);
    write!(f, "{name}: {outcome}")?;
    if let Some(patched) = patched_image {
        write!(f, ", published as {patched}")?;
    }
    if let Some(reason) = reason {
        // Some quote what a tool or a registry has said; a line stays a line.
        let text = reason.text.replace(char::is_control, " ");
        write!(f, ", {text}")?;
    }
    match findings {
        Some(findings) => write!(f, "; findings: {findings}"),
        None => Ok(()),
    }
}
