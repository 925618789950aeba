//! The record of one run.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{RunId, Task};
use super::image::CycleImage;
use super::reason::Reason;
use super::status::Status;
use super::version::Version;
use crate::name::Tag;

/// A run of a task: what is stored, listed and shown of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    #[serde(default)]
    version: Version,
    pub(super) id: RunId,
    pub(super) status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<CycleImage>,
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
    /// The digest of what was scanned or, in a patch run, of the original that was patched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    /// The tag of a candidate that may be in the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) candidate: Option<Tag>,
    /// The tag the patched image was published under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) published: Option<Tag>,
    /// The digest of the patched image that was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) published_digest: Option<String>,
}

/// The step a run is at, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress {
    pub(super) phase: Phase,
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
    pub(super) fn at(phase: Phase) -> Self {
        Self {
            phase,
            activity: Activity::Ready,
            attempt: 0,
            failures: 0,
            interruptions: 0,
        }
    }
}

/// The step a run is at, with what the steps before it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Phase {
    Plan,
    Scan,
    Patch,
    Verify {
        digest: String,
    },
    Publish {
        digest: String,
    },
    /// The end is decided, and only the candidate is to be cleared away.
    Discard {
        end: Status,
        #[serde(default)]
        reason: Option<Reason>,
    },
}

impl Phase {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Scan => "scan",
            Self::Patch => "patch",
            Self::Verify { .. } => "verify",
            Self::Publish { .. } => "publish",
            Self::Discard { .. } => "discard",
        }
    }

    /// What is done first when several runs are ready: what is nearest to its end, so that images
    /// are finished one by one instead of all being begun.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Discard { .. } => 0,
            Self::Publish { .. } => 1,
            Self::Verify { .. } => 2,
            Self::Patch => 3,
            Self::Scan => 4,
            Self::Plan => 5,
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
        phase: Phase,
        image: Option<CycleImage>,
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
            progress: Some(Progress::at(phase)),
            digest: None,
            candidate: None,
            published: None,
            published_digest: None,
        }
    }

    /// The name of the run.
    pub fn id(&self) -> RunId {
        self.id
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
    pub fn image(&self) -> Option<&CycleImage> {
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

    /// The step it is at, in a word: `scan`, `verify`. None once it has ended.
    pub fn step(&self) -> Option<&'static str> {
        Some(self.progress.as_ref()?.phase.name())
    }

    /// Which attempt at the step it is at, from 1; 0 before the first.
    pub fn attempt(&self) -> u32 {
        self.progress
            .as_ref()
            .map_or(0, |progress| progress.attempt)
    }

    /// The digest of what was scanned or, in a patch run, of the original that was patched.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The tag the patched image was published under.
    pub fn published(&self) -> Option<&Tag> {
        self.published.as_ref()
    }

    /// The digest of the patched image that was published.
    pub fn published_digest(&self) -> Option<&str> {
        self.published_digest.as_deref()
    }

    /// The tag of a candidate that may still be in the registry.
    pub fn candidate(&self) -> Option<&Tag> {
        self.candidate.as_ref()
    }

    pub(super) fn end(&mut self, status: Status, reason: Option<Reason>, now: DateTime<Utc>) {
        self.status = status;
        self.reason = reason;
        self.progress = None;
        self.finished = Some(now);
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.reason = None;
        self.progress = Some(Progress::at(phase));
    }
}
