//! One execution of a workflow, as a state machine without clock, network or files.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::assignment::{Assignment, NextStep, RecordChange};
use super::filter::ImageFilter;
use super::id::{CycleId, RunId};
use super::options::{CycleOptions, Until};
use super::plan::CyclePlan;
use super::record::{Cause, CycleRecord};
use super::restore::StoredCycle;
use super::run::{Activity, Progress, Run};
use super::status::Status;
use super::step::{PlanStep, Step, StepKind};
use super::summary::{ImageState, Summary};
use super::version::Version;
use crate::workflow::WorkflowSettings;

/// One execution of a workflow: a trigger run, a scan run for each platform of each image, a patch
/// run where one is needed, and a run that publishes the patched platforms of an index.
///
/// Images of one repository whose tags stand for the same manifest share their work: what is to be
/// scanned is scanned once, one patch serves all that need one, and each gets its own next tag.
///
/// The cycle decides and does nothing itself. Whoever runs it asks for the [next
/// step](Self::next_step), stores the [changes](Self::take_changes), performs the step, [reports
/// the outcome](Self::report) and stores the changes again. Time is an argument. Several steps
/// may be done at once, up to the number of jobs.
///
/// ```
/// use cssc_core::Cycle;
/// use cssc_core::cycle::{
///     Cause, CycleId, CycleOptions, NextStep, PlanOutcome, Status,
/// };
///
/// let now = "2024-01-07T09:30:00Z".parse()?;
/// let id = CycleId::new(now, 0x3f2a);
/// let mut cycle = Cycle::new(id, Cause::Immediate, CycleOptions::default(), now);
/// let NextStep::Assigned(assignment) = cycle.next_step(now) else { panic!() };
/// cycle.report(&assignment.run, assignment.attempt, PlanOutcome::default().into(), now)?;
/// assert_eq!(cycle.next_step(now), NextStep::Done);
/// assert_eq!(cycle.record().status(), Status::Succeeded);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **Crashes.** The changes of one call belong together and are stored in one piece. A cycle
/// [restored](Self::restore) from what is stored and [told so](Self::recover) goes on where it
/// stopped: what was being done is done again, and every step can be done again. Nothing is
/// published twice, since a step that publishes names the digest, and is stored before it is done.
///
/// **A tag that exists.** When somebody else made the patch tag since the plan was made, the run
/// fails and says so, and does not take the next number instead: the newest patch is another one
/// than was scanned, so the candidate was judged against the wrong image. The next cycle scans
/// what is there then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "StoredCycle", try_from = "StoredCycle")]
pub struct Cycle {
    pub(super) record: CycleRecord,
    /// None until the trigger run has brought it.
    pub(super) plan: Option<CyclePlan>,
    pub(super) runs: BTreeMap<RunId, Run>,
    /// What can be begun: what is nearest to its end first.
    ready: BTreeSet<(StepKind, RunId)>,
    waiting: BTreeSet<(DateTime<Utc>, RunId)>,
    in_flight: u32,
    /// How many runs have not ended.
    pub(super) open: usize,
    states: BTreeMap<u32, ImageState>,
    summary: Summary,
    pub(super) changed: BTreeSet<RunId>,
    record_changed: bool,
    pub(super) plan_changed: bool,
}

impl Cycle {
    /// A new cycle, queued. Its name must not have been used before.
    pub fn new(id: CycleId, cause: Cause, options: CycleOptions, now: DateTime<Utc>) -> Self {
        let record = CycleRecord {
            version: Version,
            id,
            cause,
            options,
            status: Status::Queued,
            created: now,
            begun: Vec::new(),
            started: None,
            finished: None,
        };
        let step = plan_step(&record);
        let mut cycle = Self::of(record);
        cycle.record_changed = true;
        cycle.add(Run::new(RunId::trigger(id), step.into(), None, now));
        cycle
    }

    /// A cycle whose plan was made elsewhere.
    pub(super) fn planned_elsewhere(
        record: CycleRecord,
        plan: CyclePlan,
        now: DateTime<Utc>,
    ) -> Self {
        let id = record.id;
        let step = plan_step(&record);
        let mut cycle = Self::of(record);
        let mut trigger = Run::new(RunId::trigger(id), step.into(), None, now);
        trigger.end(Status::Succeeded, None, now);
        cycle.record_changed = true;
        cycle.add(trigger);
        cycle.follow_plan(plan, now);
        if cycle.open == 0 {
            cycle.finish(now);
        }
        cycle
    }

