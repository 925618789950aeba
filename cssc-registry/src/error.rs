//! Why a registry did not do what was asked.

use std::fmt;

use cssc_core::text::is_plain;

/// Why a registry did not do what was asked; the message says what, where and how to fix it.
///
/// Never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError(Box<Repr>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Repr {
    kind: RegistryErrorKind,
    message: String,
    status: Option<u16>,
    code: Option<String>,
}

/// Of what kind a [`RegistryError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegistryErrorKind {
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
    pub(super) fn new(kind: RegistryErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Repr {
            kind,
            message: message.into(),
            status: None,
            code: None,
        }))
    }

    /// What was asked for does not exist.
    pub fn absent(message: impl Into<String>) -> Self {
        Self::new(RegistryErrorKind::Absent, message)
    }

    /// The registry has no such operation, or forbids it.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(RegistryErrorKind::Unsupported, message)
    }

    /// What was to be sent makes no sense.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(RegistryErrorKind::Input, message)
    }

    /// The registry answered what makes no sense.
    pub fn answer(message: impl Into<String>) -> Self {
        Self::new(RegistryErrorKind::Answer, message)
    }

    /// The registry cannot be reached, or cannot answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(RegistryErrorKind::Unavailable, message)
    }

    /// The same error, told with what was being done.
    #[cfg(feature = "http")]
    pub(super) fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    /// The same error, where something that is there names what is absent: the registry has lost it,
    /// which is no absence of what names it.
    #[must_use]
    pub fn lost(mut self) -> Self {
        if self.0.kind == RegistryErrorKind::Absent {
            self.0.kind = RegistryErrorKind::Answer;
            self.0
                .message
                .push_str(": the registry has lost what a manifest there names");
        }
        self
    }

    /// The same error, with the status and the code of the answer that it tells of.
    #[cfg(feature = "http")]
    pub(super) fn answered(mut self, status: u16, code: Option<&str>) -> Self {
        self.0.status = Some(status);
        self.0.code = code.map(excerpt);
        self
    }

    /// The same error of another kind, in other words.
    #[cfg(feature = "http")]
    pub(super) fn retold(mut self, kind: RegistryErrorKind, message: String) -> Self {
        self.0.kind = kind;
        self.0.message = message;
        self
    }

    /// The status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The code by which the registry explained its answer, such as `MANIFEST_INVALID`.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Of what kind the error is.
    pub fn kind(&self) -> RegistryErrorKind {
        self.0.kind
    }

    /// Whether the registry says that what was asked for does not exist.
    pub fn is_absent(&self) -> bool {
        self.0.kind == RegistryErrorKind::Absent
    }

    /// Whether the registry wants credentials, or refused those it was given.
    pub fn is_unauthorized(&self) -> bool {
        self.0.kind == RegistryErrorKind::Unauthorized
    }

    /// Whether this registry cannot do it at all: an inventory is read-only, deletion is off.
    pub fn is_unsupported(&self) -> bool {
        self.0.kind == RegistryErrorKind::Unsupported
    }

    /// Whether the caller gave something that cannot be used, such as a file of certificates
    /// that holds none.
    pub fn is_invalid_input(&self) -> bool {
        self.0.kind == RegistryErrorKind::Input
    }

    /// Whether the registry's answer cannot be used: too large, cut short, not JSON, or other
    /// bytes than the digest says.
    pub fn is_invalid_answer(&self) -> bool {
        self.0.kind == RegistryErrorKind::Answer
    }

    /// Whether the registry could not be reached, was too slow, or is in trouble.
    pub fn is_unavailable(&self) -> bool {
        self.0.kind == RegistryErrorKind::Unavailable
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

/// Text from elsewhere, fit for one line of a message: short, and nothing in it that a terminal
/// would obey.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 160;
    let mut line: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if is_plain(c) { c } else { ' ' })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}
