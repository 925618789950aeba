//! Why a registry did not do what was asked.

use std::fmt;

/// Why a registry did not do what was asked; the message says what, where and how to mend it.
///
/// Never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError(Box<Fault>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    kind: Kind,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The registry says that it is not there.
    Absent,
    /// The registry wants other credentials, or grants these less.
    Unauthorized,
    /// The registry cannot do this at all.
    Unsupported,
    /// What the caller gave cannot be used.
    Input,
    /// What the registry gave cannot be used: too large, cut, not what its digest says.
    Answer,
    /// No answer that says anything about what was asked; another time may do better.
    Unavailable,
}

impl RegistryError {
    #[cold]
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Fault {
            kind,
            message: message.into(),
        }))
    }

    pub(crate) fn absent(message: impl Into<String>) -> Self {
        Self::new(Kind::Absent, message)
    }

    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    pub(crate) fn answer(message: impl Into<String>) -> Self {
        Self::new(Kind::Answer, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// The same fault, told with what was being done.
    #[cfg(feature = "http")]
    pub(super) fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    /// Whether the registry says that what was asked for does not exist.
    pub fn is_absent(&self) -> bool {
        self.0.kind == Kind::Absent
    }

    /// Whether the registry wants credentials, or refused those it was given.
    pub fn is_unauthorized(&self) -> bool {
        self.0.kind == Kind::Unauthorized
    }

    /// Whether this registry cannot do it at all: an inventory is read-only, deletion is off.
    pub fn is_unsupported(&self) -> bool {
        self.0.kind == Kind::Unsupported
    }

    /// Whether the caller gave something that cannot be used, such as a file of certificates
    /// that holds none.
    pub fn is_invalid_input(&self) -> bool {
        self.0.kind == Kind::Input
    }

    /// Whether the registry's answer cannot be used: too large, cut short, not JSON, or other
    /// bytes than the digest says.
    pub fn is_invalid_answer(&self) -> bool {
        self.0.kind == Kind::Answer
    }

    /// Whether the registry could not be reached, was too slow, or is in trouble.
    pub fn is_unavailable(&self) -> bool {
        self.0.kind == Kind::Unavailable
    }

    /// Whether asking again later may succeed without anything else being changed.
    pub fn is_retryable(&self) -> bool {
        self.is_unavailable()
    }
}

impl std::error::Error for RegistryError {}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

/// Text from elsewhere, fit for one line of a message: short, without control characters.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 160;
    let mut line: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}
