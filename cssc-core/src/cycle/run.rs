//! The record of one run.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{RunId, Task};
use super::image_name::ImageName;
use super::reason::Reason;
use super::status::Status;
use super::step::{ScanOutcome, Step, StepKind, TestOutcome, VerifyOutcome};
use super::version::Version;
use crate::name::{Digest, Tag};
use crate::scan::{PublishVerdict, ScanVerdict, Withheld};

/// A run of a task: what is stored, listed and shown of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    version: Version,
    pub(super) id: RunId,
    pub(super) status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<ImageName>,
    pub(super) created: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) finished: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
    /// Where the run stands; nothing once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<Progress>,
    /// What the scan came to, in a scan run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scan: Option<Box<ScanOutcome>>,
    /// How often its candidate was lost with the files of the relay.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) lost: u32,
    /// The digest of the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) made: Option<Digest>,
    /// What was found out about the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verified: Option<Box<VerifyOutcome>>,
    /// What its test came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tested: Option<TestOutcome>,
    /// What was published, or was to be, for each image of the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) publications: Vec<Publication>,
    /// What is being published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) publishing: Option<Publication>,
}

/// What became of the patch tag of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Publication {
    /// Which image of the plan it belongs to.
    pub image: u32,
    /// The patch tag.
    pub tag: Tag,
    /// The digest that it stands for, or was to stand for; none before that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Why the tag was not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

impl Publication {
    /// The digest that the tag stands for since; none when it was not written.
    pub fn published(&self) -> Option<&Digest> {
        self.digest.as_ref().filter(|_| self.reason.is_none())
    }
}

/// The step a run is at, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress {
    pub(super) step: Step,
    pub(super) activity: Activity,
    /// How often the step was begun.
    #[serde(default)]
    pub(super) attempt: u32,
    /// How often it failed.
    #[serde(default)]
    pub(super) failures: u32,
    /// How often the runner died over it.
    #[serde(default)]
    pub(super) interruptions: u32,
}

impl Progress {
    fn at(step: Step) -> Self {
        Self {
            step,
            activity: Activity::Ready,
            attempt: 0,
            failures: 0,
            interruptions: 0,
        }
    }
}

/// Whether the step can be begun, is being done, or waits for another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Activity {
    Ready,
    WaitingUntil(DateTime<Utc>),
    InFlight,
}

impl Run {
    pub(super) fn new(
        id: RunId,
        step: Step,
        image: Option<ImageName>,
        created: DateTime<Utc>,
    ) -> Self {
        Self {
            version: Version,
            id,
            status: Status::Queued,
            image,
            created,
            started: None,
            finished: None,
            reason: None,
            progress: Some(Progress::at(step)),
            scan: None,
            lost: 0,
            made: None,
            verified: None,
            tested: None,
            publications: Vec::new(),
            publishing: None,
        }
    }

    /// The name of the run.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The task it is a run of.
    pub fn task(&self) -> Task {
        self.id.task()
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The image it is about; none for the trigger run.
    pub fn image(&self) -> Option<&ImageName> {
        self.image.as_ref()
    }

    /// When it was queued.
    pub fn created(&self) -> DateTime<Utc> {
        self.created
    }

    /// When its first step was begun.
    pub fn started(&self) -> Option<DateTime<Utc>> {
        self.started
    }

    /// When it ended.
    pub fn finished(&self) -> Option<DateTime<Utc>> {
        self.finished
    }

    /// Why it failed, or made nothing although it succeeded; and, while it waits for another
    /// attempt, what went wrong before.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// The step it is at; none once it has ended.
    pub fn step(&self) -> Option<StepKind> {
        Some(self.progress.as_ref()?.step.kind())
    }

    /// Which attempt at the step it is at, from 1; 0 before the first.
    pub fn attempt(&self) -> u32 {
        self.progress
            .as_ref()
            .map_or(0, |progress| progress.attempt)
    }

    /// What the scan came to, in a scan run that has ended well.
    pub fn scan(&self) -> Option<&ScanOutcome> {
        self.scan.as_deref()
    }

    /// Whether it is a scan that has found that its manifest is to be patched.
    pub(super) fn needs_patch(&self) -> bool {
        let verdict = self.scan().map(|scan| &scan.verdict);
        matches!(verdict, Some(ScanVerdict::Patch { .. }))
    }

    /// What was found out about the candidate, in a patch run.
    pub fn verified(&self) -> Option<&VerifyOutcome> {
        self.verified.as_deref()
    }

    /// Whether the candidate earns the tag of an image of which this was scanned; none before it was
    /// judged.
    pub(super) fn verdict(&self, scanned: &Digest, must_be_better: bool) -> Option<PublishVerdict> {
        let verdict = self.verified()?.verdict(scanned, must_be_better);
        Some(match (&self.tested, verdict) {
            (Some(TestOutcome::Refused(why)), PublishVerdict::Publish) => {
                PublishVerdict::Withhold(Withheld::TestFailed(why.as_str().into()))
            }
            (_, verdict) => verdict,
        })
    }

    /// What was published, in the order in which it was; an image of the plan that has the same
    /// digest as others gets a tag of its own.
    pub fn publications(&self) -> &[Publication] {
        &self.publications
    }

    /// What became of the patch tag of one image.
    pub(super) fn publication(&self, image: u32) -> Option<&Publication> {
        self.publications.iter().find(|one| one.image == image)
    }

    pub(super) fn end(&mut self, status: Status, reason: Option<Reason>, now: DateTime<Utc>) {
        self.status = status;
        self.reason = reason;
        self.progress = None;
        self.finished = Some(now);
    }

    /// Ends since it is canceled.
    pub(super) fn cancel(&mut self, now: DateTime<Utc>) {
        if let Some(publishing) = self.publishing.take() {
            self.publications.push(Publication {
                reason: Some(Reason::Canceled),
                ..publishing
            });
        }
        self.end(Status::Canceled, Some(Reason::Canceled), now);
    }

    /// Goes on with another step.
    pub(super) fn enter(&mut self, step: impl Into<Step>) {
        self.reason = None;
        self.progress = Some(Progress::at(step.into()));
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}
