//! Runs cycles: asks the core what to do, has it done, and stores what came of it.

mod context;
mod drive;
mod error;
mod execution;
mod folder;
mod serve;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use cssc_core::cycle::{
    Assignment, Cause, CycleDocument, CycleId, CycleOptions, CycleReport, ImageFilter, Run, RunId,
    Shard, ShardResult, StepOutcome,
};
use cssc_core::{Cycle, Registry};
use cssc_registry::{ListOptions, RegistryClient, RegistryError};

pub use error::{RunnerError, RunnerErrorKind};
pub use serve::ServeEvent;

use self::context::RunContext;
use self::execution::Execution;
use self::folder::WorkFolder;
use crate::doctor::{self, Check};
use crate::policy_source::PolicySource;
use crate::relay::{RelayOptions, ToolingImages};
use crate::reports::Reports;
use crate::state::{State, StateError, StoredWorkflow};
use crate::tool::{EndCommand, Patchers, Scanner, SignCommand, StopToken, TestCommand};

/// Runs the cycles of one workflow: a registry, its tools, and where the state is kept.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    /// Where runs, logs and cancellations are kept.
    pub state: &'a dyn State,
    /// The registry.
    pub registry: &'a Arc<dyn RegistryClient>,
    /// How people name the registry; the workflow is kept under its
    /// [key](cssc_core::Registry::key).
    pub host: &'a Registry,
    /// Where the policy is read from.
    pub policy: &'a dyn PolicySource,
    /// What scans.
    pub scanner: &'a dyn Scanner,
    /// What patches: one patcher, or those that a workflow may name.
    pub patchers: &'a dyn Patchers,
    /// Where the images are that patchers fetch packages with; without it they look themselves.
    pub tooling: Option<&'a Arc<dyn ToolingImages>>,
    /// How to go about it.
    pub settings: &'a RunnerSettings,
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("host", self.host)
            .field("scanner", &self.scanner.name())
            .field("settings", self.settings)
            .finish_non_exhaustive()
    }
}

/// How a runner goes about its work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunnerSettings {
    /// What a new cycle is told; one that is resumed keeps what it was told.
    pub cycle: CycleOptions,
    /// Which images a new cycle takes of those that the policy selects; all of them by default.
    pub only: Vec<ImageFilter>,
    /// What tries patched images before they are published; nothing by default.
    pub test: Option<TestCommand>,
    /// What signs patched images before they have a tag; nothing by default.
    pub sign: Option<SignCommand>,
    /// What is told when a cycle has ended; nothing by default.
    pub on_end: Option<EndCommand>,
    /// How repositories are listed.
    pub list: ListOptions,
    /// Where images are served to tools.
    pub relay: RelayOptions,
    /// How many runs are kept at least, the newest; all of them by default.
    pub keep_runs: Option<u32>,
    /// How many cycles are kept in the registry, the newest, where records are kept there; 400 by
    /// default.
    pub keep_records: Option<NonZeroU32>,
    /// Where reports and credentials of runs are put; beside the state file by default.
    pub folder: Option<PathBuf>,
}

