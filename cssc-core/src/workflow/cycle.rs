//! One execution of a workflow, as a state machine without clock, network or files.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::candidate::Owner;
use super::error::CycleError;
use super::event::{Change, Next, Work};
use super::id::{RunId, Task};
use super::image::CycleImage;
use super::options::CycleOptions;
use super::reason::Reason;
use super::record::{Cause, CycleRecord};
use super::restore::CycleDocument;
use super::row::StatusRow;
use super::run::{Activity, Phase, Progress, Run};
use super::status::Status;
use super::step::step_of;
use super::summary::{ImageState, Summary};
use super::transition::later;
use super::version::Version;
use crate::name::Tag;

/// One execution of a workflow: a trigger run, a scan run for each image, a patch run where one
/// is needed.
///
/// The cycle decides and does nothing itself. Whoever runs it asks for the [next
/// work](Self::next_work), stores the [changes](Self::take_changes), does the work, [reports the
/// outcome](Self::report) and stores the changes again. Time is an argument. Several steps may
/// be in the hands of the caller at once, up to the number of jobs.
///
/// ```
/// use cssc_core::{Cause, Cycle, CycleOptions, Next, Outcome, Owner, Status};
///
/// let now = "2024-01-07T09:30:00Z".parse()?;
/// let mut cycle = Cycle::new(1, Owner::new(7), Cause::Immediate, CycleOptions::default(), now);
/// let Next::Work(work) = cycle.next_work(now) else { panic!() };
/// let outcome = Outcome::Planned { images: vec![], unavailable: None };
/// cycle.report(work.run, work.attempt, outcome, now)?;
/// assert_eq!(cycle.next_work(now), Next::Done);
/// assert_eq!(cycle.record().status(), Status::Succeeded);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **Crashes.** The changes of one call belong together and are stored in one piece. A cycle
/// [restored](Self::restore) from what is stored and [told so](Self::recover) goes on where it
/// stopped: what was being done is done again, and every step can be done again. Nothing is
/// published twice, since a step that publishes names the digest.
///
/// **A tag that exists.** When somebody else made the patch tag since the plan was made, the run
/// fails and says so, and does not take the next number instead: the newest patch is another one
/// than was scanned, so the candidate was judged against the wrong image. The next cycle scans
/// what is there then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "CycleDocument", try_from = "CycleDocument")]
pub struct Cycle {
    pub(super) record: CycleRecord,
    pub(super) runs: BTreeMap<u64, Run>,
    /// What can be begun: what is nearest to its end first.
    ready: BTreeSet<(u8, u64)>,
    waiting: BTreeSet<(DateTime<Utc>, u64)>,
    in_flight: u32,
    /// How many runs have not ended.
    pub(super) open: usize,
    states: Vec<ImageState>,
    summary: Summary,
    pub(super) changed: BTreeSet<u64>,
    record_changed: bool,
}

impl Cycle {
    /// A new cycle, queued. Its number must not have been used before in the same state.
    pub fn new(
        id: u64,
        owner: Owner,
        cause: Cause,
        options: CycleOptions,
        now: DateTime<Utc>,
    ) -> Self {
        let trigger = Run::new(RunId::trigger(id), Phase::Plan, None, now);
        let record = CycleRecord {
            version: Version,
            id,
            owner,
            cause,
            options,
            status: Status::Queued,
            created: now,
            started: None,
            finished: None,
        };
        let mut cycle = Self::of(record);
        cycle.record_changed = true;
        cycle.add(trigger);
        cycle
    }

    pub(super) fn of(record: CycleRecord) -> Self {
        Self {
            record,
            runs: BTreeMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            in_flight: 0,
            open: 0,
            states: Vec::new(),
            summary: Summary::default(),
            changed: BTreeSet::new(),
            record_changed: false,
        }
    }

