//! Workflows: the policy and schedule in the registry, the runs in the state file.
//!
//! What a workflow does is kept in the registry itself, as annotations of the policy artifact,
//! so that it can be shown and changed from any machine. What it has done is kept where it runs.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, SubsecRound as _, Utc};
use cssc_core::{
    Config, Cycle, Dialect, Interval, NothingToUpdate, Plan, Registry, StatusFilter, StatusRow,
    Workflow,
};

use crate::policy_artifact::{PolicyArtifact, PolicyDeletion};
use crate::registry::{Digest, RegistryClient, RegistryError};
use crate::runner::{PolicySource, PolicyTrouble, known};
use crate::store::{Store, StoreError};

const SCHEDULE: &str = "dev.cssc.schedule";
const CREATED: &str = "dev.cssc.created";
const MODIFIED: &str = "dev.cssc.modified";
const DIALECT: &str = "dev.cssc.dialect";

/// How long a deletion waits for whoever runs the workflow to take notice.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// A workflow as it is kept in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowArtifact {
    /// Policy, schedule, dialect, times.
    pub workflow: Workflow,
    /// The digest of the artifact's manifest.
    pub digest: Digest,
}

/// Reads the workflow of a registry; none when there is none.
///
/// # Errors
///
/// Fails when the registry does not say, and when what it holds is a policy without a schedule,
/// as `az` and `cssc policy push` leave it ([`WorkflowError::has_no_schedule`]), or with one that
/// makes no sense.
pub fn read(client: &dyn RegistryClient) -> Result<Option<WorkflowArtifact>, WorkflowError> {
    let Some(artifact) = PolicyArtifact::pull(client)? else {
        return Ok(None);
    };
    let digest = artifact.digest.clone();
    let workflow = from_artifact(artifact)?;
    Ok(Some(WorkflowArtifact { workflow, digest }))
}

/// Creates the workflow of a registry. The plan says what it would run today.
///
/// # Errors
///
/// Fails when there is one already ([`WorkflowError::exists`]), when the plan is over its limit
/// ([`WorkflowError::is_over_limit`]), and when the registry refuses.
pub fn create(
    client: &dyn RegistryClient,
    policy: &str,
    schedule: Interval,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Result<WorkflowArtifact, WorkflowError> {
    match read(client) {
        Ok(None) | Err(WorkflowError(Fault::NoSchedule | Fault::Broken(_))) => {}
        Ok(Some(_)) => return Err(WorkflowError(Fault::Exists)),
        Err(error) => return Err(error),
    }
    check_limit(plan)?;
    // As it is written down, so that what is returned is what will be read.
    let created = now.trunc_subsecs(0);
    let workflow = Workflow::new(policy, schedule, plan.dialect(), created);
    let digest = push(client, &workflow)?;
    Ok(WorkflowArtifact { workflow, digest })
}

/// Changes the policy, the schedule, or both. A policy comes with its plan.
///
/// # Errors
///
/// Fails when there is no workflow ([`WorkflowError::is_absent`]), when neither is given, when
/// the plan is over its limit, and when the registry refuses.
pub fn update(
    client: &dyn RegistryClient,
    policy: Option<(&str, &Plan)>,
    schedule: Option<Interval>,
    now: DateTime<Utc>,
) -> Result<WorkflowArtifact, WorkflowError> {
    if policy.is_none() && schedule.is_none() {
        return Err(WorkflowError(Fault::Nothing(NothingToUpdate)));
    }
    let mut workflow = read(client)?.ok_or(WorkflowError(Fault::Absent))?.workflow;
    if let Some((_, plan)) = policy {
        check_limit(plan)?;
    }
    let policy = policy.map(|(text, _)| text.into());
    workflow
        .update(policy, schedule, now.trunc_subsecs(0))
        .map_err(|error| WorkflowError(Fault::Nothing(error)))?;
    let digest = push(client, &workflow)?;
    Ok(WorkflowArtifact { workflow, digest })
}

/// What deleting a workflow came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// What became of the policy; none when there was none, only runs.
    pub policy: Option<PolicyDeletion>,
    /// Whether runs were kept here, which are gone now.
    pub runs: bool,
}

