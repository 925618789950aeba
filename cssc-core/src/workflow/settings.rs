//! What is kept with a workflow about how its cycles are run.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::platforms::PlatformSelection;
use crate::plan::ImageLimit;

/// How the cycles of a workflow are run, as far as it is kept with the workflow; what is not set
/// is the default.
///
/// Whoever may write to a registry may change the workflow that is stored there. So all of these
/// are closed values: no program, argument or address is among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct WorkflowSettings {
    /// How many images the workflow may run; 100 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<ImageLimit>,
    /// What patches; Copa by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patcher: Option<PatcherKind>,
    /// How often a step is tried before it has failed; 3 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<NonZeroU32>,
    /// Which platforms of an image are taken care of; all by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platforms: Option<PlatformSelection>,
    /// Whether a record of each cycle is kept in the registry; false by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<bool>,
}

impl WorkflowSettings {
    /// These settings, and `others` where nothing is set.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        let others = others.clone();
        Self {
            limit: self.limit.or(others.limit),
            patcher: self.patcher.or(others.patcher),
            attempts: self.attempts.or(others.attempts),
            platforms: self.platforms.or(others.platforms),
            record: self.record.or(others.record),
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many images the workflow may run, in the end.
    pub fn effective_limit(&self) -> ImageLimit {
        self.limit.unwrap_or_default()
    }

    /// How often a step is tried, in the end.
    pub fn effective_attempts(&self) -> NonZeroU32 {
        const THREE: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);
        self.attempts.unwrap_or(THREE)
    }

    /// Whether records are kept in the registry, in the end.
    pub fn keeps_records(&self) -> bool {
        self.record.unwrap_or_default()
    }

    /// What patches, in the end.
    pub fn effective_patcher(&self) -> PatcherKind {
        self.patcher.unwrap_or_default()
    }
}

/// What patches images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PatcherKind {
    /// Copa, which needs `BuildKit`.
    #[default]
    Copa,
    /// Buildah, which upgrades with the package manager of the image.
    Buildah,
    /// A program of the user's.
    Command,
}

impl PatcherKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Copa, Self::Buildah, Self::Command];

    /// The name: `copa`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copa => "copa",
            Self::Buildah => "buildah",
            Self::Command => "command",
        }
    }
}

impl PatcherKind {
    /// Whether it is known to add layers to those of the original, and to do nothing else.
    ///
    /// Then it is given the layers alone, under a neutral configuration, and nothing but the layers
    /// that it adds is taken. A program of the user's may also exchange layers: it is given the
    /// original.
    pub fn only_adds_layers(self) -> bool {
        match self {
            Self::Copa | Self::Buildah => true,
            Self::Command => false,
        }
    }

    /// Whether it fetches packages with images of its own, beside the one that it patches.
    pub fn has_tooling_images(self) -> bool {
        match self {
            Self::Copa => true,
            Self::Buildah | Self::Command => false,
        }
    }
}

impl fmt::Display for PatcherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for PatcherKind {
    type Err = PatcherKindError;

    fn from_str(text: &str) -> Result<Self, PatcherKindError> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or(PatcherKindError)
    }
}

/// A text that names no patcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `copa`, `buildah` or `command`")]
pub struct PatcherKindError;