    /// What to do now. Work that is given out is in the caller's hands until its outcome is
    /// reported.
    pub fn next_work(&mut self, now: DateTime<Utc>) -> Next {
        while let Some(&(time, number)) = self.waiting.first()
            && time <= now
        {
            self.waiting.pop_first();
            if let Some(progress) = self.progress_mut(number) {
                progress.activity = Activity::Ready;
                let rank = progress.phase.rank();
                self.ready.insert((rank, number));
                self.changed.insert(number);
            }
        }
        if self.open == 0 {
            return Next::Done;
        }
        if self.in_flight >= self.record.options.jobs.get() {
            return Next::Idle;
        }
        while let Some((_, number)) = self.ready.pop_first() {
            if let Some(work) = self.begin(number, now) {
                return Next::Work(work);
            }
        }
        match self.waiting.first() {
            Some(&(time, _)) => Next::WaitUntil(time),
            None => Next::Idle,
        }
    }

    fn begin(&mut self, number: u64, now: DateTime<Utc>) -> Option<Work> {
        let owner = self.record.owner.clone();
        let limit = self.record.options.step_limit();
        let cycle = self.record.id;
        let run = self.runs.get_mut(&number)?;
        let image = run.id.image();
        if let (Some(progress), Some(index), Some(patched)) = (&run.progress, image, &run.image)
            && progress.phase == Phase::Patch
            && let Some(patch_tag) = &patched.patch_tag
        {
            run.candidate = Some(owner.candidate(index, patch_tag.as_ref()));
        }
        let step = step_of(run, RunId::scan(cycle, image.unwrap_or_default()))?;
        let progress = run.progress.as_mut()?;
        progress.activity = Activity::InFlight;
        progress.attempt = progress.attempt.saturating_add(1);
        let work = Work {
            run: run.id,
            attempt: progress.attempt,
            deadline: later(now, limit),
            step,
        };
        run.status = Status::Running;
        run.started = run.started.or(Some(now));
        self.in_flight = self.in_flight.saturating_add(1);
        self.changed.insert(number);
        self.count(image);
        if self.record.status == Status::Queued {
            self.record.status = Status::Running;
            self.record.started = Some(now);
            self.record_changed = true;
        }
        Some(work)
    }

    /// Cancels all that is queued or running, for good; how many runs that were.
    ///
    /// A run whose end is decided already ends so. Candidates that may be in the registry are
    /// [left over](Self::leftovers).
    pub fn cancel(&mut self, now: DateTime<Utc>) -> usize {
        if self.open == 0 {
            return 0;
        }
        let open: Vec<u64> = self
            .runs
            .iter()
            .filter(|(_, run)| run.progress.is_some())
            .map(|(&number, _)| number)
            .collect();
        let mut canceled: usize = 0;
        for number in open {
            let Some(run) = self.runs.get_mut(&number) else {
                continue;
            };
            let phase = run.progress.take().map(|progress| progress.phase);
            if let Some(Phase::Discard { end, reason }) = phase {
                run.end(end, reason, now);
            } else {
                run.end(Status::Canceled, Some(Reason::Canceled), now);
                canceled = canceled.saturating_add(1);
            }
            let image = run.id.image();
            self.changed.insert(number);
            self.count(image);
        }
        self.ready.clear();
        self.waiting.clear();
        self.in_flight = 0;
        self.open = 0;
        self.finish(now);
        if canceled > 0 {
            self.record.status = Status::Canceled;
        }
        canceled
    }

    /// Candidates of runs that have ended which may still be in the registry, to be removed when
    /// there is time: by the run, the image and the tag of the candidate.
    pub fn leftovers(&self) -> impl Iterator<Item = (RunId, &CycleImage, &Tag)> {
        self.runs
            .values()
            .filter(|run| run.progress.is_none())
            .filter_map(|run| Some((run.id, run.image.as_ref()?, run.candidate.as_ref()?)))
    }

    /// Says that the candidate left over by `run` is gone.
    ///
    /// # Errors
    ///
    /// Fails when the run is not there or has left no candidate over.
    pub fn leftover_removed(&mut self, run: RunId) -> Result<(), CycleError> {
        let number = run.number();
        let known = self
            .runs
            .get_mut(&number)
            .filter(|known| known.id == run)
            .ok_or_else(|| CycleError::unknown_run(run))?;
        if known.progress.is_some() || known.candidate.is_none() {
            return Err(CycleError::not_awaited(run, known.attempt()));
        }
        known.candidate = None;
        self.changed.insert(number);
        Ok(())
    }

