//! What can be set for a cycle.

use std::num::NonZeroU32;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::step::Attach;
use crate::scan::ConfigKey;
use crate::workflow::WorkflowSettings;

/// How a cycle goes about its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "each is set by itself")]
pub struct CycleOptions {
    /// How many steps are done side by side; 1 by default.
    pub jobs: NonZeroU32,
    /// How many seconds to wait before the next attempt; 30 by default.
    pub pause_seconds: u32,
    /// How many seconds a step may take; 1800 by default.
    pub step_limit_seconds: u32,
    /// How often the runner may die over one step before the step has failed; 10 by default.
    ///
    /// Counted apart from failures: a machine that is restarted says nothing against an image,
    /// but an image that brings the runner down must not do so for ever.
    pub interruptions: u32,
    /// Whether a patched image must be better than what was scanned before; true by default.
    ///
    /// Without it every patched image is published that is still the same image.
    pub verify: bool,
    /// Whether a program tries each patched image that is good, before it is published; false by
    /// default.
    pub test: bool,
    /// What of the configuration a patcher may change that brings other layers than the original's;
    /// nothing by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_config: Vec<ConfigKey>,
    /// Whether what is known of a patched image is attached to it; not by default.
    pub attach: Attach,
    /// Whether a program signs each image before it gets its tag; false by default.
    pub sign: bool,
    /// Where the cycle stops short; by default it publishes what it has patched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
    /// Whether the cycle ends with its plan: others do what it asks for. False by default.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plan_only: bool,
    /// Whether a floating patch tag is replaced although nothing in it shows where it comes from;
    /// false by default.
    pub adopt: bool,
    /// What the workflow has settings for. What is set here takes precedence over what is kept
    /// with the workflow, which the plan brings.
    #[serde(flatten)]
    pub settings: WorkflowSettings,
}

/// Where a cycle stops short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// After the scans: nothing is written to the registry.
    Scan,
    /// After the candidates were judged: nothing is written to the registry.
    Verify,
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
            pause_seconds: 30,
            step_limit_seconds: 30 * 60,
            interruptions: 10,
            verify: true,
            test: false,
            allow_config: Vec::new(),
            attach: Attach::default(),
            sign: false,
            until: None,
            plan_only: false,
            adopt: false,
            settings: WorkflowSettings::default(),
        }
    }
}
