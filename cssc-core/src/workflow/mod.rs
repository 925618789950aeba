//! A workflow: a policy, when it runs, and whose reading of the rules decides.

mod platforms;
mod settings;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::cycle::version::Version;
use crate::dialect::Dialect;
use crate::schedule::{Interval, Schedule};

pub use platforms::PlatformSelection;
pub use settings::{PatcherKind, PatcherKindError, WorkflowSettings};

/// A workflow: the text of its policy, its schedule, its dialect, its settings, and when it was
/// created and last changed.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use cssc_core::workflow::WorkflowUpdate;
/// use cssc_core::{Dialect, Workflow};
///
/// let created: DateTime<Utc> = "2024-01-03T09:30:00Z".parse()?;
/// let policy = r#"{"version": "v1", "repositories": [{"repository": "python", "tags": ["*"]}]}"#;
/// let mut workflow = Workflow::new(policy, "7d".parse()?, Dialect::Documented, created);
/// let next = workflow.schedule().next_after(created);
/// assert_eq!(next, Some("2024-01-07T09:30:00Z".parse()?));
///
/// let later = "2024-01-04T12:00:00Z".parse()?;
/// let daily = WorkflowUpdate { schedule: Some("1d".parse()?), ..WorkflowUpdate::default() };
/// workflow.update(daily, later)?;
/// assert_eq!((workflow.created(), workflow.modified()), (created, later));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    version: Version,
    policy: Box<str>,
    schedule: Interval,
    #[serde(default)]
    dialect: Dialect,
    #[serde(default, skip_serializing_if = "WorkflowSettings::is_empty")]
    settings: WorkflowSettings,
    created: DateTime<Utc>,
    #[serde(default)]
    modified: Option<DateTime<Utc>>,
}

impl Workflow {
    /// A workflow created now. The policy is taken as it is: check it first.
    pub fn new(
        policy: impl Into<Box<str>>,
        schedule: Interval,
        dialect: Dialect,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            version: Version,
            policy: policy.into(),
            schedule,
            dialect,
            settings: WorkflowSettings::default(),
            created: now,
            modified: None,
        }
    }

    /// The workflow that was last changed at `modified`, as it is read back from where it is kept.
    pub fn modified_at(mut self, modified: DateTime<Utc>) -> Self {
        self.modified = (modified != self.created).then_some(modified);
        self
    }

    /// The workflow with these settings in place of those it has.
    #[must_use]
    pub fn with_settings(mut self, settings: WorkflowSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Changes what the update holds. The time of creation stays, and with it the hour and minute
    /// of the runs.
    ///
    /// # Errors
    ///
    /// Fails when the update is empty.
    pub fn update(
        &mut self,
        update: WorkflowUpdate,
        now: DateTime<Utc>,
    ) -> Result<(), NothingToUpdate> {
        if update == WorkflowUpdate::default() {
            return Err(NothingToUpdate);
        }
        let WorkflowUpdate {
            policy,
            schedule,
            settings,
        } = update;
        if let Some(policy) = policy {
            self.policy = policy;
        }
        self.schedule = schedule.unwrap_or(self.schedule);
        self.settings = settings.or(&self.settings);
        self.modified = Some(now);
        Ok(())
    }

    /// The text of the policy.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// How many days lie between two runs.
    pub fn interval(&self) -> Interval {
        self.schedule
    }

    /// Whose reading of the rules decides.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How its cycles are run.
    pub fn settings(&self) -> &WorkflowSettings {
        &self.settings
    }

    /// When it was created.
    pub fn created(&self) -> DateTime<Utc> {
        self.created
    }

    /// When it was last changed: when it was created, if never.
    pub fn modified(&self) -> DateTime<Utc> {
        self.modified.unwrap_or(self.created)
    }

    /// When it runs.
    pub fn schedule(&self) -> Schedule {
        Schedule::new(self.schedule, self.created, self.dialect)
    }

    /// The run that is due: the last one after `since` and not after `now`.
    ///
    /// `since` is when it was last looked after, so that however many runs were missed while
    /// nobody did, one of them is made up for.
    pub fn due(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Two runs are never further apart than a month, which spares counting through years.
        let from = now
            .checked_sub_signed(TimeDelta::days(62))
            .map_or(since, |recent| since.max(recent));
        self.schedule()
            .runs_after(from)
            .take_while(|run| *run <= now)
            .last()
    }
}

/// What is to change in a workflow; what is not set stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkflowUpdate {
    /// The text of the policy, taken as it is: check it first.
    pub policy: Option<Box<str>>,
    /// How many days lie between two runs.
    pub schedule: Option<Interval>,
    /// How cycles are run.
    pub settings: WorkflowSettings,
}

/// An update that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing to update: give a policy, a schedule, or both")]
pub struct NothingToUpdate;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn weekly() -> Workflow {
        let created = at("2024-01-03T09:30:00Z");
        Workflow::new("{}", "7d".parse().unwrap(), Dialect::Documented, created)
    }

    #[test]
    fn of_missed_runs_the_last_is_due() {
        let workflow = weekly();
        let created = workflow.created();
        assert_eq!(workflow.due(created, at("2024-01-07T09:29:59Z")), None);
        let first = at("2024-01-07T09:30:00Z");
        assert_eq!(workflow.due(created, first), Some(first));
        assert_eq!(workflow.due(first, first), None);
        let late = at("2024-03-10T00:00:00Z");
        assert_eq!(
            workflow.due(created, late),
            Some(at("2024-03-08T09:30:00Z"))
        );
        assert_eq!(
            workflow.due(created, at("9999-03-10T00:00:00Z")),
            Some(at("9999-03-08T09:30:00Z"))
        );
    }

    #[test]
    fn an_update_must_change_something() {
        let mut workflow = weekly();
        let before = workflow.clone();
        let error = workflow.update(WorkflowUpdate::default(), at("2024-02-01T00:00:00Z"));
        assert_eq!(
            error.unwrap_err().to_string(),
            "nothing to update: give a policy, a schedule, or both"
        );
        assert_eq!(workflow, before);
    }

    #[test]
    fn a_workflow_is_stored_and_read_back() {
        let json = serde_json::to_string(&weekly()).unwrap();
        assert!(json.starts_with(r#"{"version":1,"#));
        assert_eq!(serde_json::from_str::<Workflow>(&json).unwrap(), weekly());
        let newer = json.replace(r#""version":1"#, r#""version":2"#);
        assert_eq!(
            serde_json::from_str::<Workflow>(&newer)
                .unwrap_err()
                .to_string(),
            "version 2 is not read by this program: it knows version 1 at line 1 column 12"
        );
    }
}
