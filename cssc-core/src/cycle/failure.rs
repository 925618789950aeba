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
    /// What it is called by programs, where it has a name of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<FailureCode>,
}

/// A failure that programs tell from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureCode {
    /// The relay has no room for what a tool pushes.
    RelayFull,
    /// A tool failed without having asked the relay for anything.
    RelayNotReached,
}

impl FailureCode {
    /// The name: `relay-full`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RelayFull => "relay-full",
            Self::RelayNotReached => "relay-not-reached",
        }
    }
}

/// Whether another attempt may do better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// It may: a timeout, a registry that cannot be reached.
    Transient,
    /// It will not: refused credentials, an image without a package manager.
    Permanent,
    /// What an earlier step had made is gone with the files of the relay: it is made again.
    Lost,
}

impl StepFailure {
    /// A failure that another attempt may not meet.
    pub fn transient(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Transient,
            message: message.into(),
            code: None,
        }
    }

    /// A failure that every attempt meets.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Permanent,
            message: message.into(),
            code: None,
        }
    }

    /// The candidate that the step is about is no longer there.
    pub fn lost(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Lost,
            message: message.into(),
            code: None,
        }
    }

    /// The same failure, by this name.
    #[must_use]
    pub fn with_code(mut self, code: FailureCode) -> Self {
        self.code = Some(code);
        self
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
