//! `/healthz`, `/metrics` and the page of a workflow that is served.
//!
//! The workflow is healthy unless
//!
//! - nothing was heard from the loop that serves it for [`STUCK_AFTER`]: it reports several times
//!   a second, also while tools are at work, and is stuck when a disk or a lock does not answer;
//! - the registry could not be read for [`AWAY_AFTER`], in all attempts. That there is no policy
//!   in it is an answer.
//!
//! A state that cannot be written needs no probe: it ends the process.

mod http;
mod metrics;
mod page;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cssc_core::cycle::{
    CycleFigures, CycleReport, PublishOutcome, RunId, Status, StepKind, StepOutcome, Summary,
};

pub use http::MonitorServer;

use crate::records::SHOWN_EARLIER;
use crate::runner::RunnerEvent;

/// How long the loop may be silent. Reading the policy, with all its attempts, takes less.
pub const STUCK_AFTER: Duration = Duration::from_secs(5 * 60);
/// How long the registry may be away.
pub const AWAY_AFTER: Duration = Duration::from_secs(15 * 60);

/// How things stand with a workflow that is served.
///
/// ```
/// use cssc_engine::monitor::Monitor;
///
/// let monitor = Monitor::default();
/// assert!(monitor.metrics().contains("cssc_cycle_running 0"));
/// assert_eq!(monitor.health(), Ok(()));
/// ```
#[derive(Debug)]
pub struct Monitor(Mutex<Figures>);

#[derive(Debug)]
struct Figures {
    running: bool,
    summary: Summary,
    succeeded: u64,
    failed: u64,
    canceled: u64,
    steps: BTreeMap<StepKind, StepCount>,
    /// When the steps that are being done began.
    begun: BTreeMap<RunId, Instant>,
    patched: u64,
    next: Option<DateTime<Utc>>,
    /// The registry, as people name it.
    name: String,
    last: Option<LastCycle>,
    /// The cycles before that, the newest first.
    earlier: VecDeque<CycleFigures>,
    /// Whether the registry answered the last time, and since when that is so.
    registry: Option<(bool, Instant)>,
    /// When the loop was heard from last.
    heard: Instant,
}

/// The cycle that ended last. Its numbers are asked for often, and counted once.
#[derive(Debug)]
struct LastCycle {
    report: Arc<CycleReport>,
    figures: CycleFigures,
}

