//! Where it is known what cycles have come to: in the state file, and in the registry.

use std::borrow::Cow;

use cssc_core::Cycle;
use cssc_core::cycle::{CycleFigures, CycleId, CycleReport};
use cssc_engine::records::Records;
use cssc_engine::state::{SqliteState, StateError, StoredWorkflow};
use cssc_engine::workflow;
use cssc_registry::RegistryClient;

use super::args::WorkflowArgs;
use crate::args::RegistryArgs;
use crate::exit::Failure;
use crate::output;
use crate::registry::Registry;

/// A cycle, and how it is known.
pub(super) enum Known {
    /// This machine has run it, or runs it.
    Here(Box<Here>),
    /// The registry has a record of it.
    Recorded(Box<CycleReport>),
}

/// What the state file knows.
pub(super) struct Here {
    pub(super) state: SqliteState,
    pub(super) workflow: StoredWorkflow,
    /// None before the first cycle.
    pub(super) cycle: Option<Cycle>,
}

impl Known {
    /// What is reported of it; nothing before the first cycle.
    pub(super) fn report(&self) -> Result<Option<Cow<'_, CycleReport>>, StateError> {
        match self {
            Self::Recorded(report) => Ok(Some(Cow::Borrowed(report))),
            Self::Here(here) => {
                let (state, id) = (&here.state, here.workflow.id);
                let cycle = here.cycle.as_ref();
                let report = cycle.map(|cycle| workflow::report(state, id, cycle));
                Ok(report.transpose()?.map(Cow::Owned))
            }
        }
    }

    /// The cycles before this one in numbers, the newest first, from where this one is known.
    pub(super) fn earlier(
        &self,
        report: &CycleReport,
        registry: &RegistryArgs,
    ) -> Result<Vec<CycleFigures>, Failure> {
        match self {
            Self::Here(here) => {
                let (state, id) = (&here.state, here.workflow.id);
                Ok(workflow::earlier(state, id, report.cycle())?)
            }
            Self::Recorded(_) => {
                let registry = Registry::open(registry)?;
                let client = registry.client();
                Ok(Records::list(client)?.earlier(client, report.cycle())?)
            }
        }
    }
}

/// The cycle with this name, or else the newest: from the state file when that has it, else from
/// the registry. Says which, where both could have.
pub(super) fn find(of: &WorkflowArgs, id: Option<CycleId>) -> Result<Known, Failure> {
    let here = here(of, id);
    let newest = match &here {
        Ok(here) => here.cycle.as_ref(),
        Err(_) => None,
    };
    // What goes on here is the newest, and what was asked for is there.
    if newest.is_some_and(|cycle| id.is_some() || !cycle.has_ended()) {
        return here.map(|here| Known::Here(Box::new(here)));
    }
    let newest = newest.map(|cycle| cycle.record().id());
    let client = Registry::open(&of.registry)?;
    let recorded = match recorded(client.client(), id, newest) {
        Ok(recorded) => recorded,
        Err(error) => {
            output::warning(&format!(
                "the records in the registry cannot be read: {error}"
            ));
            None
        }
    };
    match recorded {
        Some(report) => {
            let cycle = report.cycle();
            output::note(&format!("cycle {cycle}, from its record in the registry"));
            Ok(Known::Recorded(Box::new(report)))
        }
        None => here.map(|here| Known::Here(Box::new(here))),
    }
}

fn here(of: &WorkflowArgs, id: Option<CycleId>) -> Result<Here, Failure> {
    let (state, workflow) = of.state.open_known(&of.registry)?;
    let cycle = workflow::cycle(&state, &workflow.key, id)?;
    Ok(Here {
        state,
        workflow,
        cycle,
    })
}

/// The record of the cycle with this name, or of the newest, if that is newer than `newest`.
fn recorded(
    client: &dyn RegistryClient,
    id: Option<CycleId>,
    newest: Option<CycleId>,
) -> Result<Option<CycleReport>, cssc_registry::RegistryError> {
    let records = Records::list(client)?;
    match id.or_else(|| records.cycles().next()) {
        Some(cycle) if Some(cycle) > newest => records.read(client, cycle),
        _ => Ok(None),
    }
}

/// The newest cycle of which the registry has a record, if it is newer than what is known here.
pub(super) fn newer_record(
    client: &dyn RegistryClient,
    newest: Option<CycleId>,
) -> Option<CycleReport> {
    recorded(client, None, newest).ok().flatten()
}
