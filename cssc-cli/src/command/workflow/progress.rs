//! How a cycle comes along, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use cssc_core::{Cycle, Outcome, Status, Summary};
use cssc_engine::runner::RunnerEvent;

use crate::output::{self, noun};

/// Tells of a cycle: one line that changes on a terminal, a line for each step elsewhere.
pub(super) struct Progress {
    is_terminal: bool,
    begin: Instant,
    /// How many images were done when this process began.
    done_before: usize,
    told: Option<Instant>,
}

impl Progress {
    const PAUSE: Duration = Duration::from_millis(100);

    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            begin: Instant::now(),
            done_before: 0,
            told: None,
        }
    }

    pub(super) fn tell(&mut self, event: &RunnerEvent<'_>) {
        match event {
            RunnerEvent::Started { cycle, resumed } => {
                self.begin = Instant::now();
                self.done_before = cycle.summary().done();
                let number = cycle.record().id();
                let verb = if *resumed { "goes on" } else { "begins" };
                self.line(&format!("cycle {number} {verb}"));
            }
            RunnerEvent::Begun { work, run } => {
                if !self.is_terminal {
                    let image = run
                        .image()
                        .map(|image| format!(" {}:{}", image.repository, image.tag));
                    let step = work.step.name();
                    self.line(&format!("{} {step}{}", work.run, image.unwrap_or_default()));
                }
            }
            RunnerEvent::Done {
                work,
                outcome,
                run,
                summary,
            } => {
                if let Outcome::Failed { reason, .. } = outcome {
                    let step = work.step.name();
                    self.line(&format!("{} {step} failed: {reason}", work.run));
                } else if let Some(published) =
                    run.published().filter(|_| **outcome == Outcome::Published)
                    && let Some(image) = run.image()
                {
                    self.line(&format!(
                        "{} published {}:{published}",
                        work.run, image.repository
                    ));
                }
                self.status(summary);
            }
            RunnerEvent::Canceled => self.line("canceling"),
            RunnerEvent::Ended { cycle } => {
                self.clear();
                end(cycle);
            }
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

fn end(cycle: &Cycle) {
    let record = cycle.record();
    let summary = cycle.summary();
    if !cycle.has_ended() {
        output::note(&format!(
            "cycle {} is stopped, {} of {} are done: run again to finish it",
            record.id(),
            summary.done(),
            noun(summary.images, "image")
        ));
        return;
    }
    let text = format!(
        "cycle {} {}: {}, {} patched, {} skipped, {} failed, {} canceled",
        record.id(),
        record.status().as_str().to_lowercase(),
        noun(summary.images, "image"),
        summary.patched,
        summary.skipped,
        summary.failed,
        summary.canceled
    );
    match record.status() {
        Status::Succeeded => output::note(&text),
        _ => output::warning(&text),
    }
    let trigger = cycle.runs().next();
    if let Some(reason) = trigger.and_then(|run| run.reason()) {
        output::error(&reason.to_string());
    }
}