impl LastCycle {
    fn new(report: CycleReport) -> Self {
        Self {
            figures: report.figures(),
            report: Arc::new(report),
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct StepCount {
    done: u64,
    failed: u64,
    took: Duration,
}

impl Default for Monitor {
    fn default() -> Self {
        Self(Mutex::new(Figures {
            running: false,
            summary: Summary::default(),
            succeeded: 0,
            failed: 0,
            canceled: 0,
            steps: BTreeMap::new(),
            begun: BTreeMap::new(),
            patched: 0,
            next: None,
            name: String::new(),
            last: None,
            earlier: VecDeque::new(),
            registry: None,
            heard: Instant::now(),
        }))
    }
}

impl Monitor {
    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn waiting(&self, next: Option<DateTime<Utc>>) {
        let mut figures = self.figures();
        figures.heard = Instant::now();
        figures.next = next;
    }

    pub(crate) fn registry(&self, answered: bool) {
        let mut figures = self.figures();
        let now = Instant::now();
        figures.heard = now;
        if figures
            .registry
            .is_none_or(|(before, _)| before != answered)
        {
            figures.registry = Some((answered, now));
        }
    }

    pub(crate) fn event(&self, event: &RunnerEvent<'_>) {
        let mut figures = self.figures();
        figures.heard = Instant::now();
        match event {
            RunnerEvent::Started { cycle, .. } => {
                figures.running = true;
                figures.summary = cycle.summary();
            }
            RunnerEvent::Done {
                assignment,
                outcome,
                cycle,
                ..
            } => {
                figures.summary = cycle.summary();
                let begun = figures.begun.remove(&assignment.run);
                let took = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
                figures.count(assignment.step.kind(), outcome, took);
            }
            RunnerEvent::Begun { assignment, .. } => {
                figures.begun.insert(assignment.run.clone(), Instant::now());
            }
            RunnerEvent::Stopped { .. } => {
                figures.running = false;
                figures.begun.clear();
            }
            RunnerEvent::Ended { report } => {
                figures.running = false;
                figures.begun.clear();
                let last = LastCycle::new((*report).clone());
                if let Some(before) = figures.last.replace(last) {
                    figures.earlier.push_front(before.figures);
                    figures.earlier.truncate(SHOWN_EARLIER);
                }
                figures.summary = report.summary();
                let count = match report.status() {
                    Status::Succeeded => &mut figures.succeeded,
                    Status::Canceled => &mut figures.canceled,
                    _ => &mut figures.failed,
                };
                *count = count.saturating_add(1);
            }
            RunnerEvent::Checked
            | RunnerEvent::Canceled
            | RunnerEvent::NotRecorded(_)
            | RunnerEvent::NotTold(_) => {}
        }
    }

    /// Tells what is served, and of the cycles that ended before.
    pub(crate) fn serves(
        &self,
        name: String,
        last: Option<CycleReport>,
        earlier: Vec<CycleFigures>,
    ) {
        let mut figures = self.figures();
        figures.name = name;
        figures.summary = last.as_ref().map(CycleReport::summary).unwrap_or_default();
        figures.last = last.map(LastCycle::new);
        figures.earlier = earlier.into();
    }

    /// Whether the workflow is served as it should be.
    ///
    /// # Errors
    ///
    /// Why not, in one line: see the [module](self).
    pub fn health(&self) -> Result<(), String> {
        self.health_at(Instant::now())
    }

    fn health_at(&self, now: Instant) -> Result<(), String> {
        let figures = self.figures();
        let silent = now.saturating_duration_since(figures.heard);
        if silent >= STUCK_AFTER {
            return Err(format!("nothing happened for {} s", silent.as_secs()));
        }
        if let Some((false, since)) = figures.registry {
            let away = now.saturating_duration_since(since);
            if away >= AWAY_AFTER && !figures.running {
                let away = away.as_secs();
                return Err(format!("the registry could not be read for {away} s"));
            }
        }
        Ok(())
    }
}

impl Figures {
    fn count(&mut self, kind: StepKind, outcome: &StepOutcome, took: Duration) {
        let counts = self.steps.entry(kind).or_default();
        counts.took = counts.took.saturating_add(took);
        let count = match outcome {
            StepOutcome::Failed(_) => &mut counts.failed,
            _ => &mut counts.done,
        };
        *count = count.saturating_add(1);
        if let StepOutcome::Publish(PublishOutcome::Published) = outcome {
            self.patched = self.patched.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_is_silent_for_long_is_unhealthy_until_it_is_heard_again() {
        let monitor = Monitor::default();
        let heard = monitor.figures().heard;
        let nearly = STUCK_AFTER.saturating_sub(Duration::from_secs(1));
        assert_eq!(monitor.health_at(heard + nearly), Ok(()));
        assert_eq!(
            monitor.health_at(heard + STUCK_AFTER),
            Err("nothing happened for 300 s".to_owned())
        );
        let event = RunnerEvent::Checked;
        monitor.event(&event);
        assert_eq!(monitor.health_at(monitor.figures_heard() + nearly), Ok(()));
    }

    #[test]
    fn a_registry_that_is_away_for_long_is_unhealthy_until_it_answers() {
        let monitor = Monitor::default();
        monitor.registry(true);
        monitor.registry(false);
        let since = monitor.figures().registry.unwrap().1;
        // A later failure does not begin the time anew.
        monitor.registry(false);
        let later = since + AWAY_AFTER;
        monitor.figures().heard = later;
        assert_eq!(
            monitor.health_at(later.checked_sub(Duration::from_secs(1)).unwrap()),
            Ok(())
        );
        assert_eq!(
            monitor.health_at(later),
            Err("the registry could not be read for 900 s".to_owned())
        );
        monitor.registry(true);
        assert_eq!(monitor.health_at(monitor.figures_heard()), Ok(()));
    }

    impl Monitor {
        fn figures_heard(&self) -> Instant {
            self.figures().heard
        }
    }
}
