//! The step that makes a candidate.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cycle::CycleId;
use crate::name::{Digest, Platform, Repository, Tag};
use crate::workflow::PatcherKind;

/// Patch one platform of the original into the relay: a manifest that says where it comes from and
/// is published as it is.
///
/// Where one of [`begun`](Self::begun) was published, what it holds for the platform is the candidate:
/// it is judged again and nothing is made anew.
///
/// The patcher needs the report of the original: where it is not at hand, the original is scanned
/// first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PatchStep {
    /// The cycle it is patched in.
    pub cycle: CycleId,
    /// The repository.
    pub repository: Repository,
    /// The tag of the original, never a patch itself; of several with one digest, the first in
    /// byte order.
    pub original: Tag,
    /// What that tag stands for: the index, or the manifest.
    pub image: Digest,
    /// The original's manifest for the platform: what is patched.
    pub manifest: Digest,
    /// The platform.
    pub platform: Platform,
    /// What this worker was about to publish before it was ended, by its own notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<BegunPublication>,
    /// The digest of the patch before, if the manifest is to name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// What patches.
    #[serde(default)]
    pub patcher: PatcherKind,
}

/// A publication that was begun: written down before the tag was, so that after a crash one's own
/// publication is known again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BegunPublication {
    /// The repository.
    pub repository: Repository,
    /// The patch tag.
    pub tag: Tag,
    /// The digest that it was to stand for.
    pub digest: Digest,
}

/// What a patcher made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PatchOutcome {
    /// A candidate: its digest.
    Made(Digest),
    /// The patcher ended well, and made nothing.
    NothingMade,
    /// Nothing can be made that may be published: the platform stays as it is.
    Refused(PatchRefusal),
}

/// Why nothing can be made that may be published. Prints as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PatchRefusal {
    /// It would have this many layers, more than container engines take.
    TooManyLayers(usize),
    /// Its lowest layers are not those of the original, though its patcher only adds layers.
    OtherLayers,
    /// Programs of its platform cannot be run where it would be patched, for this reason.
    NotRunnable(String),
}

impl PatchRefusal {
    /// The most layers that an image may have: Docker refuses more.
    pub const MAX_LAYERS: usize = 125;

    /// The reason as programs compare it: `too-many-layers`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooManyLayers(_) => "too-many-layers",
            Self::OtherLayers => "another-image",
            Self::NotRunnable(_) => "no-emulation",
        }
    }
}

impl fmt::Display for PatchRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyLayers(count) => write!(
                f,
                "the patched image would have {count} layers, and Docker takes at most {}: rebuild \
                 the original with fewer",
                Self::MAX_LAYERS
            ),
            Self::OtherLayers => {
                f.write_str("the patched image does not begin with the layers of the original")
            }
            Self::NotRunnable(why) => f.write_str(why),
        }
    }
}
