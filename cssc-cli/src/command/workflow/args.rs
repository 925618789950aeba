//! Arguments that several commands of a workflow share.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use cssc_core::cycle::WORKFLOW_TYPE;
use cssc_core::workflow::WorkflowSettings;
use cssc_engine::records::DEFAULT_KEPT;
use cssc_engine::runner::RunnerSettings;
use cssc_engine::state::{
    SqliteState, State as _, StateError, StateErrorKind, StoredWorkflow, default_path,
};

use crate::args::{LimitArgs, PlatformArgs, RegistryArgs, parse_count};
use crate::exit::Failure;
use crate::running::on_end::OnEndArgs;
use crate::running::tools::ToolArgs;

/// What `az` names a workflow by beside its registry. There is one type, and no resource group.
#[derive(Debug, Args)]
pub(crate) struct TypeArgs {
    /// The type of the workflow
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = WORKFLOW_TYPE, value_parser = [WORKFLOW_TYPE])]
    workflow_type: String,
    /// Taken, so that a command line written for `az` works; registries have no resource groups
    #[arg(short = 'g', long, value_name = "GROUP", hide = true)]
    resource_group: Option<String>,
}

/// Where runs and logs are kept.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// The file for runs and logs; by default one in the user's state folder
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

impl StateArgs {
    /// Opens the state, which is made if it is not there.
    pub(crate) fn open(&self) -> Result<SqliteState, Failure> {
        Ok(SqliteState::open(self.path()?)?)
    }

    /// Opens the state for those who only look, and make nothing.
    pub(crate) fn open_existing(&self) -> Result<SqliteState, Failure> {
        Ok(SqliteState::open_existing(self.path()?)?)
    }

    /// Opens the state of a workflow that it has runs of; one that it knows nothing of is not empty,
    /// for its name may be misspelt.
    pub(crate) fn open_known(
        &self,
        registry: &RegistryArgs,
    ) -> Result<(SqliteState, StoredWorkflow), Failure> {
        let state = self.open_existing()?;
        if let Some(known) = state.workflow(&registry.workflow_key())? {
            return Ok((state, known));
        }
        let others = state.workflows()?;
        let others: Vec<String> = others
            .iter()
            .map(|other| format!("`{}`", other.key))
            .collect();
        let known = match others.as_slice() {
            [] => ", nor has that of any other registry".to_owned(),
            others => format!("; it knows {}", others.join(", ")),
        };
        Err(Failure::No(format!(
            "no workflow of `{}` has run or been queued with this state file{known}",
            registry.registry
        )))
    }

    /// Opens the state if it is there.
    pub(crate) fn open_if_there(&self) -> Result<Option<SqliteState>, Failure> {
        match SqliteState::open_existing(self.path()?) {
            Ok(state) => Ok(Some(state)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        let path = self.state.clone().or_else(default_path);
        path.ok_or_else(|| Failure::new("there is no home folder: pass --state FILE"))
    }
}

/// Which workflow, and where its runs and logs are kept.
#[derive(Debug, Args)]
pub(super) struct WorkflowArgs {
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let advice = match error.kind() {
            StateErrorKind::Begun
            | StateErrorKind::Busy
            | StateErrorKind::Gone
            | StateErrorKind::Held => "",
            _ => " (--state FILE names the file)",
        };
        Self::new(format!("{error}{advice}"))
    }
}

/// What every command takes that may run a cycle.
#[derive(Debug, Args)]
pub(crate) struct CycleArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
    #[command(flatten)]
    platform: PlatformArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) tools: ToolArgs,
    #[command(flatten)]
    on_end: OnEndArgs,
    /// Keep at least this many of the newest runs, and delete the others
    #[arg(long, value_name = "N", help_heading = "Tool options")]
    keep_runs: Option<u32>,
    /// Keep a record of each cycle in the registry, so that `list` and `report` work on any
    /// machine; by default as the stored workflow says, or else not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Tool options")]
    record: Option<bool>,
    /// How many of the newest cycles are kept in the registry
    #[arg(long, value_name = "N", default_value_t = DEFAULT_KEPT, value_parser = parse_count, help_heading = "Tool options")]
    keep_records: NonZeroU32,
}

impl CycleArgs {
    /// What is kept with a workflow when it is created or changed, and takes precedence
    /// over that otherwise.
    pub(crate) fn workflow_settings(&self) -> WorkflowSettings {
        let mut settings = self.tools.workflow_settings();
        settings.limit = self.limit.max_images;
        settings.platforms.clone_from(&self.platform.platform);
        settings.record = self.record;
        settings
    }

    pub(crate) fn runner_settings(&self) -> RunnerSettings {
        let list = self.registry.list_options();
        RunnerSettings {
            keep_runs: self.keep_runs,
            on_end: self.on_end.command(),
            keep_records: Some(self.keep_records),
            ..self.tools.runner_settings(self.workflow_settings(), list)
        }
    }
}
