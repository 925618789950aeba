//! The rows of `workflow list`.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::RunId;
use super::image::{CycleImage, CyclePlatform};
use super::image_name::ImageName;
use super::machine::Cycle;
use super::outcome::ImageOutcome;
use super::plan::{CyclePlan, LeftOut, PLATFORM_NOT_SELECTED};
use super::reason::Reason;
use super::standing::PlatformStanding;
use super::status::RowStatus;
use crate::name::{Digest, Platform};

/// The only type of workflow there is.
pub const WORKFLOW_TYPE: &str = "continuouspatchv1";

/// Why an image ended as it did: for programs, and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowReason {
    /// For programs: `no-vulnerability`.
    pub code: String,
    /// For people, in one line.
    pub text: String,
}

impl RowReason {
    /// Says how many findings nothing fixes yet, since they are not shown otherwise.
    fn with_unfixed(mut self, count: usize) -> Self {
        if count > 0 {
            self.text = format!("{}, {count} without a fix", self.text);
        }
        self
    }
}

impl From<&Reason> for RowReason {
    fn from(reason: &Reason) -> Self {
        Self {
            code: reason.code().to_owned(),
            text: reason.to_string(),
        }
    }
}

/// What is known of an image's findings, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RowFindings {
    /// Those that could be fixed when the image was scanned.
    pub fixable: usize,
    /// Those that the published patch took away.
    pub fixed: usize,
    /// Those that can be fixed and are left.
    pub left: usize,
    /// Those that can be fixed and that the published patch brought in.
    pub introduced: usize,
    /// Those that nothing fixes yet.
    pub unfixed: usize,
    /// Since when the oldest of those that are left is open, as far as earlier cycles tell; none
    /// when none is left.
    #[serde(default)]
    pub open_since: Option<DateTime<Utc>>,
}

impl RowFindings {
    fn of(standing: &PlatformStanding<'_>) -> Self {
        let scan = standing.scan_run.scan();
        let (fixable, unfixed) = scan.map_or((0, 0), |scan| (scan.fixable.len(), scan.unfixed));
        let findings = match standing.evidence {
            None => Self {
                fixable,
                left: fixable,
                unfixed,
                ..Self::default()
            },
            Some(evidence) => Self {
                fixable,
                fixed: evidence.fixed().len(),
                left: evidence.fixable_left(),
                introduced: evidence.introduced().len(),
                unfixed: evidence.unfixed(),
                open_since: None,
            },
        };
        let scanned = standing.scan_run.finished;
        Self {
            open_since: scanned.filter(|_| findings.left > 0),
            ..findings
        }
    }

    /// The numbers of several, where any is known.
    pub(super) fn of_all(all: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        all.flatten().reduce(Self::and)
    }

    fn and(self, other: Self) -> Self {
        Self {
            fixable: self.fixable.saturating_add(other.fixable),
            fixed: self.fixed.saturating_add(other.fixed),
            left: self.left.saturating_add(other.left),
            introduced: self.introduced.saturating_add(other.introduced),
            unfixed: self.unfixed.saturating_add(other.unfixed),
            open_since: self.open_since.into_iter().chain(other.open_since).min(),
        }
    }
}

/// `6 fixed, 2 left (open since 2026-01-07), 4 without a fix`: what there is none of is not told.
impl fmt::Display for RowFindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.open_since.map(|since| since.format("%Y-%m-%d"));
        let since = since.map(|since| format!(" (open since {since})"));
        let parts = [
            (self.fixed, "fixed", None),
            (self.left, "left", since),
            (self.unfixed, "without a fix", None),
        ];
        let mut separator = "";
        for (count, what, more) in parts.into_iter().filter(|(count, ..)| *count > 0) {
            write!(f, "{separator}{count} {what}{}", more.unwrap_or_default())?;
            separator = ", ";
        }
        f.write_str(if separator.is_empty() { "none" } else { "" })
    }
}

