//! Where a cycle reads the policy of its workflow.

use cssc_core::Workflow;
use cssc_core::cycle::FailureKind;

/// Where the policy and the schedule of a workflow are read from.
pub trait PolicySource: Send + Sync {
    /// The workflow as it is now.
    ///
    /// # Errors
    ///
    /// Fails when there is none, it cannot be read, or it makes no sense.
    fn read(&self) -> Result<Workflow, PolicyReadError>;
}

impl<F> PolicySource for F
where
    F: Fn() -> Result<Workflow, PolicyReadError> + Send + Sync,
{
    fn read(&self) -> Result<Workflow, PolicyReadError> {
        self()
    }
}

/// Why a policy could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PolicyReadError {
    /// What went wrong, in one line.
    pub message: String,
    /// Whether another attempt may do better.
    pub kind: FailureKind,
    /// Whether there is no workflow at all.
    pub is_absent: bool,
}

impl PolicyReadError {
    /// Whether another attempt may do better.
    pub fn is_transient(&self) -> bool {
        self.kind == FailureKind::Transient
    }
}
