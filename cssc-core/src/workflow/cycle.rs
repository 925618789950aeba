//! One execution of a workflow, as a state machine without clock, network or files.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::candidate::Owner;
use super::error::CycleError;
use super::event::{Change, Next, Outcome, PublishDecision, ScanDecision, Work};
use super::id::{RunId, Task};
use super::image::CycleImage;
use super::options::CycleOptions;
use super::reason::Reason;
use super::record::{Cause, CycleRecord};
use super::row::StatusRow;
use super::run::{Activity, Phase, Progress, Run};
use super::status::Status;
use super::step::{check_stored, fits, step_of};
use super::summary::{ImageState, Summary};
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
    record: CycleRecord,
    runs: BTreeMap<u64, Run>,
    /// What can be begun: what is nearest to its end first.
    ready: BTreeSet<(u8, u64)>,
    waiting: BTreeSet<(DateTime<Utc>, u64)>,
    in_flight: u32,
    /// How many runs have not ended.
    open: usize,
    states: Vec<ImageState>,
    summary: Summary,
    changed: BTreeSet<u64>,
    record_changed: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct CycleDocument {
    cycle: CycleRecord,
    runs: Vec<Run>,
}

impl From<Cycle> for CycleDocument {
    fn from(cycle: Cycle) -> Self {
        Self {
            cycle: cycle.record,
            runs: cycle.runs.into_values().collect(),
        }
    }
}

impl TryFrom<CycleDocument> for Cycle {
    type Error = CycleError;

    fn try_from(document: CycleDocument) -> Result<Self, CycleError> {
        Self::restore(document.cycle, document.runs)
    }
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

