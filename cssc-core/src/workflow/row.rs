//! The rows of `workflow list`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::RunId;
use super::run::Run;
use super::status::{RowStatus, Status};

/// The only type of workflow there is.
pub const WORKFLOW_TYPE: &str = "continuouspatchv1";

/// What is shown of one image of a cycle: the article's nine fields and a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRow {
    /// Repository and original tag: `python:3.11`.
    pub image: String,
    /// The type of the workflow: `continuouspatchv1`.
    pub workflow_type: String,
    /// How the scan stands.
    pub scan_status: RowStatus,
    /// When the scan ended; none when it failed, or has not ended.
    pub scan_date: Option<DateTime<Utc>>,
    /// The run that scans.
    pub scan_run_id: RunId,
    /// How the patch stands; skipped when the scan succeeded and nothing was to be patched or
    /// nothing was worth a tag; unknown until the scan has said.
    pub patch_status: RowStatus,
    /// When the patch ended; none when it failed, or was skipped, or has not ended.
    pub patch_date: Option<DateTime<Utc>>,
    /// Repository and patch tag: `python:3.11-2`; none when none was made.
    pub patched_image: Option<String>,
    /// The run that patches, when there is one.
    pub patch_run_id: Option<RunId>,
    /// Why something was skipped, failed or is tried again, for people.
    pub reason: Option<String>,
}

impl StatusRow {
    pub(super) fn new(scan: &Run, patch: Option<&Run>) -> Option<Self> {
        let image = scan.image.as_ref()?;
        let repository = image.repository.as_str();
        let patch_status = match patch {
            Some(patch) if patch.status == Status::Succeeded && patch.published.is_none() => {
                RowStatus::Skipped
            }
            Some(patch) => patch.status.into(),
            None if scan.status == Status::Succeeded => RowStatus::Skipped,
            None => RowStatus::Unknown,
        };
        let succeeded = |run: &Run| run.finished.filter(|_| run.status == Status::Succeeded);
        let reason = patch.and_then(Run::reason).or(scan.reason());
        Some(Self {
            image: format!("{repository}:{}", image.tag),
            workflow_type: WORKFLOW_TYPE.to_owned(),
            scan_status: scan.status.into(),
            scan_date: succeeded(scan),
            scan_run_id: scan.id,
            patch_status,
            patch_date: patch
                .filter(|_| patch_status == RowStatus::Succeeded)
                .and_then(succeeded),
            patched_image: patch
                .and_then(Run::published)
                .map(|tag| format!("{repository}:{tag}")),
            patch_run_id: patch.map(Run::id),
            reason: reason.map(ToString::to_string),
        })
    }
}
