//! Runs cycles: asks the core what to do, has it done, and stores what came of it.

mod candidate;
mod cycle;
mod error;
mod folder;
mod monitor;
mod plan;
mod serve;
mod step;

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use cssc_core::{
    Cause, Cycle, CycleOptions, Outcome, Owner, Registry, Run, Summary, Work, Workflow,
};

pub use error::RunnerError;
pub use monitor::{Monitor, MonitorServer};
pub use serve::ServeEvent;

use crate::registry::{DEFAULT_CONCURRENCY, RegistryClient};
use crate::store::{Store, StoreError, StoredWorkflow};
use crate::tool::{Access, Cancel, Patcher, Scanner};

/// Where the policy and the schedule of a workflow are read from.
pub trait PolicySource: Send + Sync {
    /// The workflow as it is now.
    ///
    /// # Errors
    ///
    /// Fails when there is none, it cannot be read, or it makes no sense.
    fn read(&self) -> Result<Workflow, PolicyTrouble>;
}

impl<F> PolicySource for F
where
    F: Fn() -> Result<Workflow, PolicyTrouble> + Send + Sync,
{
    fn read(&self) -> Result<Workflow, PolicyTrouble> {
        self()
    }
}

/// Why a policy could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PolicyTrouble {
    /// What went wrong, in one line.
    pub reason: String,
    /// Whether another attempt may do better.
    pub retry: bool,
    /// Whether there is no workflow at all.
    pub absent: bool,
}

/// Runs the cycles of one workflow: a registry, its tools, and where the state is kept.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    /// Where runs, logs and cancellations are kept.
    pub store: &'a Store,
    /// The registry.
    pub registry: &'a dyn RegistryClient,
    /// How tools name the registry; also the name of the workflow in the store.
    pub host: &'a Registry,
    /// Where the policy is read from.
    pub policy: &'a dyn PolicySource,
    /// What scans.
    pub scanner: &'a dyn Scanner,
    /// What patches.
    pub patcher: &'a dyn Patcher,
    /// How tools reach the registry.
    pub access: &'a Access,
    /// How to go about it.
    pub settings: &'a RunnerSettings,
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("host", self.host)
            .field("scanner", &self.scanner.name())
            .field("patcher", &self.patcher.name())
            .field("settings", self.settings)
            .finish_non_exhaustive()
    }
}

/// How a runner goes about its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSettings {
    /// What a new cycle is told; one that is resumed keeps what it was told.
    pub cycle: CycleOptions,
    /// How many repositories are listed at a time, 16 by default.
    pub list_concurrency: NonZeroUsize,
    /// How many runs are kept at least, the newest; all of them by default.
    pub keep_runs: Option<u32>,
    /// Where reports and credentials of runs are put; beside the state file by default.
    pub folder: Option<PathBuf>,
}

impl Default for RunnerSettings {
    fn default() -> Self {
        Self {
            cycle: CycleOptions::default(),
            list_concurrency: DEFAULT_CONCURRENCY,
            keep_runs: None,
            folder: None,
        }
    }
}

/// What happens while a cycle runs, as it happens.
#[derive(Debug, Clone, Copy)]
pub enum RunnerEvent<'a> {
    /// A cycle begins, or goes on where it stopped.
    Started {
        /// The cycle as it is now.
        cycle: &'a Cycle,
        /// Whether it had begun before.
        resumed: bool,
    },
    /// A step begins.
    Begun {
        /// The step.
        work: &'a Work,
        /// The run it belongs to.
        run: &'a Run,
    },
    /// A step is done, and what came of it is stored.
    Done {
        /// The step.
        work: &'a Work,
        /// What it came to.
        outcome: &'a Outcome,
        /// The run it belongs to, as it stands now.
        run: &'a Run,
        /// How the images stand now.
        summary: Summary,
    },
    /// Somebody canceled the cycle.
    Canceled,
    /// The cycle ended, or the runner was stopped before it did.
    Ended {
        /// The cycle as it is now.
        cycle: &'a Cycle,
    },
}

impl Runner<'_> {
    /// Runs one cycle and comes back when it has ended; a cycle that was stopped or killed
    /// before is finished instead of a new one being begun.
    ///
    /// When `stop` is set no new step is begun, tools are ended, and what they did is done anew
    /// by the next runner: the cycle that comes back has not ended then.
    ///
    /// # Errors
    ///
    /// Fails when another process runs the workflow ([`RunnerError::is_held`]) and when the
    /// state cannot be read or written; then no further step is begun, and what was stored is
    /// where the next runner goes on. What happens to images is no error.
    pub fn run(
        &self,
        cause: Cause,
        stop: &Cancel,
        observe: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<Cycle, RunnerError> {
        let workflow = self.known()?;
        let _lock = self.store.lock(workflow.id, now())?;
        cycle::resume_or_begin(self, &workflow, cause, stop, observe)
    }

    /// What is known here of the workflow, which is made known if need be.
    fn known(&self) -> Result<StoredWorkflow, RunnerError> {
        Ok(known(self.store, self.host)?)
    }

    fn folder(&self) -> PathBuf {
        match &self.settings.folder {
            Some(folder) => folder.clone(),
            None => folder::beside(self.store, self.host.as_str()),
        }
    }
}

/// The time: the one thing the core does not know.
pub(crate) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// The workflow of a registry in the state file, added if it is not there.
pub(crate) fn known(store: &Store, host: &Registry) -> Result<StoredWorkflow, StoreError> {
    store.add_workflow(host.as_str(), &Owner::new(random()), now())
}

/// A number that another machine, or another state file, is unlikely to draw as well.
fn random() -> u32 {
    let drawn = RandomState::new().hash_one(std::process::id());
    u32::try_from(drawn & u64::from(u32::MAX)).unwrap_or_default()
}
