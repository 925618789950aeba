//! What a terminal shows while a cycle runs: how far it is, and a line for each step that is being
//! done.

use std::collections::BTreeMap;

use cssc_core::cycle::{Assignment, RunId, Summary};
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

    /// A step begins, of an image or of the cycle.
    pub(super) fn begin(&mut self, assignment: &Assignment, image: Option<String>) {
        let step = ProgressBar::new_spinner();
        step.set_style(style("  {spinner} {msg} {elapsed}"));
        let mut text = assignment.step.kind().to_string();
        if let Some(image) = image {
            text = format!("{image} {text}");
        }
        if assignment.attempt > 1 {
            text = format!("{text}, attempt {}", assignment.attempt);
        }
        step.set_message(text);
        let step = self.all.add(step);
        self.steps.insert(assignment.run.clone(), step);
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