    /// Says which images to take of those that the policy selects.
    ///
    /// To be said before the first step; afterwards it changes nothing.
    #[must_use]
    pub fn only(mut self, images: Vec<ImageFilter>) -> Self {
        if self.record.status == Status::Queued
            && let Some(progress) = self.progress_mut(&RunId::trigger(self.record.id))
            && let Step::Plan(step) = &mut progress.step
        {
            step.only = images;
        }
        self
    }

    /// Takes the plan in.
    pub(super) fn set_plan(&mut self, plan: CyclePlan) {
        self.summary.left_out = plan.left_out().len();
        self.plan = Some(plan);
        self.plan_changed = true;
    }

    /// Takes over what the workflow says where the options of the cycle say nothing.
    pub(super) fn adopt(&mut self, settings: &WorkflowSettings) {
        let own = &mut self.record.options.settings;
        *own = std::mem::take(own).or(settings);
        self.record_changed = true;
    }

    pub(super) fn of(record: CycleRecord) -> Self {
        Self {
            record,
            plan: None,
            runs: BTreeMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            in_flight: 0,
            open: 0,
            states: BTreeMap::new(),
            summary: Summary::default(),
            changed: BTreeSet::new(),
            record_changed: false,
            plan_changed: false,
        }
    }

    /// What to do now. A step that is assigned is in flight until its outcome is reported.
    pub fn next_step(&mut self, now: DateTime<Utc>) -> NextStep {
        while let Some((time, _)) = self.waiting.first()
            && *time <= now
            && let Some((_, id)) = self.waiting.pop_first()
        {
            if let Some(progress) = self.progress_mut(&id) {
                progress.activity = Activity::Ready;
                let kind = progress.step.kind();
                self.changed.insert(id.clone());
                self.ready.insert((kind, id));
            }
        }
        if self.open == 0 {
            return NextStep::Done;
        }
        if self.in_flight >= self.record.options.jobs.get() {
            return NextStep::Idle;
        }
        while let Some((_, id)) = self.ready.pop_first() {
            if let Some(assignment) = self.begin(&id, now) {
                return NextStep::Assigned(Box::new(assignment));
            }
        }
        match self.waiting.first() {
            Some(&(time, _)) => NextStep::WaitUntil(time),
            None => NextStep::Idle,
        }
    }

    fn begin(&mut self, id: &RunId, now: DateTime<Utc>) -> Option<Assignment> {
        let limit = self.record.options.step_limit();
        let run = self.runs.get_mut(id)?;
        let progress = run.progress.as_mut()?;
        progress.activity = Activity::InFlight;
        progress.attempt = progress.attempt.saturating_add(1);
        let step = progress.step.clone();
        let assignment = Assignment {
            run: id.clone(),
            attempt: progress.attempt,
            deadline: later(now, limit),
            step,
        };
        run.status = Status::Running;
        run.started = run.started.or(Some(now));
        self.in_flight = self.in_flight.saturating_add(1);
        self.changed.insert(id.clone());
        self.count(id);
        if self.record.status == Status::Queued {
            self.record.status = Status::Running;
            self.record.started = Some(now);
            self.record_changed = true;
        }
        Some(assignment)
    }

    /// Cancels all that is queued or running, for good; how many runs that were.
    pub fn cancel(&mut self, now: DateTime<Utc>) -> usize {
        if self.open == 0 {
            return 0;
        }
        let open: Vec<RunId> = self.ids(|run| run.progress.is_some());
        let canceled = open.len();
        for id in open {
            if let Some(run) = self.runs.get_mut(&id) {
                run.cancel(now);
            }
            self.changed.insert(id);
        }
        self.ready.clear();
        self.waiting.clear();
        self.in_flight = 0;
        self.open = 0;
        self.finish(now);
        canceled
    }

    pub(super) fn ids(&self, which: impl Fn(&Run) -> bool) -> Vec<RunId> {
        let selected = self.runs.iter().filter(|(_, run)| which(run));
        selected.map(|(id, _)| id.clone()).collect()
    }

