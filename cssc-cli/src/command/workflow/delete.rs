//! Deleting a workflow.

use chrono::Utc;
use clap::Args;
use cssc_engine::policy_artifact::PolicyDeletion;
use cssc_engine::records::RECORD_REPOSITORY;
use cssc_engine::state::{MemoryState, State};
use cssc_engine::workflow;

use super::args::WorkflowArgs;
use crate::args::TakeOverArgs;
use crate::exit::{Answer, Outcome};
use crate::output::{self, confirm};
use crate::registry::Registry;

/// Delete the policy from the registry, and the runs
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    of: WorkflowArgs,
    #[command(flatten)]
    take_over: TakeOverArgs,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl Delete {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.of.registry)?;
        let state = self.of.state.open_if_there()?;
        let nothing = MemoryState::default();
        let state: &dyn State = state.as_ref().map_or(&nothing, |state| state);
        let name = registry.name();
        // Before anybody is asked what will be refused.
        workflow::check_ours(registry.client(), self.take_over.take_over)?;
        if !self.yes && !confirm(&format!("delete the workflow of `{name}` and its runs"))? {
            return Ok(Answer::No);
        }
        let deleted = workflow::delete(
            registry.client(),
            state,
            &registry.workflow_key(),
            self.take_over.take_over,
            Utc::now(),
        )?;
        match deleted.policy {
            Some(PolicyDeletion::Deleted) => output::note("deleted the workflow and its policy"),
            Some(PolicyDeletion::Untagged { .. }) => output::note(
                "deleted the workflow; the manifest of its policy stays, other tags share it",
            ),
            None => output::note("the policy was already gone; deleted the runs"),
        }
        for tag in &deleted.kept_records {
            output::warning(&format!(
                "`{RECORD_REPOSITORY}:{tag}` is left over in the registry"
            ));
        }
        Ok(Answer::Yes)
    }
}