/// Deletes the workflow of a registry: cancels what is queued or running, deletes the policy
/// from the registry, and forgets the runs kept under `key`.
///
/// # Errors
///
/// Fails when there is neither a policy nor a run ([`WorkflowError::is_absent`]), when the
/// registry forbids deletion, and when whoever runs the workflow does not end within 30 seconds.
pub fn delete(
    client: &dyn RegistryClient,
    store: &Store,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Deleted, WorkflowError> {
    let known = store.workflow(key)?;
    let policy = match PolicyArtifact::delete(client) {
        Ok(policy) => Some(policy),
        Err(error) if error.is_absent() => None,
        Err(error) => return Err(error.into()),
    };
    let Some(known) = known else {
        return match policy {
            Some(_) => Ok(Deleted {
                policy,
                runs: false,
            }),
            None => Err(WorkflowError(Fault::Absent)),
        };
    };
    cancel(store, key, now)?;
    let mut waited = Duration::ZERO;
    while store
        .current_cycle(known.id)?
        .is_some_and(|current| !current.has_ended)
    {
        if waited >= PATIENCE {
            return Err(WorkflowError(Fault::StillRunning));
        }
        thread::sleep(LOOK);
        waited = waited.saturating_add(LOOK);
    }
    let runs = store.delete_workflow(known.id)?;
    Ok(Deleted { policy, runs })
}

/// What a cancellation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// Nothing was queued or running.
    Nothing,
    /// Whoever runs the cycle was asked, and cancels within a second.
    Requested,
    /// Nobody was running the cycle, and so many of its runs are canceled now.
    Canceled(usize),
}

/// Cancels what is queued or running in the current cycle of the workflow kept under `key`,
/// whoever runs it. The next scheduled cycle is not affected.
///
/// # Errors
///
/// Fails when the state file cannot be read or written.
pub fn cancel(store: &Store, key: &str, now: DateTime<Utc>) -> Result<Cancellation, WorkflowError> {
    let Some(known) = store.workflow(key)? else {
        return Ok(Cancellation::Nothing);
    };
    let Some(number) = store.request_cancel(known.id, now)? else {
        return Ok(Cancellation::Nothing);
    };
    // Of a runner that was killed nobody will do it.
    match store.lock(known.id, now) {
        Ok(_lock) => {
            let Some(mut cycle) = store.cycle(number)? else {
                return Ok(Cancellation::Nothing);
            };
            let canceled = cycle.cancel(now);
            store.record(&cycle.take_changes())?;
            Ok(Cancellation::Canceled(canceled))
        }
        Err(error) if error.is_held() => Ok(Cancellation::Requested),
        Err(error) => Err(error.into()),
    }
}

/// The images of the current cycle of the workflow kept under `key`, in the order of the plan.
///
/// # Errors
///
/// Fails when the state file cannot be read.
pub fn list(
    store: &Store,
    key: &str,
    filter: Option<StatusFilter>,
) -> Result<Vec<StatusRow>, WorkflowError> {
    let Some(cycle) = cycle(store, key, None)? else {
        return Ok(Vec::new());
    };
    let is_selected = |row: &StatusRow| {
        filter.is_none_or(|filter| filter.matches_image(row.scan_status, row.patch_status))
    };
    Ok(cycle.rows().filter(is_selected).collect())
}

/// Asks for a cycle of the workflow of `host` as soon as whoever serves it can run one.
///
/// # Errors
///
/// Fails when the state file cannot be written.
pub fn enqueue(store: &Store, host: &Registry, now: DateTime<Utc>) -> Result<(), WorkflowError> {
    let known = known(store, host)?;
    Ok(store.enqueue(known.id, now)?)
}

/// The cycle with this number of the workflow kept under `key`, or else the current one.
///
/// # Errors
///
/// Fails when the state file cannot be read.
pub fn cycle(
    store: &Store,
    key: &str,
    number: Option<u64>,
) -> Result<Option<Cycle>, WorkflowError> {
    let Some(known) = store.workflow(key)? else {
        return Ok(None);
    };
    let number = match number {
        Some(number) => Some(number),
        None => store.current_cycle(known.id)?.map(|current| current.number),
    };
    let cycle = number.map(|number| store.cycle(number)).transpose()?;
    // Numbers are unique in the file, and other workflows have theirs there.
    Ok(cycle
        .flatten()
        .filter(|cycle| *cycle.record().owner() == known.owner))
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
    fn read(&self) -> Result<Workflow, PolicyTrouble> {
        match read(self.0) {
            Ok(Some(artifact)) => Ok(artifact.workflow),
            Ok(None) => Err(WorkflowError(Fault::Absent)),
            Err(error) => Err(error),
        }
        .map_err(|error| PolicyTrouble {
            retry: error.is_retryable(),
            absent: error.is_absent(),
            reason: error.to_string(),
        })
    }
}

