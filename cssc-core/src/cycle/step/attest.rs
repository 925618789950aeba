//! The step that attaches proof to a candidate.

use serde::{Deserialize, Serialize};

use super::candidate::Candidate;
use crate::cycle::CycleId;
use crate::name::Digest;
use crate::workflow::PatcherKind;

/// Attach to a candidate that is going to be published what is known of it: what was fixed, what
/// it was made from and by what, what the scans found, what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttestStep {
    /// The cycle, which the statements name.
    pub cycle: CycleId,
    /// The candidate.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// What patched.
    #[serde(default)]
    pub patcher: PatcherKind,
    /// The digest of the policy that the plan follows, which the provenance names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
    /// What to do where the registry has no API for referrers.
    pub attach: Attach,
}

/// Whether what is known of a patched image is attached to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// Where the registry has an API for referrers.
    Auto,
    /// Also where it has none, under the fallback tag.
    Always,
    /// Not at all.
    #[default]
    Never,
}

/// What was attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AttestOutcome {
    /// All there is to attach is there: how many artifacts.
    Attached(u32),
    /// The registry has no API for referrers, and nothing was attached.
    Unsupported,
}
