//! What a terminal shows while a cycle runs: how far it is, and a line for each step that is being
//! done.

use std::collections::BTreeMap;

use cssc_core::cycle::{Assignment, Run, RunId, Summary};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(super) struct Bars {
    all: MultiProgress,
    cycle: ProgressBar,
    steps: BTreeMap<RunId, ProgressBar>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let cycle = all.add(ProgressBar::new(0));
        cycle.set_style(style("{bar:20} {pos}/{len} images{msg}, {elapsed}"));
        Self {
            all,
            cycle,
            steps: BTreeMap::new(),
        }
    }

    /// Does something that prints while the lines are out of the way.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.all.suspend(print)
    }

    /// A step begins.
    pub(super) fn begin(&mut self, assignment: &Assignment, run: &Run) {
        let attempt = match assignment.attempt {
            1 => String::new(),
            attempt => format!(", attempt {attempt}"),
        };
        self.show(assignment, run, &attempt);
    }

    /// A step failed, and its next attempt comes after a pause.
    pub(super) fn wait(&mut self, assignment: &Assignment, run: &Run) {
        let next = assignment.attempt.saturating_add(1);
        self.show(assignment, run, &format!(", waiting for attempt {next}"));
    }

    /// The line of a run, with the time since now.
    fn show(&mut self, assignment: &Assignment, run: &Run, how: &str) {
        self.end(&assignment.run);
        let step = assignment.step.kind();
        let text = match run.image() {
            Some(image) => format!("{image} {step}{how}"),
            None => format!("{step}{how}"),
        };
        let line = ProgressBar::new_spinner();
        line.set_style(style("  {spinner} {msg} {elapsed}"));
        line.set_message(text);
        self.steps
            .insert(assignment.run.clone(), self.all.add(line));
    }

    pub(super) fn end(&mut self, run: &RunId) {
        if let Some(step) = self.steps.remove(run) {
            step.finish_and_clear();
        }
    }

    /// How many images are done, how many failed, and how long the rest may take.
    pub(super) fn status(&self, summary: &Summary, left: Option<String>) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.cycle.set_length(count(summary.images));
        self.cycle.set_position(count(summary.done()));
        let failed = match summary.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        self.cycle
            .set_message(format!("{failed}{}", left.unwrap_or_default()));
    }

    /// Time goes on.
    pub(super) fn tick(&self) {
        for bar in self.steps.values().chain([&self.cycle]) {
            bar.tick();
        }
    }

    pub(super) fn clear(self) {
        for step in self.steps.into_values() {
            step.finish_and_clear();
        }
        self.cycle.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // Only a template of ours is ever given.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