fn check_limit(plan: &Plan) -> Result<(), WorkflowError> {
    match plan.limit() {
        Some(limit) if plan.limit_exceeded() => Err(WorkflowError(Fault::OverLimit {
            matches: plan.matches(),
            limit,
        })),
        _ => Ok(()),
    }
}

fn push(client: &dyn RegistryClient, workflow: &Workflow) -> Result<Digest, WorkflowError> {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let annotations = BTreeMap::from([
        (SCHEDULE.to_owned(), workflow.interval().to_string()),
        (CREATED.to_owned(), time(workflow.created())),
        (MODIFIED.to_owned(), time(workflow.modified())),
        (DIALECT.to_owned(), workflow.dialect().to_string()),
    ]);
    Ok(PolicyArtifact::push(
        client,
        workflow.policy().as_bytes(),
        &annotations,
    )?)
}

fn from_artifact(artifact: PolicyArtifact) -> Result<Workflow, WorkflowError> {
    let policy = String::from_utf8(artifact.policy)
        .map_err(|_| WorkflowError(Fault::Broken("the policy is not UTF-8".to_owned())))?;
    let annotations = &artifact.annotations;
    let Some(schedule) = annotations.get(SCHEDULE) else {
        return Err(WorkflowError(Fault::NoSchedule));
    };
    let broken = |error: &dyn std::fmt::Display| WorkflowError(Fault::Broken(error.to_string()));
    let time = |key: &str| match annotations.get(key) {
        Some(text) => text
            .parse::<DateTime<Utc>>()
            .map(Some)
            .map_err(|error| broken(&format_args!("`{key}` is no time: {error}"))),
        None => Ok(None),
    };
    let created = time(CREATED)?.ok_or(WorkflowError(Fault::NoSchedule))?;
    let schedule: Interval = schedule.parse().map_err(|error| broken(&error))?;
    let dialect = match annotations.get(DIALECT) {
        Some(dialect) => dialect.parse().map_err(|error| broken(&error))?,
        None => Dialect::default(),
    };
    let workflow = Workflow::new(policy, schedule, dialect, created);
    Ok(match time(MODIFIED)? {
        Some(modified) => workflow.modified_at(modified),
        None => workflow,
    })
}

/// The policy of a workflow, valid.
///
/// # Errors
///
/// Fails when it is not, which only happens when somebody else has pushed it.
pub fn config_of(workflow: &Workflow) -> Result<Config, WorkflowError> {
    workflow
        .policy()
        .parse()
        .map_err(|error| WorkflowError(Fault::Broken(format!("{error}"))))
}

/// Why a workflow could not be read, made or changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WorkflowError(Fault);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("there is a workflow already: change it with `cssc workflow update`")]
    Exists,
    #[error("there is no workflow: make one with `cssc workflow create`")]
    Absent,
    #[error(
        "the stored policy has no schedule, so it is no workflow yet: make it one with \
         `cssc workflow create`"
    )]
    NoSchedule,
    #[error("the stored workflow cannot be used: {0}; store it anew with `cssc workflow create`")]
    Broken(String),
    #[error(
        "the policy selects {matches} images and a workflow may run {limit}: narrow the policy or \
         raise the limit"
    )]
    OverLimit { matches: usize, limit: usize },
    #[error("{0}")]
    Nothing(NothingToUpdate),
    #[error("the workflow is still running after 30 s: stop whoever runs it, and delete again")]
    StillRunning,
    #[error("{0}")]
    Registry(RegistryError),
    #[error("{0}")]
    Store(StoreError),
}

impl WorkflowError {
    /// Whether there is a workflow already.
    pub fn exists(&self) -> bool {
        matches!(self.0, Fault::Exists)
    }

    /// Whether there is no workflow.
    pub fn is_absent(&self) -> bool {
        matches!(self.0, Fault::Absent)
    }

    /// Whether there is a policy without a schedule.
    pub fn has_no_schedule(&self) -> bool {
        matches!(self.0, Fault::NoSchedule)
    }

