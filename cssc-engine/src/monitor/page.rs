//! How things stand, for people.

use std::sync::Arc;

use cssc_core::cycle::{CycleFigures, ReportPage};

use super::{Figures, Monitor};

impl Monitor {
    /// A page of HTML with what goes on and the report of the cycle that ended last; a browser
    /// fetches it anew every few seconds.
    pub fn page(&self) -> String {
        let health = self.health();
        let (name, now, report, earlier) = {
            let figures = self.figures();
            let earlier: Vec<CycleFigures> = figures.earlier.iter().copied().collect();
            let report = figures.last.as_ref().map(|last| Arc::clone(&last.report));
            (figures.name.clone(), figures.now(), report, earlier)
        };
        let now = match health {
            Ok(()) => now,
            Err(reason) => format!("Not well: {reason}. {now}"),
        };
        let page = ReportPage {
            registry: &name,
            report: report.as_deref(),
            earlier: &earlier,
            now: Some(&now),
        };
        page.to_string()
    }
}

impl Figures {
    /// What goes on, in a sentence.
    fn now(&self) -> String {
        if self.running {
            let summary = &self.summary;
            return format!(
                "A cycle is running: {} of {} images are done, {} are being worked on, {} failed.",
                summary.done(),
                summary.images,
                summary.running,
                summary.failed
            );
        }
        match self.next {
            Some(next) => format!(
                "The next cycle begins on {}.",
                next.format("%Y-%m-%d at %H:%M UTC")
            ),
            None => "No workflow with a schedule is known: the registry has none, or has not been \
                     read yet."
                .to_owned(),
        }
    }
}
