//! How a cycle comes along, on standard error.

mod bars;

use std::time::Instant;

use cssc_core::Cycle;
use cssc_core::cycle::{
    Assignment, CycleReport, PublishOutcome, Run, Status, Step, StepOutcome, Summary,
};
use cssc_engine::runner::RunnerEvent;
use serde_json::{Value, json};

use self::bars::Bars;
use super::on_end::not_told;
use crate::output::{self, Fields, Level, noun};

/// Tells of cycles.
pub(crate) struct Progress {
    /// On a terminal, while a cycle runs.
    bars: Option<Bars>,
    /// Whether somebody watches.
    is_live: bool,
    begin: Instant,
    /// How many images were done when this process began.
    done_before: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            bars: None,
            is_live: output::is_live(),
            begin: Instant::now(),
            done_before: 0,
        }
    }

    pub(crate) fn tell(&mut self, event: &RunnerEvent<'_>) {
        match event {
            RunnerEvent::Started { cycle, resumed } => self.started(cycle, *resumed),
            RunnerEvent::Begun {
                assignment, run, ..
            } => {
                if let Some(bars) = &mut self.bars {
                    bars.begin(assignment, run);
                    return;
                }
                let (id, step) = (&assignment.run, assignment.step.kind());
                let of = run.image().map(|image| format!(" {image}"));
                let text = format!("{id} {step}{}", of.unwrap_or_default());
                self.line(Level::Info, "step-begun", &text, fields(assignment, run));
            }
            RunnerEvent::Done {
                assignment,
                outcome,
                run,
                cycle,
            } => {
                self.done(assignment, outcome, run);
                self.status(&cycle.summary());
            }
            RunnerEvent::Checked => {
                if let Some(bars) = &self.bars {
                    bars.tick();
                }
            }
            RunnerEvent::Canceled => {
                self.line(Level::Info, "canceling", "canceling", Fields::new());
            }
            RunnerEvent::NotRecorded(error) => self.aside(|| {
                output::warning(&format!("the cycle cannot be recorded: {error}"));
            }),
            RunnerEvent::NotTold(reason) => self.aside(|| not_told(reason)),
            RunnerEvent::Stopped { cycle } => {
                self.clear();
                tell_stopped(cycle);
            }
            RunnerEvent::Ended { report } => {
                self.clear();
                tell_end(report);
            }
            _ => {}
        }
    }

    fn started(&mut self, cycle: &Cycle, resumed: bool) {
        self.begin = Instant::now();
        self.done_before = cycle.summary().done();
        let number = cycle.record().id();
        let verb = if resumed { "goes on" } else { "begins" };
        let fields = output::fields([("cycle", json!(number)), ("resumed", resumed.into())]);
        let text = format!("cycle {number} {verb}");
        self.line(Level::Info, "cycle-begun", &text, fields);
        self.bars = self.is_live.then(Bars::new);
    }

    /// Tells of a step what went wrong, and what was published.
    fn done(&mut self, assignment: &Assignment, outcome: &StepOutcome, run: &Run) {
        if let Some(bars) = &mut self.bars {
            bars.end(&assignment.run);
        }
        let (id, step, attempt) = (&assignment.run, assignment.step.kind(), assignment.attempt);
        let fields = |name: &str, value: Value| {
            let mut fields = fields(assignment, run);
            fields.insert(name.to_owned(), value);
            fields
        };
        match outcome {
            StepOutcome::Failed(failure) => {
                let again = is_tried_again(assignment, run);
                if let (Some(bars), true) = (&mut self.bars, again) {
                    bars.wait(assignment, run);
                }
                let then = if again { ", it will be retried" } else { "" };
                let text = format!("{id} {step} failed: {failure} (attempt {attempt}{then})");
                let fields = fields("triedAgain", again.into());
                self.line(Level::Warning, "step-failed", &text, fields);
            }
            StepOutcome::Interrupted(interrupt) => {
                let text = format!("{id} {step} was ended: {interrupt}");
                let fields = fields("interrupt", interrupt.to_string().into());
                self.line(Level::Info, "step-interrupted", &text, fields);
            }
            StepOutcome::Publish(PublishOutcome::Published) => {
                if let Step::Publish(step) = &assignment.step {
                    let text = format!("{id} published {}:{}", step.repository, step.tag);
                    let published = json!({"tag": step.tag, "digest": step.digest});
                    self.line(
                        Level::Info,
                        "published",
                        &text,
                        fields("published", published),
                    );
                }
            }
            _ => {}
        }
    }

    fn line(&self, level: Level, event: &str, text: &str, fields: Fields) {
        self.aside(|| output::event(level, event, text, fields));
    }

    /// Prints while the changing lines are out of the way.
    fn aside(&self, print: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.aside(print),
            None => print(),
        }
    }

    fn status(&self, summary: &Summary) {
        let Some(bars) = &self.bars else { return };
        let done = summary.done();
        let left = summary.images.saturating_sub(done);
        let by_us = done.saturating_sub(self.done_before);
        let left = match (u32::try_from(left), u32::try_from(by_us)) {
            (Ok(left @ 1..), Ok(by_us @ 1..)) => {
                let each = self.begin.elapsed().checked_div(by_us).unwrap_or_default();
                let seconds = each.saturating_mul(left).as_secs();
                Some(format!(", about {} min left", seconds.div_ceil(60)))
            }
            _ => None,
        };
        bars.status(summary, left);
    }

    fn clear(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.clear();
        }
    }
}

/// Which step is told of.
fn fields(assignment: &Assignment, run: &Run) -> Fields {
    output::fields([
        ("run", json!(assignment.run)),
        ("step", assignment.step.kind().as_str().into()),
        ("image", run.image().map(ToString::to_string).into()),
        ("attempt", assignment.attempt.into()),
    ])
}

fn tell_stopped(cycle: &Cycle) {
    let summary = cycle.summary();
    let number = cycle.record().id();
    let text = format!(
        "cycle {number} is stopped, {} of {} are done: run again to finish it",
        summary.done(),
        noun(summary.images, "image")
    );
    let fields = output::fields([("cycle", json!(number)), ("summary", json!(summary))]);
    output::tell(Level::Info, "cycle-stopped", &text, fields);
}

/// Says how a cycle ended: what came of images and findings, what is left behind, and what went
/// wrong with the plan.
pub(crate) fn tell_end(report: &CycleReport) {
    let level = match report.status() {
        Status::Succeeded => Level::Info,
        _ => Level::Warning,
    };
    let fields = output::fields([
        ("cycle", json!(report.cycle())),
        ("status", json!(report.status())),
        ("summary", json!(report.summary())),
        ("findings", json!(report.findings())),
    ]);
    output::tell(level, "cycle-ended", &report.line().to_string(), fields);
    if report.databases().len() > 1 {
        output::warning("the scans used databases of different dates");
    }
    if let Some(problem) = report.problem() {
        output::error(problem);
    }
}

/// Whether a step that failed is going to be attempted again: the run waits at it.
pub(crate) fn is_tried_again(assignment: &Assignment, run: &Run) -> bool {
    run.step() == Some(assignment.step.kind()) && run.attempt() == assignment.attempt
}
