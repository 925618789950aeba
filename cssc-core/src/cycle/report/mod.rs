//! What came of a cycle, for machines and for people.

mod figures;
mod html;
mod image;
mod junit;
mod lines;
mod markdown;
mod sarif;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{CycleId, RunId};
use super::image_name::ImageName;
use super::machine::Cycle;
use super::outcome::ImageOutcome;
use super::record::Cause;
use super::row::RowFindings;
use super::shard::CycleDocument;
use super::status::Status;
use super::summary::Summary;
use super::version::Version;

pub use figures::CycleFigures;
pub use html::ReportPage;
pub use image::{ImageReport, ReportedFinding};

/// A report of a cycle: what is kept of it once it has ended. Serialises as JSON, and is written
/// as Markdown, JUnit XML and SARIF for CI.
///
/// ```
/// use cssc_core::Cycle;
/// use cssc_core::cycle::{Cause, CycleId, CycleOptions, CycleReport};
///
/// let now = "2024-01-07T09:30:00Z".parse()?;
/// let id = CycleId::new(now, 1);
/// let cycle = Cycle::new(id, Cause::Immediate, CycleOptions::default(), now);
/// let report = CycleReport::new(&cycle);
/// let json = serde_json::to_string(&report)?;
/// assert!(json.starts_with(r#"{"version":1,"cycle":"20240107T093000Z-0001","status":"Queued""#));
/// assert_eq!(serde_json::from_str::<CycleReport>(&json)?, report);
/// let junit = report.junit().to_string();
/// assert!(junit.contains(r#"<testsuite name="cssc cycle 20240107T093000Z-0001""#));
/// let markdown = report.markdown().to_string();
/// assert!(markdown.starts_with("## Cycle 20240107T093000Z-0001: Queued"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CycleReport {
    version: Version,
    cycle: CycleId,
    status: Status,
    cause: Cause,
    started: Option<DateTime<Utc>>,
    finished: Option<DateTime<Utc>>,
    summary: Summary,
    /// What went wrong with the plan.
    problem: Option<String>,
    /// When the databases that the scans used were made, each once.
    databases: Vec<DateTime<Utc>>,
    images: Vec<ImageReport>,
}

/// How many earlier cycles are looked at for since when findings are open.
const EARLIER: usize = 10;

impl CycleReport {
    /// The report of a cycle as it is now.
    pub fn new(cycle: &Cycle) -> Self {
        let record = cycle.record();
        let trigger = cycle.run(&RunId::trigger(record.id()));
        let images: Vec<ImageReport> = cycle
            .image_rows()
            .map(|(index, row)| ImageReport::new(cycle, index, row))
            .chain(cycle.left_out_rows().map(ImageReport::of_row))
            .collect();
        Self {
            version: Version,
            cycle: record.id(),
            status: record.status(),
            cause: record.cause(),
            started: record.started(),
            finished: record.finished(),
            summary: cycle.summary(),
            problem: trigger
                .and_then(|run| run.reason())
                .map(ToString::to_string),
            databases: databases(&images),
            images,
        }
    }

    /// The report of a cycle that several workers did.
    pub(super) fn put_together(
        document: &CycleDocument,
        started: Option<DateTime<Utc>>,
        finished: DateTime<Utc>,
        images: Vec<ImageReport>,
    ) -> Self {
        let plan = match document.problem() {
            Some(_) => Status::Failed,
            None => Status::Succeeded,
        };
        let summary = Summary::of_rows(images.iter().map(|image| &image.row));
        Self {
            version: Version,
            cycle: document.cycle(),
            status: summary.status(plan),
            cause: document.cause(),
            started,
            finished: Some(finished),
            summary,
            problem: document.problem().map(ToString::to_string),
            databases: databases(&images),
            images,
        }
    }