    /// Whether the policy selects more images than a workflow may run.
    pub fn is_over_limit(&self) -> bool {
        matches!(self.0, Fault::OverLimit { .. })
    }

    /// Whether an update gives neither a policy nor a schedule.
    pub fn is_nothing_to_update(&self) -> bool {
        matches!(self.0, Fault::Nothing(_))
    }

    /// Whether asking again later may succeed without anything else being changed.
    pub fn is_retryable(&self) -> bool {
        matches!(&self.0, Fault::Registry(error) if error.is_retryable())
    }
}

impl From<RegistryError> for WorkflowError {
    fn from(error: RegistryError) -> Self {
        Self(Fault::Registry(error))
    }
}

impl From<StoreError> for WorkflowError {
    fn from(error: StoreError) -> Self {
        Self(Fault::Store(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::LayoutRegistry;
    use cssc_core::{Inventory, PlanOptions};

    const POLICY: &str =
        r#"{"version": "v1", "repositories": [{"repository": "python", "tags": ["*"]}]}"#;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn plan(limit: Option<usize>) -> Plan {
        let tags = cssc_core::TagSet::new(["3.11", "3.12"]).unwrap();
        let inventory: Inventory = [("python".parse().unwrap(), cssc_core::Listing::Found(tags))]
            .into_iter()
            .collect();
        let dialect = Dialect::Service;
        Plan::new(
            &POLICY.parse().unwrap(),
            &inventory,
            &PlanOptions { dialect, limit },
        )
    }

    #[test]
    fn created_changed_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let client = LayoutRegistry::open(folder.path()).unwrap();
        let store = Store::open(folder.path().join("state.db")).unwrap();
        let (created, later) = (at("2024-01-03T09:30:00Z"), at("2024-01-04T09:31:00Z"));
        let weekly: Interval = "7d".parse().unwrap();
        assert_eq!(read(&client).unwrap(), None);
        let error = update(&client, None, Some(weekly), later).unwrap_err();
        assert!(error.is_absent());
        let error = create(&client, POLICY, weekly, &plan(Some(1)), created).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the policy selects 2 images and a workflow may run 1: narrow the policy or raise \
             the limit"
        );
        let made = create(&client, POLICY, weekly, &plan(None), created).unwrap();
        assert_eq!(read(&client).unwrap().as_ref(), Some(&made));
        assert_eq!(made.workflow.dialect(), Dialect::Service);
        let error = create(&client, POLICY, weekly, &plan(None), later).unwrap_err();
        assert!(error.exists());
        assert!(
            update(&client, None, None, later)
                .unwrap_err()
                .is_nothing_to_update()
        );
        update(&client, None, Some(Interval::MIN), later).unwrap();
        let changed = read(&client).unwrap().unwrap().workflow;
        assert_eq!(
            (changed.interval(), changed.created(), changed.modified()),
            (Interval::MIN, created, later)
        );
        let deleted = delete(&client, &store, "layout:x", later).unwrap();
        assert_eq!(deleted.policy, Some(PolicyDeletion::Deleted));
        let error = delete(&client, &store, "layout:x", later).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no workflow: make one with `cssc workflow create`"
        );
    }

    #[test]
    fn a_policy_of_others_is_no_workflow_until_it_has_a_schedule() {
        let folder = tempfile::tempdir().unwrap();
        let client = LayoutRegistry::open(folder.path()).unwrap();
        PolicyArtifact::push(&client, POLICY.as_bytes(), &BTreeMap::new()).unwrap();
        assert!(read(&client).unwrap_err().has_no_schedule());
        let now = at("2024-01-03T09:30:00Z");
        create(&client, POLICY, "1d".parse().unwrap(), &plan(None), now).unwrap();
        let broken = BTreeMap::from([
            (SCHEDULE.to_owned(), "7w".to_owned()),
            (CREATED.to_owned(), "2024-01-03T09:30:00Z".to_owned()),
        ]);
        PolicyArtifact::push(&client, POLICY.as_bytes(), &broken).unwrap();
        let error = read(&client).unwrap_err().to_string();
        assert!(error.contains("`7w`"), "{error}");
        let error = RegistryPolicy(&client).read().unwrap_err();
        assert!(!error.retry && !error.absent);
        create(&client, POLICY, "1d".parse().unwrap(), &plan(None), now).unwrap();
    }
}
