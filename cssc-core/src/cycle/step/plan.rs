//! The step that makes the plan.

use serde::{Deserialize, Serialize};

use crate::cycle::{CycleId, CycleImage, ImageFilter, LeftOut};
use crate::name::{Digest, Repository};
use crate::tags::TagConvention;
use crate::workflow::{PatcherKind, PlatformSelection, WorkflowSettings};

/// Read the policy, list the tags, make the plan, and pin what the tags of it stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    /// The cycle that is planned.
    pub cycle: CycleId,
    /// Whether what cannot be read just now is left out. Otherwise it is a transient failure: the
    /// step is tried again before the other images go on without it. What will not be readable
    /// later either is left out anyhow.
    pub leave_out_unavailable: bool,
    /// What will patch; the workflow says so where this does not. It is checked with the scanner
    /// before anything is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patcher: Option<PatcherKind>,
    /// Which platforms are taken care of; the workflow says so where this does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platforms: Option<PlatformSelection>,
    /// The images to take of those that the policy selects; all of them when none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<ImageFilter>,
    /// Whether the cycle patches at all: without it the registry is not written to.
    #[serde(default = "default_true")]
    pub patches: bool,
    /// Whether others scan and patch. Then the images are measured, so that the work can be shared
    /// out, and no tool is needed here; otherwise the tools are checked and the scanner is made
    /// ready first, so that what is missing is found out before an hour of scans.
    #[serde(default)]
    pub for_others: bool,
}

fn default_true() -> bool {
    true
}

impl PlanStep {
    /// Whether the cycle takes an image.
    pub fn takes(&self, repository: &Repository, tag: &str) -> bool {
        ImageFilter::take(&self.only, repository, tag)
    }

    /// Whether the cycle takes any image of a repository.
    pub fn takes_any_of(&self, repository: &Repository) -> bool {
        let mut only = self.only.iter();
        self.only.is_empty() || only.any(|filter| filter.repository == *repository)
    }
}

/// The policy that a plan follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedPolicy {
    /// Its digest.
    pub digest: Digest,
    /// How its patch tags are formed.
    pub tag_convention: TagConvention,
}

/// The plan of a cycle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanOutcome {
    /// The images to take care of. One that is named twice is taken once.
    pub images: Vec<CycleImage>,
    /// What the policy names or matches beside them.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// The policy that the plan follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PinnedPolicy>,
    /// What is kept with the workflow about how its cycles are run.
    #[serde(default, skip_serializing_if = "WorkflowSettings::is_empty")]
    pub settings: WorkflowSettings,
}
