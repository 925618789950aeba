//! Performs the steps of a cycle: one file per step.
//!
//! A step carries all it needs, and the context says what it is performed with. Nothing here
//! knows a state, a cycle or a schedule: whoever performs a step reports its outcome to the cycle
//! that issued it.

pub(crate) mod attachments;
mod attest;
pub(crate) mod content;
mod discard;
pub(crate) mod origin;
mod patch;
pub(crate) mod pin;
pub(crate) mod plan;
mod publish;
mod scan;
pub(crate) mod statement;
mod test;
mod verify;

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use cssc_core::cycle::{Interrupt, Step, StepFailure, StepOutcome};
use cssc_core::{Digest, Registry, Repository, Tag};
use cssc_registry::{ListOptions, RegistryClient, RegistryError};

use crate::policy_source::{PolicyReadError, PolicySource};
use crate::reports::Reports;
use crate::tool::{
    Access, ImageRef, Job, Log, Patchers, ProcessGroup, Scanner, SignCommand, StopToken,
    TestCommand, ToolError,
};

/// What a step is performed with.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    /// The registry.
    pub registry: &'a dyn RegistryClient,
    /// How tools name the registry.
    pub host: &'a Registry,
    /// Where the policy is read from.
    pub policy: &'a dyn PolicySource,
    /// What scans.
    pub scanner: &'a dyn Scanner,
    /// What patches: one patcher, or those that a workflow may name.
    pub patchers: &'a dyn Patchers,
    /// What tries patched images, in cycles that have them tried.
    pub test: Option<&'a TestCommand>,
    /// What signs images before they have a tag.
    pub sign: Option<&'a SignCommand>,
    /// How tools reach the registry.
    pub access: &'a Access,
    /// Reports of earlier steps.
    pub reports: &'a Reports,
    /// A folder for this run alone; it is made when it is needed.
    pub folder: &'a Path,
    /// Takes what is said about the step, line by line.
    pub log: &'a dyn Log,
    /// Ends the step when it says so.
    pub stop: &'a StopToken,
    /// How repositories are listed.
    pub list: &'a ListOptions,
}

impl std::fmt::Debug for StepContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepContext")
            .field("host", self.host)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Performs a step. What goes wrong is an outcome like any other.
pub fn perform(step: &Step, context: &StepContext<'_>) -> StepOutcome {
    let outcome = match step {
        Step::Plan(step) => plan::perform(step, context).map(Into::into),
        Step::Scan(step) => scan::perform(step, context).map(Into::into),
        Step::Patch(step) => patch::perform(step, context).map(Into::into),
        Step::Verify(step) => verify::perform(step, context).map(Into::into),
        Step::Test(step) => test::perform(step, context).map(Into::into),
        Step::Attest(step) => attest::perform(step, context).map(Into::into),
        Step::Publish(step) => publish::perform(step, context).map(Into::into),
        Step::Discard(step) => discard::perform(step, context).map(Into::into),
        step => Err(StepError::permanent(format!(
            "this version does not know the step `{}`",
            step.kind()
        ))),
    };
    let kind = step.kind();
    outcome.unwrap_or_else(|error| {
        // Whatever a tool says that was ended: it was not the tool that failed.
        match (error, context.stop.interrupt()) {
            (StepError::Interrupted(interrupt), _) | (_, Some(interrupt)) => {
                context.log.line(&format!("{kind} was ended: {interrupt}"));
                interrupt.into()
            }
            (StepError::Failed(failure), None) => {
                context.log.line(&format!("{kind} failed: {failure}"));
                failure.into()
            }
        }
    })
}

/// Why a step was not done.
#[derive(Debug)]
pub(crate) enum StepError {
    Failed(StepFailure),
    Interrupted(Interrupt),
}

impl std::fmt::Display for StepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Interrupted(interrupt) => interrupt.fmt(f),
        }
    }
}

impl StepError {
    fn transient(message: impl Into<String>) -> Self {
        Self::Failed(StepFailure::transient(message))
    }

    fn permanent(message: impl Into<String>) -> Self {
        Self::Failed(StepFailure::permanent(message))
    }

    fn of(message: String, is_transient: bool) -> Self {
        if is_transient {
            Self::transient(message)
        } else {
            Self::permanent(message)
        }
    }
}

impl From<RegistryError> for StepError {
    fn from(error: RegistryError) -> Self {
        Self::of(error.to_string(), error.is_retryable())
    }
}

impl From<ToolError> for StepError {
    fn from(error: ToolError) -> Self {
        match error.interrupt() {
            Some(interrupt) => Self::Interrupted(interrupt),
            None => Self::of(error.to_string(), error.is_retryable()),
        }
    }
}

impl From<PolicyReadError> for StepError {
    fn from(error: PolicyReadError) -> Self {
        Self::of(error.message.clone(), error.is_transient())
    }
}

impl StepContext<'_> {
    fn image(&self, repository: &Repository, tag: &Tag, digest: &Digest) -> ImageRef {
        ImageRef::new(self.host.clone(), repository.clone(), tag.clone())
            .with_digest(digest.clone())
    }

    /// How people name an image of the registry: `HOST/REPOSITORY:TAG`.
    fn name(&self, repository: &Repository, tag: &Tag) -> String {
        ImageRef::new(self.host.clone(), repository.clone(), tag.clone()).by_tag()
    }

    /// When the database that the scanner uses was made, where it tells.
    fn database(&self) -> Result<Option<DateTime<Utc>>, StepError> {
        self.with_tool(|job| self.scanner.database(job))
    }

    fn make_folder(&self) -> Result<(), StepError> {
        fs::create_dir_all(self.folder).map_err(|error| {
            StepError::transient(format!(
                "cannot make the folder `{}`: {error}",
                self.folder.display()
            ))
        })
    }

    /// Calls a tool. The process groups that it starts are noted in the folder of the run, so that
    /// those which outlive a crash of this program can be ended by the next.
    pub(crate) fn with_tool<T>(
        &self,
        call: impl FnOnce(&Job<'_>) -> Result<T, ToolError>,
    ) -> Result<T, StepError> {
        Ok(self.call(call)??)
    }

    /// Calls a tool; what the tool failed with is not yet a failure of the step.
    fn call<T>(&self, call: impl FnOnce(&Job<'_>) -> T) -> Result<T, StepError> {
        self.make_folder()?;
        let note = self.folder.join(ProcessGroup::NOTE);
        let started = |group: ProcessGroup| {
            // Without the note a tool that outlives a crash runs on for a while; that is no
            // reason not to start it.
            if let Ok(text) = serde_json::to_vec(&group) {
                let _ = fs::write(&note, text);
            }
        };
        Ok(call(&Job {
            folder: self.folder,
            log: self.log,
            stop: self.stop,
            access: self.access,
            started: &started,
        }))
    }
}
