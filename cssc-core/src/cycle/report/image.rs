//! What came of one image.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cycle::machine::Cycle;
use crate::cycle::row::{NO_RESULT, StatusRow};
use crate::cycle::run::Run;
use crate::name::Platform;
use crate::scan::Finding;

/// What came of one image of a cycle, or of what the cycle left out: its row, and the findings
/// behind the numbers of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ImageReport {
    /// The row.
    #[serde(flatten)]
    pub row: StatusRow,
    /// When the last of its runs ended; none until it is done.
    #[serde(default)]
    pub ended: Option<DateTime<Utc>>,
    /// When the databases that its scans used were made, each once.
    #[serde(default)]
    pub databases: Vec<DateTime<Utc>>,
    /// What the published patch took away.
    pub fixed_findings: Vec<ReportedFinding>,
    /// What can be fixed and is left.
    pub left_findings: Vec<ReportedFinding>,
}

/// A finding of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReportedFinding {
    /// The platform.
    pub platform: Platform,
    /// Of what is left: when it was found first, as far as earlier cycles tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
}

impl ReportedFinding {
    /// What a finding keeps from cycle to cycle.
    fn identity(&self) -> (&Platform, &str, &str) {
        let finding = &self.finding;
        (
            &self.platform,
            finding.vulnerability_id(),
            finding.package(),
        )
    }
}

impl ImageReport {
    pub(super) fn new(cycle: &Cycle, index: u32, row: StatusRow) -> Self {
        let mut image = Self {
            ended: None,
            databases: Vec::new(),
            fixed_findings: Vec::new(),
            left_findings: Vec::new(),
            row,
        };
        for standing in cycle.platform_standings(index).into_iter().flatten() {
            let scan_run = standing.scan_run;
            let since = scan_run.finished();
            let reported = |finding: &Finding, since| ReportedFinding {
                platform: standing.platform.platform.clone(),
                since,
                finding: finding.clone(),
            };
            let (fixed, left) = (&mut image.fixed_findings, &mut image.left_findings);
            if let Some(evidence) = standing.evidence {
                fixed.extend(evidence.fixed().iter().map(|one| reported(one, None)));
                let after = evidence.remaining().iter().chain(evidence.introduced());
                let after = after.filter(|one| one.is_fixable());
                left.extend(after.map(|one| reported(one, since)));
            } else if let Some(scan) = scan_run.scan() {
                left.extend(scan.fixable.iter().map(|one| reported(one, since)));
            }
            image
                .databases
                .extend(scan_run.scan().and_then(|scan| scan.database));
            let runs = [Some(scan_run), standing.patch_run].into_iter().flatten();
            image.ended = runs.filter_map(Run::finished).chain(image.ended).max();
        }
        let published = cycle.publishing_run_of(index).and_then(Run::finished);
        let is_done = image.row.outcome.is_some();
        image.ended = image.ended.max(published).filter(|_| is_done);
        image.databases.sort_unstable();
        image.databases.dedup();
        image
    }

    /// What is told by a row alone.
    pub(crate) fn of_row(row: StatusRow) -> Self {
        Self {
            row,
            ended: None,
            databases: Vec::new(),
            fixed_findings: Vec::new(),
            left_findings: Vec::new(),
        }
    }

    /// Of several outcomes of one image the greatest counts: one that published a patch before one
    /// that did not, a real one before a missing one, then the latest; what the rest says makes it
    /// the same one each time.
    pub(crate) fn rank(&self) -> impl Ord {
        let reason = self.row.reason.as_ref().map(|reason| reason.code.as_str());
        (
            self.row.patched_image.is_some(),
            reason != Some(NO_RESULT),
            self.ended,
            serde_json::to_string(self).unwrap_or_default(),
        )
    }

    /// Why it ended as it did, in one line.
    pub(super) fn reason(&self) -> &str {
        let reason = self.row.reason.as_ref();
        reason.map_or("", |reason| &reason.text)
    }

    /// Since when the oldest of the findings that are left is open.
    pub fn open_since(&self) -> Option<DateTime<Utc>> {
        self.left_findings.iter().filter_map(|one| one.since).min()
    }

    /// Says in the numbers, too, since when findings are open.
    fn date_rows(&mut self) {
        let open_since = self.open_since();
        if let Some(findings) = &mut self.row.findings {
            findings.open_since = open_since;
        }
        for row in &mut self.row.platforms {
            let own = self.left_findings.iter();
            let own = own.filter(|one| one.platform == row.platform);
            let open_since = own.filter_map(|one| one.since).min();
            if let Some(findings) = &mut row.findings {
                findings.open_since = open_since;
            }
        }
    }

    /// Takes over since when findings are open; whether the image was scanned then at all.
    pub(super) fn follow(&mut self, before: &Self) -> bool {
        if before.row.findings.is_none() {
            return false;
        }
        let known = before.left_findings.iter();
        let known: BTreeMap<_, _> = known.map(|one| (one.identity(), one.since)).collect();
        for finding in &mut self.left_findings {
            let before = known.get(&finding.identity()).copied().flatten();
            finding.since = finding.since.into_iter().chain(before).min();
        }
        self.date_rows();
        true
    }
}
