//! Exit codes: 0 success, 1 "the answer is no", 2 "could not do it".

use std::fmt;
use std::io::{self, ErrorKind};

/// How a command that did its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All is well: exit code 0.
    Yes,
    /// The work was done and the answer is no: an invalid policy, a failed image, too many
    /// images. Exit code 1.
    No,
    /// A part of the work could not be done, and was told: exit code 2.
    Incomplete,
}

impl Answer {
    /// `Yes` when `good`.
    pub(crate) fn from_good(good: bool) -> Self {
        if good { Self::Yes } else { Self::No }
    }
}

/// Why a command could not do its work: exit code 2.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What to tell.
    Message(String),
    /// The answer is no, and this says why: exit code 1.
    No(String),
    /// Whoever read the output went away; there is nobody to tell.
    OutputClosed,
}

pub(crate) type Outcome = Result<Answer, Failure>;

impl Failure {
    /// The work could not be done.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) | Self::No(message) => f.write_str(message),
            Self::OutputClosed => f.write_str("the reader of the output has gone"),
        }
    }
}

/// Writing to standard output failed. Made by hand and never by `?`, so that no other error of
/// input or output is taken for one.
#[derive(Debug)]
pub(crate) struct OutputError(pub(crate) io::Error);

impl From<OutputError> for Failure {
    fn from(OutputError(error): OutputError) -> Self {
        if error.kind() == ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Message(format!("cannot write the output: {error}"))
        }
    }
}
