//! Planning a cycle for several workers.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use cssc_core::cycle::{
    Cause, CycleDocument, CycleId, DocumentErrorKind, Reason, RunId, StepOutcome,
};
use cssc_core::workflow::WorkflowSettings;
use cssc_engine::runner::{RunnerEvent, RunnerSettings};
use cssc_engine::state::MemoryState;
use serde::Serialize;

use super::document;
use crate::args::{LimitArgs, PlatformArgs, RegistryArgs, parse_count};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::registry::Registry;
use crate::running::progress::is_tried_again;
use crate::running::selection::SelectionArgs;
use crate::running::tools::Tools;
use crate::running::{stop_on_signals, with_runner};

/// Plan a cycle and write the document for the workers
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    platform: PlatformArgs,
    /// The number of shards: as many workers can share the cycle
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    shards: NonZeroU32,
    /// The file to write the cycle document to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What is printed of a plan.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    cycle: CycleId,
    images: usize,
    shards: u32,
    left_out: usize,
}

impl Plan {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let mut workflow = WorkflowSettings::default();
        workflow.limit = self.limit.max_images;
        workflow.platforms.clone_from(&self.platform.platform);
        let mut settings = RunnerSettings {
            list: self.registry.list_options(),
            ..RunnerSettings::default()
        };
        self.selection.apply(&mut settings);
        settings.cycle.settings = workflow;
        settings.cycle.plan_only = true;
        let policy = self.selection.policy(&registry)?;
        let stop = stop_on_signals()?;
        let state = MemoryState::default();
        let tools = Tools::default();
        let cycle = with_runner(&registry, &state, &tools, (&settings, &*policy), |runner| {
            runner.run(Cause::Immediate, &stop, &mut |event| tell(&event))
        })?;
        let key = registry.host()?.key();
        let plan = CycleDocument::new(&cycle, &key, self.shards).map_err(|error| {
            let trigger = cycle.run(&RunId::trigger(cycle.record().id()));
            match (error.kind(), trigger.and_then(|run| run.reason())) {
                (DocumentErrorKind::NoPlan, Some(Reason::OverLimit(_))) => {
                    Failure::No(format!("{error} (--max-images)"))
                }
                (_, Some(Reason::Failed(failure))) if !failure.is_transient() => {
                    Failure::No(error.to_string())
                }
                _ => error.into(),
            }
        })?;
        document::write(&self.out, &plan)?;
        for left_out in plan.plan().left_out() {
            let (repository, tag) = (&left_out.repository, &left_out.tag);
            output::note(&format!(
                "`{repository}:{tag}` is left out: {}",
                left_out.reason
            ));
        }
        let planned = Planned {
            cycle: plan.cycle(),
            images: plan.plan().images().len(),
            shards: plan.shards().get(),
            left_out: plan.plan().left_out().len(),
        };
        let mut out = output::stdout();
        let planned = serde_json::to_string(&planned);
        writeln!(
            out,
            "{}",
            planned.map_err(|error| Failure::new(error.to_string()))?
        )?;
        out.flush()?;
        Ok(Answer::Yes)
    }
}

/// What goes wrong on the way; the end of the plan is no end of the cycle.
fn tell(event: &RunnerEvent<'_>) {
    if let RunnerEvent::Done {
        assignment,
        outcome: StepOutcome::Failed(failure),
        run,
        ..
    } = event
        && is_tried_again(assignment, run)
    {
        output::warning(&format!("the plan failed and is retried: {failure}"));
    }
}