    /// This report and another one of the same cycle, each of which may know what the other does
    /// not: of several outcomes of one image counts one that was published, or else the latest.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        let plan = match (&self.problem, &other.problem) {
            (None, None) => Status::Succeeded,
            _ => Status::Failed,
        };
        let mut images: BTreeMap<ImageName, ImageReport> = BTreeMap::new();
        let mut order = Vec::new();
        for image in std::mem::take(&mut self.images)
            .into_iter()
            .chain(other.images)
        {
            let name = image.row.image.clone();
            match images.get(&name) {
                None => order.push(name.clone()),
                Some(known) if known.rank() >= image.rank() => continue,
                Some(_) => {}
            }
            images.insert(name, image);
        }
        let images: Vec<ImageReport> = order
            .iter()
            .filter_map(|name| images.remove(name))
            .collect();
        let summary = Summary::of_rows(images.iter().map(|image| &image.row));
        Self {
            status: summary.status(plan),
            started: self.started.into_iter().chain(other.started).min(),
            finished: self.finished.max(other.finished),
            summary,
            problem: self.problem.or(other.problem),
            databases: databases(&images),
            images,
            ..self
        }
    }

    /// Says since when each finding is open, by the reports of earlier cycles, the newest first:
    /// what an image had when it was scanned last is open since then. No more of them are read than
    /// are needed, and ten at most.
    pub fn follow(&mut self, earlier: impl IntoIterator<Item = Self>) {
        let images = self.images.iter_mut();
        let mut open: Vec<_> = images.filter(|one| !one.left_findings.is_empty()).collect();
        let mut earlier = earlier.into_iter().take(EARLIER);
        while !open.is_empty()
            && let Some(earlier) = earlier.next()
        {
            let known = earlier.by_name();
            open.retain_mut(|image| {
                let before = known.get(&image.row.image);
                before.is_none_or(|before| !image.follow(before))
            });
        }
    }

    fn by_name(&self) -> BTreeMap<&ImageName, &ImageReport> {
        let images = self.images.iter();
        images.map(|image| (&image.row.image, image)).collect()
    }

    /// The cycle.
    pub fn cycle(&self) -> CycleId {
        self.cycle
    }

    /// How it ended, or where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// When it ended.
    pub fn finished(&self) -> Option<DateTime<Utc>> {
        self.finished
    }

    /// How its images stand, in numbers.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Its findings in numbers, each image counted for itself.
    pub fn findings(&self) -> RowFindings {
        let images = self.images.iter().map(|image| image.row.findings);
        RowFindings::of_all(images).unwrap_or_default()
    }

    /// What came of it in one line: the images by outcome, and the findings.
    ///
    /// ```text
    /// cycle 20260107T093000Z-3f2a succeeded: 3 images, 2 patched, 1 clean; findings: 6 fixed
    /// ```
    pub fn line(&self) -> impl fmt::Display {
        Written(self, lines::cycle)
    }

    /// A line for each image that was not clean, and at last the one of the cycle: what its log
    /// says.
    pub fn lines(&self) -> impl fmt::Display {
        Written(self, lines::all)
    }

    /// What went wrong with the plan, in words.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// When the databases that the scans used were made, each once. When there are several, some
    /// images were judged by older knowledge than others.
    pub fn databases(&self) -> &[DateTime<Utc>] {
        &self.databases
    }

    /// The images in the order of the plan, then what was left out.
    pub fn images(&self) -> &[ImageReport] {
        &self.images
    }

    /// The report as JUnit XML: a test case for the plan, for each image and for each thing that
    /// was left out. What is patched or clean has passed; what failed or is still vulnerable has
    /// failed; all else is skipped.
    pub fn junit(&self) -> impl fmt::Display {
        Written(self, junit::write)
    }

    /// The report as Markdown: the numbers, what was patched, and what was not and why.
    pub fn markdown(&self) -> impl fmt::Display {
        Written(self, markdown::write)
    }

    /// The report as one page of HTML that needs no network and no script: the outcomes at a glance,
    /// findings by severity, the story of each image, what was left out, and a chart of earlier
    /// cycles, which are given newest first. The registry is named as people do.
    pub fn html<'a>(&'a self, registry: &'a str, earlier: &'a [CycleFigures]) -> ReportPage<'a> {
        ReportPage {
            registry,
            report: Some(self),
            earlier,
            now: None,
        }
    }

    /// The report as SARIF 2.1.0: a result for each finding that can be fixed and is left.
    pub fn sarif(&self) -> impl Serialize {
        sarif::log(self)
    }

    /// The images with this outcome, and what was left out.
    fn of(&self, outcome: ImageOutcome) -> impl Iterator<Item = &ImageReport> {
        let images = self.images.iter();
        images.filter(move |image| image.row.outcome == Some(outcome))
    }
}

fn databases(images: &[ImageReport]) -> Vec<DateTime<Utc>> {
    let databases: BTreeSet<DateTime<Utc>> = images
        .iter()
        .flat_map(|image| image.databases.iter().copied())
        .collect();
    databases.into_iter().collect()
}

/// A report in one of its forms, written as it is printed.
struct Written<'a>(
    &'a CycleReport,
    fn(&CycleReport, &mut fmt::Formatter<'_>) -> fmt::Result,
);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.1)(self.0, f)
    }
}