    /// What changed since this was asked last, to be stored in one piece.
    pub fn take_changes(&mut self) -> Vec<RecordChange> {
        let record = std::mem::take(&mut self.record_changed).then(|| self.record.clone());
        let plan = self.plan.as_ref();
        let plan = plan.filter(|_| std::mem::take(&mut self.plan_changed));
        let plan = plan.map(|plan| RecordChange::Plan {
            cycle: self.record.id,
            plan: Box::new(plan.clone()),
        });
        let changed = std::mem::take(&mut self.changed);
        let runs = changed.iter().filter_map(|id| self.runs.get(id).cloned());
        record
            .map(RecordChange::Cycle)
            .into_iter()
            .chain(plan)
            .chain(runs.map(Box::new).map(RecordChange::Run))
            .collect()
    }

    /// The cycle without its runs.
    pub fn record(&self) -> &CycleRecord {
        &self.record
    }

    /// The run with this name.
    pub fn run(&self, id: &RunId) -> Option<&Run> {
        self.runs.get(id)
    }

    /// The runs, by name.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// The plan, once it is made.
    pub fn plan(&self) -> Option<&CyclePlan> {
        self.plan.as_ref()
    }

    /// How many images there are, and how they stand. Costs nothing.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Whether nothing more will happen.
    pub fn has_ended(&self) -> bool {
        self.open == 0
    }

    pub(super) fn progress_mut(&mut self, id: &RunId) -> Option<&mut Progress> {
        self.runs.get_mut(id)?.progress.as_mut()
    }

    /// Takes a run in, new or stored.
    pub(super) fn add(&mut self, run: Run) {
        let id = run.id.clone();
        if let Some(progress) = &run.progress {
            self.open = self.open.saturating_add(1);
            self.place(&id, progress.activity, progress.step.kind());
        }
        self.runs.insert(id.clone(), run);
        self.count(&id);
        self.changed.insert(id);
    }

    fn place(&mut self, id: &RunId, activity: Activity, kind: StepKind) {
        match activity {
            Activity::Ready => {
                self.ready.insert((kind, id.clone()));
            }
            Activity::WaitingUntil(time) => {
                self.waiting.insert((time, id.clone()));
            }
            Activity::InFlight => self.in_flight = self.in_flight.saturating_add(1),
        }
    }

    /// Takes note that a step of the run is in flight no more.
    pub(super) fn release(&mut self, id: &RunId) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.changed.insert(id.clone());
    }

    /// Puts a released run where it belongs now, and ends the cycle with its last run.
    pub(super) fn settle(&mut self, id: &RunId, now: DateTime<Utc>) {
        let Some(run) = self.runs.get(id) else {
            return;
        };
        if let Some(progress) = &run.progress {
            let (activity, kind) = (progress.activity, progress.step.kind());
            self.place(id, activity, kind);
        } else {
            self.open = self.open.saturating_sub(1);
            self.follow(id, now);
        }
        self.count(id);
        if self.open == 0 {
            self.finish(now);
        }
    }

    fn finish(&mut self, now: DateTime<Utc>) {
        // What waited for a run that was canceled is canceled with the cycle.
        self.count_all();
        let trigger = self.runs.get(&RunId::trigger(self.record.id));
        let trigger = trigger.map_or(Status::Failed, |run| run.status);
        self.record.status = self.summary.status(trigger);
        self.record.finished = Some(now);
        self.record_changed = true;
    }

    /// Brings the summary up to date for the images that a run works for.
    fn count(&mut self, run: &RunId) {
        let Some(plan) = &self.plan else { return };
        for image in plan.served_by(run) {
            self.count_image(image);
        }
    }

    /// Brings the summary up to date for all images.
    pub(super) fn count_all(&mut self) {
        let images = self.plan.as_ref().map_or(0, |plan| plan.images().len());
        for image in (0_u32..).take(images) {
            self.count_image(image);
        }
    }

    fn count_image(&mut self, image: u32) {
        let Some(standing) = self.image_standing(image) else {
            return;
        };
        let state = ImageState::from(standing);
        if let Some(before) = self.states.insert(image, state) {
            self.summary.remove(before);
        }
        self.summary.add(state);
    }
}

/// The first step of a cycle.
fn plan_step(record: &CycleRecord) -> PlanStep {
    let options = &record.options;
    PlanStep {
        cycle: record.id,
        leave_out_unavailable: options.settings.effective_attempts().get() == 1,
        patcher: options.settings.patcher,
        platforms: options.settings.platforms.clone(),
        only: Vec::new(),
        patches: options.until != Some(Until::Scan),
        for_others: options.plan_only,
    }
}

/// That time from now, or the end of time.
pub(super) fn later(now: DateTime<Utc>, delay: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(delay)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