    fn of(record: CycleRecord) -> Self {
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

    /// The cycle that these records were stored of, runs in any order.
    ///
    /// It stands exactly as it stood. To go on with it after a crash, [recover](Self::recover);
    /// to show it, do not.
    ///
    /// # Errors
    ///
    /// Fails when the records do not make up a cycle: a run of another cycle, or standing twice;
    /// no trigger run; a patch run without its scan run; a run that has ended and is at a step, or
    /// the other way round.
    pub fn restore(
        record: CycleRecord,
        runs: impl IntoIterator<Item = Run>,
    ) -> Result<Self, CycleError> {
        let mut cycle = Self::of(record);
        let mut by_number = BTreeMap::new();
        for run in runs {
            let id = run.id;
            if id.cycle() != cycle.record.id {
                return Err(CycleError::stored(format!("the run `{id}` is of another")));
            }
            if by_number.insert(id.number(), run).is_some() {
                return Err(CycleError::stored(format!("the run `{id}` stands twice")));
            }
        }
        if !by_number.contains_key(&1) {
            return Err(CycleError::stored("its trigger run is missing"));
        }
        for run in by_number.into_values() {
            check_stored(&run)?;
            let id = run.id;
            let before = match (id.task(), id.image()) {
                (Task::Scan, Some(image)) => {
                    image.checked_sub(1).map(|i| RunId::scan(id.cycle(), i))
                }
                (Task::Patch, Some(image)) => Some(RunId::scan(id.cycle(), image)),
                _ => None,
            };
            if before.is_some_and(|before| !cycle.runs.contains_key(&before.number())) {
                return Err(CycleError::stored(format!(
                    "a run before the run `{id}` is missing"
                )));
            }
            cycle.add(run);
        }
        let has_ended = cycle.record.status.is_final();
        if has_ended != (cycle.open == 0) {
            return Err(CycleError::stored("its status is not that of its runs"));
        }
        cycle.changed.clear();
        Ok(cycle)
    }

    /// Says that whoever held steps in hand is gone: they are to be done again.
    ///
    /// Each counts as an interruption of its step, not as a failure; a step that was interrupted
    /// [too often](CycleOptions::interruptions) has failed.
    pub fn recover(&mut self, now: DateTime<Utc>) {
        let lost: Vec<u64> = self
            .runs
            .iter()
            .filter(|(_, run)| {
                let progress = run.progress.as_ref();
                progress.is_some_and(|progress| progress.activity == Activity::InFlight)
            })
            .map(|(&number, _)| number)
            .collect();
        let limit = self.record.options.interruptions;
        for number in lost {
            self.release(number);
            let Some(progress) = self.progress_mut(number) else {
                continue;
            };
            progress.interruptions = progress.interruptions.saturating_add(1);
            let times = progress.interruptions;
            if times > limit {
                self.give_up(number, Reason::Interrupted(times), now);
            } else {
                progress.activity = Activity::Ready;
            }
            self.settle(number, now);
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

    /// Takes the outcome of attempt `attempt` at a step of `run`.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, when the cycle has no such run, the run was canceled, no
    /// outcome of this attempt is awaited (it was reported already), or the outcome belongs to
    /// another kind of step.
    pub fn report(
        &mut self,
        run: RunId,
        attempt: u32,
        outcome: Outcome,
        now: DateTime<Utc>,
    ) -> Result<(), CycleError> {
        let number = run.number();
        let known = self
            .runs
            .get(&number)
            .filter(|known| known.id == run)
            .ok_or_else(|| CycleError::unknown_run(run))?;
        if known.status == Status::Canceled {
            return Err(CycleError::canceled(run));
        }
        let progress = known
            .progress
            .as_ref()
            .filter(|progress| {
                progress.activity == Activity::InFlight && progress.attempt == attempt
            })
            .ok_or_else(|| CycleError::not_awaited(run, attempt))?;
        let phase = progress.phase.clone();
        if !fits(&phase, &outcome, known.image.as_ref()) {
            return Err(CycleError::mismatch(run, phase.name()));
        }
        self.release(number);
        match (phase, outcome) {
            (Phase::Discard { .. }, Outcome::Failed { reason, retry }) if retry => {
                self.fail(number, reason, retry, now);
            }
            (Phase::Discard { end, reason }, outcome) => {
                if let Some(run) = self.runs.get_mut(&number) {
                    if outcome == Outcome::Discarded {
                        run.candidate = None;
                    }
                    run.end(end, reason, now);
                }
            }
            (_, Outcome::Failed { reason, retry }) => self.fail(number, reason, retry, now),
            (
                _,
                Outcome::Planned {
                    images,
                    unavailable,
                },
            ) => self.planned(images, unavailable, now),
            (_, Outcome::Scanned { verdict, digest }) => {
                self.scanned(number, verdict, digest, now);
            }
            (phase, outcome) => self.patch_step_done(number, phase, outcome),
        }
        self.settle(number, now);
        Ok(())
    }

    fn planned(
        &mut self,
        images: Vec<CycleImage>,
        unavailable: Option<String>,
        now: DateTime<Utc>,
    ) {
        let matches = u64::try_from(images.len()).unwrap_or(u64::MAX);
        let over = self
            .record
            .options
            .limit
            .filter(|&limit| matches > limit)
            .map(|limit| Reason::OverLimit { matches, limit });
        let images = if over.is_some() { Vec::new() } else { images };
        let reason = over.or(unavailable.map(Reason::Unavailable));
        let status = match reason {
            Some(_) => Status::Failed,
            None => Status::Succeeded,
        };
        if let Some(trigger) = self.runs.get_mut(&1) {
            trigger.end(status, reason, now);
        }
        let mut seen = BTreeSet::new();
        let cycle = self.record.id;
        let mut indexes = 0_u32..;
        for image in images {
            if !seen.insert((image.repository.clone(), image.tag.clone())) {
                continue;
            }
            let Some(index) = indexes.next() else { break };
            let id = RunId::scan(cycle, index);
            self.add(Run::new(id, Phase::Scan, Some(image), now));
        }
    }

    fn scanned(
        &mut self,
        number: u64,
        verdict: ScanDecision,
        digest: Option<String>,
        now: DateTime<Utc>,
    ) {
        let cycle = self.record.id;
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        run.digest = digest;
        let (image, index) = (run.image.clone(), run.id.image());
        match verdict {
            ScanDecision::Skip(reason) => run.end(Status::Succeeded, Some(reason), now),
            ScanDecision::Patch => {
                run.end(Status::Succeeded, None, now);
                let Some((image, index)) = image.zip(index) else {
                    return;
                };
                let is_exhausted = image.patch_tag.is_none();
                let id = RunId::patch(cycle, index);
                let mut patch = Run::new(id, Phase::Patch, Some(image), now);
                if is_exhausted {
                    patch.end(Status::Failed, Some(Reason::Exhausted), now);
                }
                self.add(patch);
            }
        }
    }

    fn patch_step_done(&mut self, number: u64, phase: Phase, outcome: Outcome) {
        let verify = self.record.options.verify;
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let discard = |end, reason| Phase::Discard { end, reason };
        let next = match (phase, outcome) {
            (_, Outcome::Patched { digest, original }) => {
                run.digest = original;
                if verify {
                    Phase::Verify { digest }
                } else {
                    Phase::Publish { digest }
                }
            }
            (_, Outcome::NothingMade) => discard(Status::Succeeded, Some(Reason::NothingMade)),
            (Phase::Verify { digest }, Outcome::Verified { verdict }) => match verdict {
                PublishDecision::Publish => Phase::Publish { digest },
                PublishDecision::Withhold(reason) => discard(Status::Succeeded, Some(reason)),
            },
            (Phase::Publish { digest }, Outcome::Published) => {
                run.published = run.image.as_ref().and_then(|image| image.patch_tag.clone());
                run.published_digest = Some(digest);
                discard(Status::Succeeded, None)
            }
            (_, _) => {
                let tag = run
                    .image
                    .as_ref()
                    .and_then(|image| image.patch_tag.as_ref());
                let tag = tag.map(ToString::to_string).unwrap_or_default();
                discard(Status::Failed, Some(Reason::TagTaken(tag)))
            }
        };
        run.enter(next);
    }

    fn fail(&mut self, number: u64, text: String, retry: bool, now: DateTime<Utc>) {
        let options = self.record.options;
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let Some(progress) = run.progress.as_mut() else {
            return;
        };
        progress.failures = progress.failures.saturating_add(1);
        let reason = Reason::Failed(text);
        if retry && progress.failures < options.attempts.get() {
            progress.activity = Activity::WaitingUntil(later(now, options.pause()));
            run.reason = Some(reason);
        } else {
            self.give_up(number, reason, now);
        }
    }

    /// Ends what cannot go on; a candidate that may be there is cleared away first.
    fn give_up(&mut self, number: u64, reason: Reason, now: DateTime<Utc>) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        match run.progress.as_ref().map(|progress| &progress.phase) {
            // The candidate stays behind, and stays recorded.
            Some(Phase::Discard { end, reason }) => {
                let (end, reason) = (*end, reason.clone());
                run.end(end, reason, now);
            }
            Some(_) if run.candidate.is_some() => run.enter(Phase::Discard {
                end: Status::Failed,
                reason: Some(reason),
            }),
            _ => run.end(Status::Failed, Some(reason), now),
        }
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

    fn progress_mut(&mut self, number: u64) -> Option<&mut Progress> {
        self.runs.get_mut(&number)?.progress.as_mut()
    }

    /// Takes a run in, new or stored.
    fn add(&mut self, run: Run) {
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
    fn release(&mut self, number: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.changed.insert(number);
    }

    /// Puts a released run where it belongs now, and ends the cycle with its last run.
    fn settle(&mut self, number: u64, now: DateTime<Utc>) {
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

fn later(now: DateTime<Utc>, delay: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(delay)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
