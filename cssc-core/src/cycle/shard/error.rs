//! Why a document of a cycle is refused.

use std::fmt;

use super::Shard;
use crate::cycle::id::CycleId;
use crate::cycle::image_name::ImageName;

/// Why a document of a cycle, or a result of a shard, is refused. Prints as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DocumentError {
    kind: DocumentErrorKind,
    message: String,
}

/// What is wrong with a document of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DocumentErrorKind {
    /// It is no such document, is cut off, or is of a version that this program does not know.
    Unreadable,
    /// It says something that no plan of this program says: somebody has changed it.
    Changed,
    /// It belongs to another cycle, registry or shard.
    Foreign,
    /// There is nothing to write it of: the plan failed.
    NoPlan,
}

impl DocumentError {
    pub(super) fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        Self {
            kind: DocumentErrorKind::Unreadable,
            message: match error.classify() {
                serde_json::error::Category::Eof => format!("the {what} is cut off: {error}"),
                _ => format!("this is no {what}: {error}"),
            },
        }
    }

    pub(super) fn changed(message: impl fmt::Display) -> Self {
        Self {
            kind: DocumentErrorKind::Changed,
            message: format!("the cycle document was changed: {message}"),
        }
    }

    pub(super) fn no_plan(reason: impl fmt::Display) -> Self {
        Self {
            kind: DocumentErrorKind::NoPlan,
            message: format!("there is no plan: {reason}"),
        }
    }

    pub(super) fn other_registry(registry: &str, expected: &str) -> Self {
        Self::foreign(format!(
            "the cycle document is of the registry `{registry}`, not of `{expected}`"
        ))
    }

    pub(super) fn no_such_shard(shard: Shard, count: u32) -> Self {
        Self::foreign(format!(
            "there is no shard `{shard}`: the cycle was planned with {count}"
        ))
    }

    pub(super) fn other_cycle(found: CycleId, expected: CycleId) -> Self {
        Self::foreign(format!(
            "the result is of the cycle `{found}`, not of `{expected}`"
        ))
    }

    pub(super) fn other_image(image: &ImageName, shard: Shard, why: &str) -> Self {
        Self::foreign(format!("the result of shard {shard} has `{image}`, {why}"))
    }

    fn foreign(message: String) -> Self {
        Self {
            kind: DocumentErrorKind::Foreign,
            message,
        }
    }

    /// What is wrong, for programs.
    pub fn kind(&self) -> DocumentErrorKind {
        self.kind
    }
}
