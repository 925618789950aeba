//! Why a step was not done.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a step failed, and whether another attempt may do better. Prints as the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepFailure {
    /// Whether another attempt may do better.
    pub kind: FailureKind,
    /// What went wrong, in one line.
    pub message: String,
}

/// Whether another attempt may do better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// It may: a timeout, a registry that cannot be reached.
    Transient,
    /// It will not: refused credentials, an image without a package manager.
    Permanent,
}

impl StepFailure {
    /// A failure that another attempt may not meet.
    pub fn transient(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Transient,
            message: message.into(),
        }
    }

    /// A failure that every attempt meets.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Permanent,
            message: message.into(),
        }
    }

    /// Whether another attempt may do better.
    pub fn is_transient(&self) -> bool {
        self.kind == FailureKind::Transient
    }
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
