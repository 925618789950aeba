//! What keeps a runner from going on.

use cssc_core::CycleError;

use crate::registry::RegistryError;
use crate::store::StoreError;

/// Why a cycle could not be run, or a workflow not be changed. What happens to a single image is
/// no such error: it is recorded with its run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RunnerError(Box<Fault>);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Store(StoreError),
    #[error("{0}")]
    Registry(RegistryError),
    #[error("{0}; the state file is damaged or was changed by hand")]
    State(String),
}

impl RunnerError {
    pub(crate) fn state(what: &impl ToString) -> Self {
        Self(Box::new(Fault::State(what.to_string())))
    }

    /// Whether another process runs the workflow; the message says which, and since when.
    pub fn is_held(&self) -> bool {
        matches!(&*self.0, Fault::Store(error) if error.is_held())
    }

    /// Whether the state file is the trouble.
    pub fn is_store(&self) -> bool {
        matches!(*self.0, Fault::Store(_) | Fault::State(_))
    }

    /// Whether the registry is the trouble.
    pub fn is_registry(&self) -> bool {
        matches!(*self.0, Fault::Registry(_))
    }
}

impl From<StoreError> for RunnerError {
    fn from(error: StoreError) -> Self {
        Self(Box::new(Fault::Store(error)))
    }
}

impl From<RegistryError> for RunnerError {
    fn from(error: RegistryError) -> Self {
        Self(Box::new(Fault::Registry(error)))
    }
}

impl From<CycleError> for RunnerError {
    fn from(error: CycleError) -> Self {
        Self::state(&error)
    }
}

impl From<serde_json::Error> for RunnerError {
    fn from(error: serde_json::Error) -> Self {
        Self::state(&error)
    }
}
