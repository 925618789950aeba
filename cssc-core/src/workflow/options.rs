//! What can be set for a cycle.

use std::num::NonZeroU32;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// How a cycle goes about its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CycleOptions {
    /// How many steps are done side by side; 1 by default.
    pub jobs: NonZeroU32,
    /// How often a step is tried before it has failed; 3 by default.
    pub attempts: NonZeroU32,
    /// How many seconds to wait before the next attempt; 30 by default.
    pub pause_seconds: u32,
    /// How many seconds a step may take; 1800 by default.
    pub step_limit_seconds: u32,
    /// How often the runner may die over one step before the step has failed; 10 by default.
    ///
    /// Counted apart from failures: a machine that is restarted says nothing against an image,
    /// but an image that brings the runner down must not do so for ever.
    pub interruptions: u32,
    /// Whether a patched image must earn its tag; true by default.
    ///
    /// Without it every patched image is published, as in Azure.
    pub verify: bool,
    /// How many images a cycle may run; 100 by default, none for any number.
    pub limit: Option<u64>,
}

impl CycleOptions {
    pub(super) fn pause(&self) -> TimeDelta {
        TimeDelta::seconds(self.pause_seconds.into())
    }

    pub(super) fn step_limit(&self) -> TimeDelta {
        TimeDelta::seconds(self.step_limit_seconds.into())
    }
}

impl Default for CycleOptions {
    fn default() -> Self {
        Self {
            jobs: NonZeroU32::MIN,
            attempts: NonZeroU32::MIN.saturating_add(2),
            pause_seconds: 30,
            step_limit_seconds: 30 * 60,
            interruptions: 10,
            verify: true,
            limit: Some(100),
        }
    }
}