/// What happens while a cycle runs, as it happens.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum RunnerEvent<'a> {
    /// A cycle begins, or goes on where it stopped.
    Started {
        /// The cycle as it is now.
        cycle: &'a Cycle,
        /// Whether it had begun before.
        resumed: bool,
    },
    /// A step begins, once all that is known of it is stored. When the runner is told to stop now, the
    /// step is not performed.
    Begun {
        /// The step.
        assignment: &'a Assignment,
        /// The run it belongs to.
        run: &'a Run,
        /// The cycle as it is now.
        cycle: &'a Cycle,
    },
    /// A step is done, and what came of it is stored.
    Done {
        /// The step.
        assignment: &'a Assignment,
        /// What it came to.
        outcome: &'a StepOutcome,
        /// The run it belongs to, as it stands now.
        run: &'a Run,
        /// The cycle as it is now.
        cycle: &'a Cycle,
    },
    /// The runner looked, as it does several times a second, whether a step is to be ended.
    Checked,
    /// Somebody canceled the cycle.
    Canceled,
    /// No record of the cycle could be kept in the registry.
    NotRecorded(&'a RegistryError),
    /// Who was to be told that the cycle has ended was not, and why.
    NotTold(&'a str),
    /// The runner was stopped before the cycle ended.
    Stopped {
        /// The cycle as it is now.
        cycle: &'a Cycle,
    },
    /// The cycle ended.
    Ended {
        /// What came of it.
        report: &'a CycleReport,
    },
}

impl Runner<'_> {
    /// Runs one cycle and comes back when it has ended; a cycle that was stopped or killed
    /// before is finished instead of a new one being begun.
    ///
    /// When `stop` says so no new step is begun, tools are ended, and what they did is done anew
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
        stop: &StopToken,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<Cycle, RunnerError> {
        self.execute(stop, on_event, |execution| execution.resume_or_begin(cause))
    }

    /// Does something as the only one who runs the workflow.
    fn execute(
        &self,
        stop: &StopToken,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
        work: impl FnOnce(&mut Execution<'_>) -> Result<Cycle, RunnerError>,
    ) -> Result<Cycle, RunnerError> {
        let workflow = self.known()?;
        let _lock = self.state.lock(workflow.id, now())?;
        work(&mut Execution {
            runner: self,
            workflow: &workflow,
            folder: &self.folder()?,
            stop,
            on_event,
        })
    }

    /// Does one shard of a cycle that was planned elsewhere, and comes back when it has ended; what
    /// an earlier result says is done is not done again.
    ///
    /// When `stop` says so no new step is begun and tools are ended, as in [`run`](Self::run): the
    /// cycle that comes back has not ended then.
    ///
    /// # Errors
    ///
    /// Fails when the document or the result belongs to something else, when the scanner or the
    /// patcher cannot be used, and as [`run`](Self::run) does.
    pub fn run_shard(
        &self,
        document: &CycleDocument,
        shard: Shard,
        earlier: Option<&ShardResult>,
        stop: &StopToken,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Result<Cycle, RunnerError> {
        document.check_registry(&self.host.key())?;
        let options = CycleOptions {
            test: self.settings.test.is_some(),
            sign: self.settings.sign.is_some(),
            ..self.settings.cycle.clone()
        };
        let cycle = document.cycle_of(shard, earlier, options, now())?;
        self.execute(stop, on_event, |execution| execution.take_over(cycle))
    }

    /// Checks what a cycle needs before it is needed: the registry and the rights in it, the
    /// policy, the tools and what they need themselves. Runs no cycle and leaves nothing behind.
    ///
    /// # Errors
    ///
    /// Fails when there is no folder to work in. What a cycle would fail for is no error.
    pub fn examine(
        &self,
        stop: &StopToken,
        on_check: &mut dyn FnMut(Check),
    ) -> Result<(), RunnerError> {
        let folder = &self.folder()?;
        let run = &RunId::trigger(CycleId::new(now(), fastrand::u16(..)));
        let context = RunContext {
            runner: self,
            folder,
            reports: &Reports::new(folder.reports()),
            relay: &folder.relay_of_run(run, self),
            run,
            token: stop,
        };
        // There is no such run, whose log could be kept.
        let (options, only) = (&self.settings.cycle, &self.settings.only);
        let _ = context.with_context(|context| doctor::examine(context, options, only, on_check));
        self.scanner.release();
        // A cycle may be running beside it, whose folders stay.
        folder.remove_run(run);
        Ok(())
    }

    /// The workflow in the state, which is added if it is not there.
    fn known(&self) -> Result<StoredWorkflow, StateError> {
        self.state.add_workflow(&self.host.key(), now())
    }

    fn folder(&self) -> Result<WorkFolder, StateError> {
        match &self.settings.folder {
            Some(folder) => Ok(WorkFolder::of(folder)),
            None => WorkFolder::of_state(self.state, &self.host.key()),
        }
    }
}

/// The time: the one thing the core does not know.
pub(crate) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