/// What is shown of one image of a cycle, or of what the cycle left out: the article's nine
/// fields, how the image ended and why, its findings and its platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct StatusRow {
    /// Repository and original tag: `python:3.11`.
    pub image: ImageName,
    /// The type of the workflow: `continuouspatchv1`.
    pub workflow_type: String,
    /// How the image ended; none until it is done.
    pub outcome: Option<ImageOutcome>,
    /// How the scan stands.
    pub scan_status: RowStatus,
    /// When the scan ended; none when it failed, or has not ended.
    pub scan_date: Option<DateTime<Utc>>,
    /// The run that scans; of an image with several platforms, the first platform's. None for what
    /// was left out.
    pub scan_run_id: Option<RunId>,
    /// How the patch stands; skipped when the scan succeeded and nothing was to be patched or
    /// nothing was worth a tag; unknown until the scan has said.
    pub patch_status: RowStatus,
    /// When the patch ended; none when it failed, or was skipped, or has not ended.
    pub patch_date: Option<DateTime<Utc>>,
    /// Repository and patch tag: `python:3.11-2`; none when none was made.
    pub patched_image: Option<ImageName>,
    /// The digest that the patch tag stands for.
    pub patched_digest: Option<Digest>,
    /// The run that patches, when there is one; of an image with several platforms, the one that
    /// publishes.
    pub patch_run_id: Option<RunId>,
    /// What is known of its findings, once it was scanned.
    pub findings: Option<RowFindings>,
    /// Why it ended as it did, was left out, or is tried again.
    pub reason: Option<RowReason>,
    /// Its platforms, each for itself.
    #[serde(default)]
    pub platforms: Vec<PlatformRow>,
}

/// What is shown of one platform of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PlatformRow {
    /// The platform.
    pub platform: Platform,
    /// How it ended; none until it is done.
    pub outcome: Option<ImageOutcome>,
    /// The run that scans it; none when the workflow does not take care of it.
    pub scan_run_id: Option<RunId>,
    /// The run that patches it, when there is one.
    pub patch_run_id: Option<RunId>,
    /// What is known of its findings, once it was scanned.
    pub findings: Option<RowFindings>,
    /// Why it ended as it did, or is tried again.
    pub reason: Option<RowReason>,
}

impl PlatformRow {
    fn new(standing: &PlatformStanding<'_>) -> Self {
        Self {
            platform: standing.platform.platform.clone(),
            outcome: standing.outcome,
            scan_run_id: Some(standing.scan_run.id.clone()),
            patch_run_id: standing.patch_run.map(|run| run.id.clone()),
            findings: (standing.scan == RowStatus::Succeeded).then(|| RowFindings::of(standing)),
            reason: standing.reason.as_deref().map(RowReason::from),
        }
    }

    /// The row of a platform that stays what it is.
    fn unselected(platform: &CyclePlatform) -> Self {
        Self {
            platform: platform.platform.clone(),
            outcome: Some(ImageOutcome::LeftOut),
            scan_run_id: None,
            patch_run_id: None,
            findings: None,
            reason: Some(RowReason {
                code: PLATFORM_NOT_SELECTED.to_owned(),
                text: "the workflow does not take care of this platform".to_owned(),
            }),
        }
    }
}

impl Cycle {
    /// A row for each image, in the order of the plan, then one for each thing that was left out.
    pub fn rows(&self) -> impl Iterator<Item = StatusRow> {
        self.image_rows()
            .map(|(_, row)| row)
            .chain(self.left_out_rows())
    }

    /// A row for each image that is taken care of here, with its number in the plan.
    pub(super) fn image_rows(&self) -> impl Iterator<Item = (u32, StatusRow)> {
        let images = self.plan.iter().flat_map(CyclePlan::here);
        images.filter_map(|(index, image)| Some((index, self.row(index, image)?)))
    }

