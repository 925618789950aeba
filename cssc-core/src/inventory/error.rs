//! Why the tags of a repository could not be read.

use serde::{Deserialize, Serialize};

/// Why the tags of a repository could not be read: what kind of failure, and a message for people.
///
/// Displays as the message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ListingError {
    kind: UnavailableKind,
    message: Box<str>,
}

impl ListingError {
    /// A failure of this kind.
    pub fn new(kind: UnavailableKind, message: impl Into<Box<str>>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> UnavailableKind {
        self.kind
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether asking again later may succeed without anything being changed.
    pub fn is_transient(&self) -> bool {
        self.kind == UnavailableKind::Transient
    }
}

/// What kind of failure kept tags from being read, and so whether asking again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UnavailableKind {
    /// The registry could not be reached, was too slow or is overloaded: a later attempt may
    /// succeed.
    Transient,
    /// The registry wants credentials, or refused those it was given.
    Unauthorized,
    /// Anything else that stays as it is until somebody changes something.
    Permanent,
}

impl UnavailableKind {
    /// The kind as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Unauthorized => "unauthorized",
            Self::Permanent => "permanent",
        }
    }
}
