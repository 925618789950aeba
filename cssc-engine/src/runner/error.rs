//! What keeps a runner from going on.

use cssc_core::cycle::{CycleError, DocumentError, StepFailure};

use crate::state::StateError;
use cssc_registry::RegistryError;

/// Why a cycle could not be run, or a workflow not be changed. What happens to a single image is
/// no such error: it is recorded with its run.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RunnerError(Box<Repr>);

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error(transparent)]
    State(StateError),
    #[error(transparent)]
    Registry(RegistryError),
    #[error(transparent)]
    Document(DocumentError),
    #[error("{0}")]
    Tool(StepFailure),
    #[error("{0}; the state file is damaged or was changed by hand")]
    Damaged(String),
}

/// Of what kind a [`RunnerError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunnerErrorKind {
    /// Another process runs the workflow.
    Held,
    /// The state cannot be read or written.
    State,
    /// The registry does not answer.
    Registry,
    /// A document of a cycle does not belong here.
    Document,
    /// A tool cannot be used.
    Tool,
}

impl RunnerError {
    /// Of what kind the error is.
    pub fn kind(&self) -> RunnerErrorKind {
        match &*self.0 {
            Repr::State(error) if error.is_held() => RunnerErrorKind::Held,
            Repr::State(_) | Repr::Damaged(_) => RunnerErrorKind::State,
            Repr::Registry(_) => RunnerErrorKind::Registry,
            Repr::Document(_) => RunnerErrorKind::Document,
            Repr::Tool(_) => RunnerErrorKind::Tool,
        }
    }

    pub(super) fn tool(failure: StepFailure) -> Self {
        Self(Box::new(Repr::Tool(failure)))
    }

    fn damaged(what: &impl ToString) -> Self {
        Self(Box::new(Repr::Damaged(what.to_string())))
    }

    /// Whether another process runs the workflow; the message says which, and since when.
    pub fn is_held(&self) -> bool {
        matches!(&*self.0, Repr::State(error) if error.is_held())
    }

    /// Whether the state cannot be read or written.
    pub fn is_state(&self) -> bool {
        matches!(*self.0, Repr::State(_) | Repr::Damaged(_))
    }

    /// Whether the registry does not answer.
    pub fn is_registry(&self) -> bool {
        matches!(*self.0, Repr::Registry(_))
    }
}

impl From<StateError> for RunnerError {
    fn from(error: StateError) -> Self {
        Self(Box::new(Repr::State(error)))
    }
}

impl From<RegistryError> for RunnerError {
    fn from(error: RegistryError) -> Self {
        Self(Box::new(Repr::Registry(error)))
    }
}

impl From<DocumentError> for RunnerError {
    fn from(error: DocumentError) -> Self {
        Self(Box::new(Repr::Document(error)))
    }
}

impl From<CycleError> for RunnerError {
    fn from(error: CycleError) -> Self {
        Self::damaged(&error)
    }
}

impl From<serde_json::Error> for RunnerError {
    fn from(error: serde_json::Error) -> Self {
        Self::damaged(&error)
    }
}
