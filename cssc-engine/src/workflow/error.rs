//! What can go wrong with a workflow.

use cssc_core::plan::LimitExceeded;
use cssc_core::workflow::NothingToUpdate;
use cssc_registry::RegistryError;

use crate::state::StateError;

/// Why a workflow could not be read, made, changed or deleted.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct WorkflowError(Repr);

/// Of what kind a [`WorkflowError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkflowErrorKind {
    /// There is a workflow already.
    Exists,
    /// There is no workflow.
    Absent,
    /// There is a policy without a schedule.
    NoSchedule,
    /// What is stored cannot be used.
    Invalid,
    /// Another client stored the policy.
    Foreign,
    /// The policy selects more images than the workflow may run.
    OverLimit,
    /// The update changes nothing.
    NothingToUpdate,
    /// Whoever runs the workflow did not end when it was to be deleted.
    StillRunning,
    /// The registry did not do as asked.
    Registry,
    /// The state could not be read or written.
    State,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("there is a workflow already: update it instead")]
    Exists,
    #[error("there is no workflow: create one first")]
    Absent,
    #[error("the stored policy has no schedule: create a workflow of it first")]
    NoSchedule,
    #[error("the stored workflow cannot be used: {0}; create it again")]
    Invalid(String),
    #[error("the stored policy belongs to another client: take it over, or leave it alone")]
    Foreign,
    #[error(transparent)]
    OverLimit(LimitExceeded),
    #[error(transparent)]
    NothingToUpdate(NothingToUpdate),
    #[error(
        "the workflow is still running after 30 s: stop the process that runs it, and delete again"
    )]
    StillRunning,
    #[error(transparent)]
    Registry(RegistryError),
    #[error(transparent)]
    State(StateError),
}

impl WorkflowError {
    pub(super) fn exists() -> Self {
        Self(Repr::Exists)
    }

    pub(super) fn absent() -> Self {
        Self(Repr::Absent)
    }

    pub(super) fn no_schedule() -> Self {
        Self(Repr::NoSchedule)
    }

    pub(super) fn invalid(why: &dyn std::fmt::Display) -> Self {
        Self(Repr::Invalid(why.to_string()))
    }

    pub(super) fn foreign() -> Self {
        Self(Repr::Foreign)
    }

    pub(super) fn still_running() -> Self {
        Self(Repr::StillRunning)
    }

    /// Of what kind the error is.
    pub fn kind(&self) -> WorkflowErrorKind {
        match &self.0 {
            Repr::Exists => WorkflowErrorKind::Exists,
            Repr::Absent => WorkflowErrorKind::Absent,
            Repr::NoSchedule => WorkflowErrorKind::NoSchedule,
            Repr::Invalid(_) => WorkflowErrorKind::Invalid,
            Repr::Foreign => WorkflowErrorKind::Foreign,
            Repr::OverLimit(_) => WorkflowErrorKind::OverLimit,
            Repr::NothingToUpdate(_) => WorkflowErrorKind::NothingToUpdate,
            Repr::StillRunning => WorkflowErrorKind::StillRunning,
            Repr::Registry(_) => WorkflowErrorKind::Registry,
            Repr::State(_) => WorkflowErrorKind::State,
        }
    }

    /// Whether asking again later may succeed without anything else being changed.
    pub fn is_retryable(&self) -> bool {
        matches!(&self.0, Repr::Registry(error) if error.is_retryable())
    }
}

impl From<RegistryError> for WorkflowError {
    fn from(error: RegistryError) -> Self {
        Self(Repr::Registry(error))
    }
}

impl From<StateError> for WorkflowError {
    fn from(error: StateError) -> Self {
        Self(Repr::State(error))
    }
}

impl From<LimitExceeded> for WorkflowError {
    fn from(error: LimitExceeded) -> Self {
        Self(Repr::OverLimit(error))
    }
}

impl From<NothingToUpdate> for WorkflowError {
    fn from(error: NothingToUpdate) -> Self {
        Self(Repr::NothingToUpdate(error))
    }
}