    /// A row for each thing that was left out.
    pub(super) fn left_out_rows(&self) -> impl Iterator<Item = StatusRow> {
        let left_out = self.plan.iter().flat_map(CyclePlan::left_out);
        left_out.map(StatusRow::left_out)
    }

    fn row(&self, index: u32, image: &CycleImage) -> Option<StatusRow> {
        let standing = self.image_standing(index)?;
        let platforms: Vec<_> = self.platform_standings(index)?.collect();
        let worst = platforms.iter().max_by_key(|one| one.outcome);
        // What is not done yet tells why it will be retried.
        let open = platforms.iter().find(|one| one.outcome.is_none());
        let reason = open.or(worst)?.reason.as_deref();
        let scans = platforms.iter().map(|one| one.scan_run.finished);
        let publishing = self.publishing_run_of(index);
        let first_patch = platforms.iter().find_map(|one| one.patch_run);
        let published = self
            .publication(index)
            .filter(|one| one.published().is_some());
        let needs_patch = standing.patch != RowStatus::Unknown && first_patch.is_some();
        let selected = platforms.iter().map(PlatformRow::new);
        let unselected = image.unselected.iter().map(PlatformRow::unselected);
        let rows: Vec<PlatformRow> = selected.chain(unselected).collect();
        let findings = RowFindings::of_all(rows.iter().map(|row| row.findings));
        Some(StatusRow {
            image: image.name(),
            workflow_type: WORKFLOW_TYPE.to_owned(),
            outcome: standing.outcome,
            scan_status: standing.scan,
            scan_date: scans
                .max()
                .flatten()
                .filter(|_| standing.scan == RowStatus::Succeeded),
            scan_run_id: platforms.first().map(|one| one.scan_run.id.clone()),
            patch_status: standing.patch,
            patch_date: publishing
                .and_then(|run| run.finished)
                .filter(|_| standing.patch == RowStatus::Succeeded),
            patched_image: published.map(|one| ImageName::of(&image.repository, &one.tag)),
            patched_digest: published.and_then(|one| one.digest.clone()),
            patch_run_id: publishing
                .or(first_patch)
                .filter(|_| needs_patch || publishing.is_some())
                .map(|run| run.id.clone()),
            reason: reason.map(|reason| match (findings, standing.outcome) {
                (Some(findings), Some(ImageOutcome::Clean)) => {
                    RowReason::from(reason).with_unfixed(findings.unfixed)
                }
                _ => RowReason::from(reason),
            }),
            findings,
            platforms: rows,
        })
    }
}

/// The code of what nobody has reported.
pub(super) const NO_RESULT: &str = "no-result";

impl StatusRow {
    /// The row of something that the cycle left out.
    pub(super) fn left_out(left_out: &LeftOut) -> Self {
        let image = ImageName {
            repository: left_out.repository.clone(),
            tag: left_out.tag.as_str().into(),
        };
        let reason = RowReason {
            code: left_out.reason.code().to_owned(),
            text: left_out.reason.to_string(),
        };
        Self::untouched(image, ImageOutcome::LeftOut, RowStatus::Skipped, reason)
    }

    /// The row of an image of which the worker of its shard has reported nothing.
    pub(super) fn without_result(image: ImageName, shard: u32) -> Self {
        let reason = RowReason {
            code: NO_RESULT.to_owned(),
            text: format!("no result of shard {shard}"),
        };
        Self::untouched(image, ImageOutcome::Failed, RowStatus::Unknown, reason)
    }

    fn untouched(
        image: ImageName,
        outcome: ImageOutcome,
        status: RowStatus,
        reason: RowReason,
    ) -> Self {
        Self {
            image,
            workflow_type: WORKFLOW_TYPE.to_owned(),
            outcome: Some(outcome),
            scan_status: status,
            scan_date: None,
            scan_run_id: None,
            patch_status: status,
            patch_date: None,
            patched_image: None,
            patched_digest: None,
            patch_run_id: None,
            findings: None,
            reason: Some(reason),
            platforms: Vec::new(),
        }
    }
}
