//! Making, changing and deleting workflows.

use std::thread;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use cssc_core::workflow::WorkflowUpdate;
use cssc_core::{Plan, Tag, Workflow};
use cssc_registry::RegistryClient;

use super::annotations::{check_ours, decode, encode};
use super::{WorkflowArtifact, WorkflowError, WorkflowErrorKind, cancel, read, require};
use crate::policy_artifact::{PolicyArtifact, PolicyDeletion};
use crate::records::Records;
use crate::state::State;

/// How long a deletion waits for whoever runs the workflow to take notice.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// Creates the workflow of a registry. The plan says what it would run today. Times are kept to
/// the second.
///
/// # Errors
///
/// Fails when there is one already ([`WorkflowErrorKind::Exists`]), when another client stored
/// the policy that is there and `take_over` does not say that it may be replaced
/// ([`WorkflowErrorKind::Foreign`]), when the plan is over its limit
/// ([`WorkflowErrorKind::OverLimit`]), and when the registry refuses.
pub fn create(
    client: &dyn RegistryClient,
    workflow: &Workflow,
    plan: &Plan,
    take_over: bool,
) -> Result<WorkflowArtifact, WorkflowError> {
    match read(client) {
        Ok(None) => {}
        Ok(Some(_)) => return Err(WorkflowError::exists()),
        Err(error) => match error.kind() {
            WorkflowErrorKind::NoSchedule | WorkflowErrorKind::Invalid => {}
            _ => return Err(error),
        },
    }
    check_ours(client, take_over)?;
    plan.check_limit()?;
    push(client, workflow)
}

/// Changes what the update holds. A policy comes with its plan.
///
/// # Errors
///
/// Fails when there is no workflow ([`WorkflowErrorKind::Absent`]), when the update is empty
/// ([`WorkflowErrorKind::NothingToUpdate`]), when the plan is over its limit
/// ([`WorkflowErrorKind::OverLimit`]), and when the registry refuses.
pub fn update(
    client: &dyn RegistryClient,
    update: WorkflowUpdate,
    plan: Option<&Plan>,
    now: DateTime<Utc>,
) -> Result<WorkflowArtifact, WorkflowError> {
    let mut workflow = require(client)?.workflow;
    workflow.update(update, now.trunc_subsecs(0))?;
    if let Some(plan) = plan {
        plan.check_limit()?;
    }
    push(client, &workflow)
}

/// Stores a workflow; it comes back as it will be read.
fn push(
    client: &dyn RegistryClient,
    workflow: &Workflow,
) -> Result<WorkflowArtifact, WorkflowError> {
    let annotations = encode(workflow);
    let workflow = decode(workflow.policy().to_owned(), &annotations)?;
    let digest = PolicyArtifact::push(client, workflow.policy().as_bytes(), &annotations)?;
    Ok(WorkflowArtifact { workflow, digest })
}

/// What deleting a workflow came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// What became of the policy; none when there was none, only runs.
    pub policy: Option<PolicyDeletion>,
    /// Whether runs were kept here, which are gone now.
    pub runs: bool,
    /// Records of cycles in the registry that could not be removed.
    pub kept_records: Vec<Tag>,
}

/// Deletes the workflow of a registry: cancels what is queued or running, deletes the policy
/// and the records of cycles from the registry, and forgets the runs kept under `key`.
///
/// # Errors
///
/// Fails when there is neither a policy nor a record nor a run ([`WorkflowErrorKind::Absent`]), when another
/// client stored the policy and `take_over` does not say that it may be deleted
/// ([`WorkflowErrorKind::Foreign`]), when the registry forbids deletion, and when whoever runs the
/// workflow does not end within 30 seconds.
pub fn delete(
    client: &dyn RegistryClient,
    state: &dyn State,
    key: &str,
    take_over: bool,
    now: DateTime<Utc>,
) -> Result<Deleted, WorkflowError> {
    check_ours(client, take_over)?;
    let known = state.workflow(key)?;
    let policy = match PolicyArtifact::delete(client) {
        Ok(policy) => Some(policy),
        Err(error) if error.is_absent() => None,
        Err(error) => return Err(error.into()),
    };
    let records = Records::list(client)?;
    let has_records = records.cycles().next().is_some();
    let Some(known) = known else {
        return match policy {
            None if !has_records => Err(WorkflowError::absent()),
            _ => Ok(Deleted {
                policy,
                runs: false,
                kept_records: records.delete(client)?,
            }),
        };
    };
    cancel(state, key, now)?;
    let mut waited = Duration::ZERO;
    while state
        .current_cycle(known.id)?
        .is_some_and(|current| !current.has_ended)
    {
        if waited >= PATIENCE {
            return Err(WorkflowError::still_running());
        }
        thread::sleep(LOOK);
        waited = waited.saturating_add(LOOK);
    }
    // Whoever ran the cycle that was canceled has recorded it, perhaps.
    let kept_records = Records::list(client)?.delete(client)?;
    let runs = state.delete_workflow(known.id)?;
    Ok(Deleted {
        policy,
        runs,
        kept_records,
    })
}
