//! A cycle in numbers.

use serde::Serialize;

use super::CycleReport;
use crate::cycle::id::CycleId;
use crate::cycle::row::RowFindings;
use crate::cycle::status::Status;
use crate::cycle::summary::Summary;

/// A cycle in numbers: what is shown of those before the one that is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CycleFigures {
    /// The cycle.
    pub cycle: CycleId,
    /// How it ended.
    pub status: Status,
    /// Its images by outcome.
    pub summary: Summary,
    /// Its findings, each image counted for itself.
    pub findings: RowFindings,
}

impl CycleReport {
    /// The cycle in numbers.
    pub fn figures(&self) -> CycleFigures {
        CycleFigures {
            cycle: self.cycle,
            status: self.status,
            summary: self.summary,
            findings: self.findings(),
        }
    }
}
