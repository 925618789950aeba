//! What is stored of a cycle beside its runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::CycleId;
use super::options::CycleOptions;
use super::status::Status;
use super::step::BegunPublication;
use super::version::Version;

/// Why a cycle runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// Its time has come: the run of the schedule it is.
    Scheduled(DateTime<Utc>),
    /// Somebody asked for it.
    Immediate,
}

/// What is stored of a cycle beside its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CycleRecord {
    pub(super) version: Version,
    pub(super) id: CycleId,
    pub(super) cause: Cause,
    pub(super) options: CycleOptions,
    pub(super) status: Status,
    pub(super) created: DateTime<Utc>,
    /// What this worker was about to publish before it was ended, where the notes of it are kept
    /// elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) begun: Vec<BegunPublication>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) finished: Option<DateTime<Utc>>,
}

impl CycleRecord {
    /// The name of the cycle.
    pub fn id(&self) -> CycleId {
        self.id
    }

    /// Why it runs.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// How it goes about its work.
    pub fn options(&self) -> &CycleOptions {
        &self.options
    }

    /// Where it stands. It failed when any of its runs did.
    pub fn status(&self) -> Status {
        self.status
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
}
