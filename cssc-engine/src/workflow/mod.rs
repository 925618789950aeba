//! Workflows: the policy and schedule in the registry, the runs in the state.
//!
//! What a workflow does is kept in the registry itself, as annotations of the policy artifact,
//! so that it can be shown and changed from any machine. What it has done is kept where it runs.

mod annotations;
mod error;
mod manage;
mod runs;

use cssc_core::cycle::FailureKind;
use cssc_core::{Policy, Workflow};
use cssc_registry::{Digest, RegistryClient};

pub use annotations::{check_ours, mark_as_ours};
pub use error::{WorkflowError, WorkflowErrorKind};
pub use manage::{Deleted, create, delete, update};
pub use runs::{CanceledCycle, Cancellation, cancel, cycle, earlier, enqueue, report};

use crate::policy_artifact::PolicyArtifact;
use crate::policy_source::{PolicyReadError, PolicySource};

/// A workflow as it is kept in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowArtifact {
    /// Policy, schedule, dialect, settings, times.
    pub workflow: Workflow,
    /// The digest of the artifact's manifest.
    pub digest: Digest,
}

/// Reads the workflow of a registry; none when there is none.
///
/// # Errors
///
/// Fails when the registry does not say, and when what it holds is a policy without a schedule,
/// as `az` leaves it ([`WorkflowErrorKind::NoSchedule`]), or a workflow that cannot be used
/// ([`WorkflowErrorKind::Invalid`]).
pub fn read(client: &dyn RegistryClient) -> Result<Option<WorkflowArtifact>, WorkflowError> {
    let Some(artifact) = PolicyArtifact::pull(client)? else {
        return Ok(None);
    };
    from_artifact(artifact).map(Some)
}

/// Reads the workflow of a registry that must have one.
///
/// # Errors
///
/// As [`read`], and when there is none ([`WorkflowErrorKind::Absent`]).
pub fn require(client: &dyn RegistryClient) -> Result<WorkflowArtifact, WorkflowError> {
    read(client)?.ok_or_else(WorkflowError::absent)
}

/// The workflow that a stored policy and its annotations are.
///
/// # Errors
///
/// As [`read`], the registry aside.
pub fn from_artifact(artifact: PolicyArtifact) -> Result<WorkflowArtifact, WorkflowError> {
    let digest = artifact.digest.clone();
    let policy = String::from_utf8(artifact.policy)
        .map_err(|_| WorkflowError::invalid(&"the policy is not UTF-8"))?;
    let workflow = annotations::decode(policy, &artifact.annotations)?;
    Ok(WorkflowArtifact { workflow, digest })
}

/// The policy of a workflow, valid.
///
/// # Errors
///
/// Fails when it is not, which only happens when somebody else has pushed it.
pub fn policy_of(workflow: &Workflow) -> Result<Policy, WorkflowError> {
    workflow
        .policy()
        .parse()
        .map_err(|error| WorkflowError::invalid(&error))
}

/// The policy and schedule that are kept in a registry, read anew each time.
#[derive(Clone, Copy)]
pub struct RegistryPolicy<'a>(pub &'a dyn RegistryClient);

impl std::fmt::Debug for RegistryPolicy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RegistryPolicy")
    }
}

impl PolicySource for RegistryPolicy<'_> {
    fn read(&self) -> Result<Workflow, PolicyReadError> {
        require(self.0)
            .map(|artifact| artifact.workflow)
            .map_err(|error| PolicyReadError {
                kind: if error.is_retryable() {
                    FailureKind::Transient
                } else {
                    FailureKind::Permanent
                },
                is_absent: error.kind() == WorkflowErrorKind::Absent,
                message: error.to_string(),
            })
    }
}

#[cfg(test)]
mod tests;
