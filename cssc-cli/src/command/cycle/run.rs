//! Doing a shard.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use cssc_core::Cycle;
use cssc_core::cycle::{Interrupt, Shard, ShardResult, StepKind};
use cssc_engine::policy_source::PolicyReadError;
use cssc_engine::runner::RunnerEvent;
use cssc_engine::state::MemoryState;

use super::document;
use super::shard::ShardArg;
use crate::args::RegistryArgs;
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::registry::Registry;
use crate::running::progress::Progress;
use crate::running::tools::ToolArgs;
use crate::running::{stop_on_signals, with_runner};

/// Run one shard of a planned cycle
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    registry: RegistryArgs,
    /// The cycle document
    #[arg(long, value_name = "FILE")]
    cycle: PathBuf,
    /// The shard: `2/8`, or `2`; by default that of `CI_NODE_INDEX` (from 1) or
    /// `JOB_COMPLETION_INDEX` (from 0)
    #[arg(long, value_name = "I/N")]
    shard: Option<ShardArg>,
    /// The file for the result, written after each image; images that it lists as done are not
    /// repeated
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    tools: ToolArgs,
}

impl Run {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let plan = document::cycle(&self.cycle)?;
        let shard = ShardArg::choose(self.shard, &plan)?;
        let earlier = document::result_if_there(&self.out)?;
        let settings = self
            .tools
            .runner_settings(self.tools.workflow_settings(), self.registry.list_options());
        let stop = stop_on_signals()?;
        let state = MemoryState::default();
        let tools = self.tools.tools(&self.registry);
        // The plan says all that a worker needs.
        let policy = || -> Result<cssc_core::Workflow, PolicyReadError> {
            Err(PolicyReadError {
                message: "a worker reads no policy".to_owned(),
                kind: cssc_core::cycle::FailureKind::Permanent,
                is_absent: false,
            })
        };
        let mut progress = Progress::new();
        let mut results = Results::new(&self.out, shard, earlier.as_ref());
        let cycle = with_runner(&registry, &state, &tools, (&settings, &policy), |runner| {
            runner.run_shard(&plan, shard, earlier.as_ref(), &stop, &mut |event| {
                match event {
                    RunnerEvent::Begun {
                        assignment, cycle, ..
                    } if assignment.step.kind() == StepKind::Publish
                        && !results.note_publication(cycle) =>
                    {
                        stop.stop(Interrupt::Stopped);
                    }
                    RunnerEvent::Done { cycle, .. } => results.update(cycle),
                    _ => {}
                }
                progress.tell(&event);
            })
        })?;
        results.write(&cycle)?;
        Ok(if cycle.has_ended() {
            Answer::Yes
        } else {
            Answer::Incomplete
        })
    }
}

/// The result file, as it comes along.
struct Results<'a> {
    path: &'a Path,
    shard: Shard,
    earlier: Option<&'a ShardResult>,
    done: usize,
    /// When it was written last, and how long that took.
    written: Option<(Instant, Duration)>,
    is_refused: bool,
}

impl<'a> Results<'a> {
    /// Writing takes at most so large a part of the time: the result of many thousand images is
    /// not written after each of them.
    const SHARE: u32 = 20;

    fn new(path: &'a Path, shard: Shard, earlier: Option<&'a ShardResult>) -> Self {
        Self {
            path,
            shard,
            earlier,
            done: 0,
            written: None,
            is_refused: false,
        }
    }

    /// Writes down what is about to be published, before its tag is; whether that could be done.
    fn note_publication(&mut self, cycle: &Cycle) -> bool {
        match self.write(cycle) {
            Ok(()) => true,
            Err(failure) => {
                output::error(&format!(
                    "nothing is published that cannot be written down first: {failure}"
                ));
                false
            }
        }
    }

    /// Writes the result when another image is done. What cannot be written now is tried again
    /// with the next image, and at the end.
    fn update(&mut self, cycle: &Cycle) {
        let done = cycle.summary().done();
        let is_due = self
            .written
            .is_none_or(|(at, took)| at.elapsed() >= took.saturating_mul(Self::SHARE));
        if done == self.done || !is_due {
            return;
        }
        let begin = Instant::now();
        match self.write(cycle) {
            Ok(()) => self.done = done,
            Err(Failure::Message(message)) if !self.is_refused => {
                self.is_refused = true;
                output::warning(&message);
            }
            Err(_) => {}
        }
        self.written = Some((Instant::now(), begin.elapsed()));
    }

    fn write(&self, cycle: &Cycle) -> Result<(), Failure> {
        document::write(
            self.path,
            &ShardResult::new(cycle, self.shard, self.earlier),
        )
    }
}