    /// What changed since this was asked last, to be stored in one piece.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let record = std::mem::take(&mut self.record_changed).then(|| self.record.clone());
        let changed = std::mem::take(&mut self.changed);
        let runs = changed
            .iter()
            .filter_map(|number| self.runs.get(number).cloned());
        record
            .map(Change::Cycle)
            .into_iter()
            .chain(runs.map(Box::new).map(Change::Run))
            .collect()
    }

    /// The cycle without its runs.
    pub fn record(&self) -> &CycleRecord {
        &self.record
    }

    /// The run with this name.
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id.number()).filter(|run| run.id == id)
    }

    /// The runs, by number.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// A row for each image, in the order of the plan.
    pub fn rows(&self) -> impl Iterator<Item = StatusRow> {
        self.runs
            .values()
            .filter(|run| run.task() == Task::Scan)
            .filter_map(|scan| {
                let patch = RunId::patch(self.record.id, scan.id.image()?);
                StatusRow::new(scan, self.runs.get(&patch.number()))
            })
    }

    /// How many images there are, and how they stand. Costs nothing.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Whether nothing more will happen.
    pub fn has_ended(&self) -> bool {
        self.open == 0
    }

    pub(super) fn progress_mut(&mut self, number: u64) -> Option<&mut Progress> {
        self.runs.get_mut(&number)?.progress.as_mut()
    }

    /// Takes a run in, new or stored.
    pub(super) fn add(&mut self, run: Run) {
        let (number, image) = (run.id.number(), run.id.image());
        if let Some(progress) = &run.progress {
            self.open = self.open.saturating_add(1);
            self.place(number, progress.activity, progress.phase.rank());
        }
        self.runs.insert(number, run);
        self.changed.insert(number);
        self.count(image);
    }

    fn place(&mut self, number: u64, activity: Activity, rank: u8) {
        match activity {
            Activity::Ready => {
                self.ready.insert((rank, number));
            }
            Activity::WaitingUntil(time) => {
                self.waiting.insert((time, number));
            }
            Activity::InFlight => self.in_flight = self.in_flight.saturating_add(1),
        }
    }

    /// Takes a run out of the caller's hands.
    pub(super) fn release(&mut self, number: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.changed.insert(number);
    }

    /// Puts a released run where it belongs now, and ends the cycle with its last run.
    pub(super) fn settle(&mut self, number: u64, now: DateTime<Utc>) {
        let Some(run) = self.runs.get(&number) else {
            return;
        };
        let image = run.id.image();
        match &run.progress {
            Some(progress) => {
                let (activity, rank) = (progress.activity, progress.phase.rank());
                self.place(number, activity, rank);
            }
            None => self.open = self.open.saturating_sub(1),
        }
        self.count(image);
        if self.open == 0 {
            self.finish(now);
        }
    }

    fn finish(&mut self, now: DateTime<Utc>) {
        let trigger_failed = self
            .runs
            .get(&1)
            .is_some_and(|trigger| trigger.status == Status::Failed);
        self.record.status = if trigger_failed || self.summary.failed > 0 {
            Status::Failed
        } else {
            Status::Succeeded
        };
        self.record.finished = Some(now);
        self.record_changed = true;
    }

    /// Brings the summary up to date for one image.
    fn count(&mut self, image: Option<u32>) {
        let Some(image) = image else { return };
        let cycle = self.record.id;
        let scan = self.runs.get(&RunId::scan(cycle, image).number());
        let patch = self.runs.get(&RunId::patch(cycle, image).number());
        let Some(scan) = scan else { return };
        let state = ImageState::of(scan, patch);
        let Ok(index) = usize::try_from(image) else {
            return;
        };
        match self.states.get_mut(index) {
            Some(before) => {
                self.summary.remove(*before);
                *before = state;
            }
            None => self.states.push(state),
        }
        self.summary.add(state);
    }
}
