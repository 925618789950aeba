//! The step that attaches evidence to an image.

use serde::{Deserialize, Serialize};

use crate::cycle::CycleId;
use crate::name::{Digest, Platform, Repository, Tag};
use crate::workflow::PatcherKind;

/// Attach to an image that is going to be published what is known of it: to the manifest of a
/// platform what was fixed, what it was made from and by what, what the scans found and what it
/// holds; to an index what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttestStep {
    /// The cycle, which the statements name.
    pub cycle: CycleId,
    /// The repository.
    pub repository: Repository,
    /// The tag of the original.
    pub original: Tag,
    /// What the image was made from: the original's manifest for the platform, or its index.
    pub origin: Digest,
    /// The manifest or index, in the registry, that the statements are about.
    pub subject: Digest,
    /// The platform; none for an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
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
