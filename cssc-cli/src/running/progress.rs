//! How a cycle comes along, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use cssc_core::Cycle;
use cssc_core::cycle::{CycleReport, PublishOutcome, Status, Step, StepOutcome, Summary};
use cssc_engine::runner::RunnerEvent;

use super::on_end::not_told;
use crate::output::{self, noun};

/// Tells of a cycle: one line that changes on a terminal, a line for each step elsewhere.
pub(crate) struct Progress {
    is_terminal: bool,
    begin: Instant,
    /// How many images were done when this process began.
    done_before: usize,
    told: Option<Instant>,
}

impl Progress {
    const PAUSE: Duration = Duration::from_millis(100);

    pub(crate) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            begin: Instant::now(),
            done_before: 0,
            told: None,
        }
    }

    pub(crate) fn tell(&mut self, event: &RunnerEvent<'_>) {
        match event {
            RunnerEvent::Started { cycle, resumed } => {
                self.begin = Instant::now();
                self.done_before = cycle.summary().done();
                let number = cycle.record().id();
                let verb = if *resumed { "goes on" } else { "begins" };
                self.line(&format!("cycle {number} {verb}"));
            }
            RunnerEvent::Begun { assignment, run } if !self.is_terminal => {
                let image = run
                    .image()
                    .map(|image| format!(" {}:{}", image.repository, image.tag));
                let (id, step) = (&assignment.run, assignment.step.kind());
                self.line(&format!("{id} {step}{}", image.unwrap_or_default()));
            }
            RunnerEvent::Done {
                assignment,
                outcome,
                cycle,
                ..
            } => {
                let (id, step) = (&assignment.run, assignment.step.kind());
                match outcome {
                    StepOutcome::Failed(failure) => {
                        self.line(&format!("{id} {step} failed: {failure}"));
                    }
                    StepOutcome::Interrupted(interrupt) => {
                        self.line(&format!("{id} {step} was ended: {interrupt}"));
                    }
                    StepOutcome::Publish(PublishOutcome::Published(_)) => {
                        if let Step::Publish(step) = &assignment.step {
                            self.line(&format!("{id} published {}:{}", step.repository, step.tag));
                        }
                    }
                    _ => {}
                }
                self.status(&cycle.summary());
            }
            RunnerEvent::Canceled => self.line("canceling"),
            RunnerEvent::NotRecorded(error) => {
                self.clear();
                output::warning(&format!("the cycle cannot be recorded: {error}"));
            }
            RunnerEvent::NotTold(reason) => {
                self.clear();
                not_told(reason);
            }
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

    fn line(&mut self, text: &str) {
        self.clear();
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn status(&mut self, summary: &Summary) {
        let is_due = self.told.is_none_or(|told| told.elapsed() >= Self::PAUSE);
        if !self.is_terminal || !is_due {
            return;
        }
        self.told = Some(Instant::now());
        let done = summary.done();
        let left = summary.images.saturating_sub(done);
        let by_us = done.saturating_sub(self.done_before);
        let time = match (u32::try_from(left), u32::try_from(by_us)) {
            (Ok(left), Ok(by_us @ 1..)) => {
                let each = self.begin.elapsed().checked_div(by_us).unwrap_or_default();
                let seconds = each.saturating_mul(left).as_secs();
                format!(", about {} min left", seconds.div_ceil(60))
            }
            _ => String::new(),
        };
        let Summary {
            images,
            running,
            failed,
            ..
        } = summary;
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{done} of {images} images done, {running} running, {failed} failed{time}"
        );
    }

    fn clear(&mut self) {
        if self.told.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn tell_stopped(cycle: &Cycle) {
    let summary = cycle.summary();
    output::note(&format!(
        "cycle {} is stopped, {} of {} are done: run again to finish it",
        cycle.record().id(),
        summary.done(),
        noun(summary.images, "image")
    ));
}

/// Says how a cycle ended: what came of images and findings, what is left behind, and what went
/// wrong with the plan.
pub(crate) fn tell_end(report: &CycleReport) {
    let text = report.line().to_string();
    match report.status() {
        Status::Succeeded => output::note(&text),
        _ => output::warning(&text),
    }
    if report.databases().len() > 1 {
        output::warning("the scans used databases of different times");
    }
    for tag in report.residue() {
        output::warning(&format!("`{tag}` is left over in the registry"));
    }
    if let Some(problem) = report.problem() {
        output::error(problem);
    }
}
