//! What follows from an outcome.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::candidate::candidate_tag;
use super::error::CycleError;
use super::failure::StepFailure;
use super::id::{RunId, Task};
use super::image::CycleImage;
use super::interrupt::Interrupt;
use super::machine::Cycle;
use super::plan::{CyclePlan, LeftOut, LeftOutReason};
use super::reason::Reason;
use super::row::ImageName;
use super::run::{Activity, Decided, Publication, Run};
use super::status::Status;
use super::step::{
    Attach, AttestStep, Candidate, DiscardOutcome, DiscardStep, Exchange, PatchOutcome, PatchStep,
    PlanOutcome, PublishContent, PublishOutcome, PublishStep, ScanOutcome, ScanStep, Step,
    StepOutcome, TestStep, VerifyStep,
};
use crate::name::Digest;
use crate::scan::{PublishVerdict, ScanVerdict};

impl Cycle {
    /// Takes the outcome of attempt `attempt` at a step of `run`.
    ///
    /// A step that was [interrupted](StepOutcome::Interrupted) since its runner
    /// [stops](Interrupt::Stopped) is there for the next one as if it had not been begun.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, when the cycle has no such run, the run was canceled, no
    /// outcome of this attempt is awaited (it was reported already), or the outcome belongs to
    /// another kind of step.
    pub fn report(
        &mut self,
        run: &RunId,
        attempt: u32,
        outcome: StepOutcome,
        now: DateTime<Utc>,
    ) -> Result<(), CycleError> {
        let step = self.awaited(run, attempt)?;
        let kind = step.kind();
        if outcome.kind().is_some_and(|other| other != kind) {
            return Err(CycleError::mismatch(run.clone(), kind));
        }
        self.release(run);
        match (step, outcome) {
            (_, StepOutcome::Interrupted(interrupt)) => self.interrupted(run, interrupt, now),
            (_, StepOutcome::Failed(failure)) => self.failed(run, failure, now),
            (_, StepOutcome::Plan(outcome)) => self.planned(run, outcome, now),
            (_, StepOutcome::Scan(outcome)) => self.scanned(run, outcome, now),
            (step, outcome) => self.patch_step_done(run, step, outcome, now),
        }
        self.settle(run, now);
        Ok(())
    }

    /// The step of a run whose attempt `attempt` is being done.
    fn awaited(&self, run: &RunId, attempt: u32) -> Result<Step, CycleError> {
        let known = self
            .run(run)
            .ok_or_else(|| CycleError::unknown_run(run.clone()))?;
        if known.status == Status::Canceled {
            return Err(CycleError::canceled(run.clone()));
        }
        known
            .progress
            .as_ref()
            .filter(|progress| {
                progress.activity == Activity::InFlight && progress.attempt == attempt
            })
            .map(|progress| progress.step.clone())
            .ok_or_else(|| CycleError::not_awaited(run.clone(), attempt))
    }

    fn planned(&mut self, run: &RunId, outcome: PlanOutcome, now: DateTime<Utc>) {
        let PlanOutcome {
            images,
            left_out,
            policy,
            settings,
        } = outcome;
        self.adopt(&settings);
        let matches = u64::try_from(images.len()).unwrap_or(u64::MAX);
        let limit = self.record.options.settings.effective_limit();
        let over = limit.check(matches).err().map(Reason::OverLimit);
        let images = if over.is_some() { Vec::new() } else { images };
        let unavailable: Vec<LeftOut> = left_out
            .iter()
            .filter(|row| matches!(row.reason, LeftOutReason::Unavailable(_)))
            .cloned()
            .collect();
        let reason = over.or((!unavailable.is_empty()).then_some(Reason::Unavailable(unavailable)));
        let status = match reason {
            Some(_) => Status::Failed,
            None => Status::Succeeded,
        };
        if let Some(trigger) = self.runs.get_mut(run) {
            trigger.end(status, reason, now);
        }
        let plan = CyclePlan::new(images, left_out).following(policy);
        let is_here = !self.record.options.plan_only;
        self.follow_plan(plan.part(|_| is_here), now);
    }

    /// Takes the plan in, and begins what it asks for here.
    pub(super) fn follow_plan(&mut self, plan: CyclePlan, now: DateTime<Utc>) {
        let scans = self.scans_of(&plan, now);
        self.set_plan(plan);
        for scan in scans {
            self.add(scan);
        }
    }

    /// A run for each manifest that is to be scanned.
    fn scans_of(&self, plan: &CyclePlan, now: DateTime<Utc>) -> Vec<Run> {
        let mut seen = BTreeSet::new();
        let runs = plan.here().flat_map(|(index, image)| {
            let platforms = image.platforms.iter().enumerate();
            platforms.map(move |(place, platform)| {
                let (tag, digest) = image.scanned(platform);
                let step = ScanStep {
                    repository: image.repository.clone(),
                    tag: tag.clone(),
                    digest: digest.clone(),
                    platform: platform.platform.clone(),
                    is_patch: *digest != platform.digest,
                };
                let id = plan.scan_run(self.record.id, index, place);
                let name = ImageName::of(&image.repository, &image.tag);
                Run::new(id, step.into(), Some(name), now)
            })
        });
        runs.filter(|run| seen.insert(run.id.clone())).collect()
    }

    fn scanned(&mut self, id: &RunId, outcome: ScanOutcome, now: DateTime<Utc>) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let reason = match &outcome.verdict {
            ScanVerdict::Skip(skip) => Some(Reason::Skip(*skip)),
            ScanVerdict::Unsupported(why) => Some(Reason::Unsupported(why.clone())),
            ScanVerdict::Patch { .. } => None,
        };
        run.scan = Some(Box::new(outcome));
        run.end(Status::Succeeded, reason, now);
    }

    /// Goes on where a run that has ended was waited for.
    pub(super) fn follow(&mut self, id: &RunId, now: DateTime<Utc>) {
        let Some(leader) = self
            .plan
            .as_ref()
            .zip(id.image())
            .map(|(plan, image)| plan.leader(image))
        else {
            return;
        };
        if id.task() == Task::Scan {
            let platforms = self.plan.as_ref().and_then(|plan| plan.image(leader));
            let platforms = platforms.map_or(0, |image| image.platforms.len());
            for place in 0..platforms {
                if let Some(patch) = self.patch_of(leader, place, now) {
                    self.add(patch);
                }
            }
        }
        if let Some(run) = self.publishing_of(leader, now) {
            self.add(run);
        }
    }

    /// The run that patches a platform of a group: once all that is scanned for it was scanned,
    /// if any of it needs a patch.
    fn patch_of(&self, leader: u32, place: usize, now: DateTime<Utc>) -> Option<Run> {
        let (plan, cycle) = (self.plan.as_ref()?, self.record.id);
        let id = plan.patch_run(cycle, leader, place);
        if self.runs.contains_key(&id) {
            return None;
        }
        let mut is_needed = false;
        for (member, image) in plan.group_of(leader) {
            let scan = self.runs.get(&plan.scan_run(cycle, member, place))?;
            if scan.progress.is_some() {
                return None;
            }
            is_needed |= needs_patch(scan) && self.blocks_patch(image).is_none();
        }
        if !is_needed {
            return None;
        }
        let image = plan.image(leader)?;
        let platform = image.platforms.get(place)?;
        let candidate = match &platform.candidate {
            Some(candidate) => candidate.clone(),
            None => candidate_tag(
                cycle,
                self.record.options.worker,
                plan.ordinal(leader, place),
                image.patch_tag.as_ref().unwrap_or(&image.tag).borrowed(),
            ),
        };
        let step = PatchStep {
            cycle,
            repository: image.repository.clone(),
            original: plan.group_tag(leader)?.clone(),
            image: image.digest.clone(),
            manifest: platform.digest.clone(),
            platform: platform.platform.clone(),
            candidate,
            published: plan
                .group_of(leader)
                .filter_map(|(_, image)| image.patch_tag.clone())
                .collect(),
            // A manifest that several tags share has a patch before for each of them.
            previous: match plan.members(leader) {
                [_] if !image.is_index() => previous(image),
                _ => None,
            },
            patcher: self.record.options.settings.effective_patcher(),
        };
        let name = ImageName::of(&image.repository, &image.tag);
        Some(Run::new(id, step.into(), Some(name), now))
    }

    /// The run that publishes an index: once all its platforms are done, if any of them is to be
    /// published.
    fn publishing_of(&self, leader: u32, now: DateTime<Utc>) -> Option<Run> {
        let (plan, cycle) = (self.plan.as_ref()?, self.record.id);
        let image = plan.image(leader)?;
        let id = plan.publishing_run(cycle, leader);
        if !image.is_index() || self.runs.contains_key(&id) {
            return None;
        }
        for place in 0..image.platforms.len() {
            let scans = plan
                .group_of(leader)
                .map(|(member, _)| plan.scan_run(cycle, member, place));
            let patch = plan.patch_run(cycle, leader, place);
            for run in scans.chain([patch]).filter_map(|run| self.runs.get(&run)) {
                if run.progress.is_some() || run.status == Status::Canceled {
                    return None;
                }
            }
        }
        let step = self.next_publication(leader, &[])?;
        let name = ImageName::of(&image.repository, &image.tag);
        Some(Run::new(id, step.1.into(), Some(name), now))
    }

    /// The next image of a group that gets a patch tag, after those that got one.
    fn next_publication(&self, leader: u32, done: &[Publication]) -> Option<(u32, PublishStep)> {
        if self.record.options.until.is_some() {
            return None;
        }
        let plan = self.plan.as_ref()?;
        plan.group_of(leader)
            .filter(|(member, _)| done.iter().all(|one| one.image != *member))
            .find_map(|(member, image)| Some((member, self.publication_of(member, image)?)))
    }

    /// What is published for an image; none when no candidate has earned its tag.
    fn publication_of(&self, index: u32, image: &CycleImage) -> Option<PublishStep> {
        let (plan, cycle) = (self.plan.as_ref()?, self.record.id);
        if self.blocks_patch(image).is_some() {
            return None;
        }
        let mut exchanged = Vec::new();
        let mut is_patched = false;
        for (place, platform) in image.platforms.iter().enumerate() {
            let candidate = self.earned(index, image, place);
            is_patched |= candidate.is_some();
            // What an earlier patch mended stays mended.
            if let Some(patched) = candidate.or(platform.valid_patch()) {
                exchanged.push(Exchange {
                    original: platform.digest.clone(),
                    patched: patched.clone(),
                });
            }
        }
        if !is_patched {
            return None;
        }
        exchanged.extend(image.unselected.iter().filter_map(|platform| {
            let (original, patched) = (platform.digest.clone(), platform.valid_patch()?.clone());
            Some(Exchange { original, patched })
        }));
        let content = if image.is_index() {
            PublishContent::Index {
                original: image.digest.clone(),
                exchanged,
            }
        } else {
            PublishContent::Manifest(exchanged.into_iter().next()?.patched)
        };
        Some(PublishStep {
            cycle,
            repository: image.repository.clone(),
            original: plan.group_tag(index)?.clone(),
            tag: image.patch_tag.clone()?,
            replaces: image.replaced().cloned(),
            previous: previous(image),
            policy: plan.policy().map(|policy| policy.digest.clone()),
            attach: self.record.options.attach,
            content,
        })
    }

    /// The candidate for a platform, if it has earned the tag of an image.
    fn earned(&self, index: u32, image: &CycleImage, place: usize) -> Option<&Digest> {
        let (plan, cycle) = (self.plan.as_ref()?, self.record.id);
        let scan = self.runs.get(&plan.scan_run(cycle, index, place))?;
        let patch = self.runs.get(&plan.patch_run(cycle, index, place))?;
        let (_, scanned) = image.scanned(image.platforms.get(place)?);
        if matches!(patch.status, Status::Failed | Status::Canceled) {
            // What is known of it could not be attached.
            return None;
        }
        let verdict = self.verdict(patch, scanned)?;
        (needs_patch(scan) && verdict == PublishVerdict::Publish)
            .then_some(patch.made.as_ref())
            .flatten()
    }

    /// Whether the candidate of a run earns the tag of an image of which this was scanned; none
    /// before it was judged and tried.
    pub(super) fn verdict(&self, patch: &Run, scanned: &Digest) -> Option<PublishVerdict> {
        let options = &self.record.options;
        let is_tried = patch.tested.is_some() || !options.test;
        patch
            .verdict(scanned, options.verify)
            .filter(|verdict| is_tried || *verdict != PublishVerdict::Publish)
    }

    fn patch_step_done(
        &mut self,
        id: &RunId,
        step: Step,
        outcome: StepOutcome,
        now: DateTime<Utc>,
    ) {
        match (step, outcome) {
            (Step::Patch(step), StepOutcome::Patch(PatchOutcome::Made(digest))) => {
                self.made(id, step, digest);
            }
            (Step::Patch(_), _) => {
                self.decide(id, Status::Succeeded, Some(Reason::NothingMade), now);
            }
            (Step::Verify(step), StepOutcome::Verify(outcome)) => {
                if let Some(run) = self.runs.get_mut(id) {
                    run.verified = Some(Box::new(outcome));
                }
                if self.record.options.test && self.is_worth_publishing(id) {
                    self.test(id, step.candidate);
                } else {
                    self.tried(id, step.candidate, now);
                }
            }
            (Step::Test(step), StepOutcome::Test(outcome)) => {
                if let Some(run) = self.runs.get_mut(id) {
                    run.tested = Some(outcome);
                }
                self.tried(id, step.candidate, now);
            }
            (Step::Attest(_), StepOutcome::Attest(_)) => self.judged(id, now),
            (Step::Publish(step), StepOutcome::Publish(outcome)) => {
                let (digest, reason) = match outcome {
                    PublishOutcome::Published(digest) => (Some(digest), None),
                    PublishOutcome::TagTaken => (None, Some(Reason::TagTaken(step.tag))),
                };
                self.published(id, digest, reason, now);
            }
            (Step::Discard(step), outcome) => self.discarded(id, &step, &outcome, now),
            _ => {}
        }
    }

    /// Goes on to judge a candidate that was made.
    fn made(&mut self, id: &RunId, step: PatchStep, digest: Digest) {
        let scanned = self.baselines(id);
        let options = &self.record.options;
        let keeps_report = options.attach != Attach::Never && options.until.is_none();
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        run.made = Some(digest.clone());
        run.enter(VerifyStep {
            candidate: Candidate {
                repository: step.repository,
                original: step.original,
                manifest: step.manifest,
                platform: step.platform,
                tag: step.candidate,
                digest,
            },
            scanned,
            patcher: step.patcher,
            keeps_report,
        });
    }

    /// Goes on to try a candidate that is good.
    fn test(&mut self, id: &RunId, candidate: Candidate) {
        if let Some(run) = self.runs.get_mut(id) {
            run.enter(TestStep { candidate });
        }
    }

    /// Goes on to attach what is known of a candidate that is going to be published.
    fn tried(&mut self, id: &RunId, candidate: Candidate, now: DateTime<Utc>) {
        let (cycle, options) = (self.record.id, &self.record.options);
        let policy = self.plan.as_ref().and_then(CyclePlan::policy);
        let policy = policy.map(|policy| policy.digest.clone());
        if options.attach == Attach::Never
            || options.until.is_some()
            || !self.is_worth_publishing(id)
        {
            self.judged(id, now);
        } else if let Some(run) = self.runs.get_mut(id) {
            run.enter(AttestStep {
                cycle,
                candidate,
                patcher: options.settings.effective_patcher(),
                policy,
                attach: options.attach,
            });
        }
    }

    /// What was scanned, each once, for the images that need the patch of this run.
    fn baselines(&self, patch: &RunId) -> Vec<Digest> {
        let mut baselines = Vec::new();
        let (Some(plan), Some(leader)) = (&self.plan, patch.image()) else {
            return baselines;
        };
        for (member, image) in plan.group_of(leader) {
            for (place, platform) in image.platforms.iter().enumerate() {
                let (_, scanned) = image.scanned(platform);
                let scan = plan.scan_run(self.record.id, member, place);
                if plan.patch_run(self.record.id, member, place) == *patch
                    && self.runs.get(&scan).is_some_and(needs_patch)
                    && self.blocks_patch(image).is_none()
                    && !baselines.contains(scanned)
                {
                    baselines.push(scanned.clone());
                }
            }
        }
        baselines
    }

    /// Goes on with a candidate that was judged: it is published, is kept for the other platforms,
    /// or has earned nothing.
    fn judged(&mut self, id: &RunId, now: DateTime<Utc>) {
        let Some(leader) = id.image() else { return };
        if id.platform().is_none() {
            if let Some((_, step)) = self.next_publication(leader, &[]) {
                if let Some(run) = self.runs.get_mut(id) {
                    run.enter(step);
                }
                return;
            }
        } else if self.record.options.until.is_none() && self.is_worth_publishing(id) {
            if let Some(run) = self.runs.get_mut(id) {
                run.end(Status::Succeeded, None, now);
            }
            return;
        }
        let reason = self.withheld(id);
        self.decide(id, Status::Succeeded, reason, now);
    }

    /// Whether the candidate has earned the tag of any image.
    fn is_worth_publishing(&self, id: &RunId) -> bool {
        self.runs.get(id).is_some_and(|run| {
            let scanned = self.baselines(id);
            scanned.iter().any(|scanned| {
                let verdict = run.verdict(scanned, self.record.options.verify);
                verdict == Some(PublishVerdict::Publish)
            })
        })
    }

    /// Why a candidate that was judged is not published.
    fn withheld(&self, id: &RunId) -> Option<Reason> {
        let run = self.runs.get(id)?;
        let must_be_better = self.record.options.verify;
        let baselines = self.baselines(id);
        let mut verdicts = baselines
            .iter()
            .filter_map(|one| run.verdict(one, must_be_better));
        let withheld = verdicts.find_map(|verdict| match verdict {
            PublishVerdict::Withhold(why) => Some(Reason::Withheld(why)),
            PublishVerdict::Publish => None,
        });
        let plan = self.plan.as_ref()?;
        let tag = plan.image(id.image()?)?.patch_tag.clone();
        withheld.or_else(|| Some(Reason::NotAsked(self.record.options.until?, tag?)))
    }

    /// Takes note of what became of a patch tag, and goes on with that of the next image.
    fn published(
        &mut self,
        id: &RunId,
        digest: Option<Digest>,
        reason: Option<Reason>,
        now: DateTime<Utc>,
    ) {
        let Some(leader) = id.image() else { return };
        let done = self.runs.get(id).map(|run| run.publications.clone());
        let mut done = done.unwrap_or_default();
        let Some((image, step)) = self.next_publication(leader, &done) else {
            return;
        };
        done.push(Publication {
            image,
            tag: step.tag,
            digest,
            reason,
        });
        let next = self.next_publication(leader, &done);
        let mut failures = done.iter().filter_map(|one| one.reason.clone());
        let failure = failures.next();
        if let Some(run) = self.runs.get_mut(id) {
            run.publications = done;
            if let Some((_, step)) = next {
                run.enter(step);
                return;
            }
        }
        let status = match failure {
            Some(_) => Status::Failed,
            None => Status::Succeeded,
        };
        self.decide(id, status, failure, now);
    }

    /// Decides how a run ends, and goes on to clear its candidates away.
    fn decide(&mut self, id: &RunId, status: Status, reason: Option<Reason>, now: DateTime<Utc>) {
        let discard = self.next_discard(id, None);
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        match discard {
            Some(step) => {
                run.enter(step);
                run.decided = Some(Decided { status, reason });
            }
            None => run.end(status, reason, now),
        }
    }

    /// The candidate that a run clears away next: its own or, for a run that publishes an index,
    /// those of the platforms, each once.
    fn next_discard(&self, id: &RunId, after: Option<&RunId>) -> Option<DiscardStep> {
        let own = self.runs.get(id).filter(|run| run.candidate.is_some());
        let run = match own {
            Some(run) => after.is_none().then_some(run)?,
            None => self.runs.values().find(|run| {
                let is_part = run.id.task() == Task::Patch
                    && run.id.image() == id.image()
                    && run.id.platform().is_some();
                is_part && run.candidate.is_some() && after.is_none_or(|after| run.id > *after)
            })?,
        };
        Some(DiscardStep {
            repository: run.image.as_ref()?.repository.clone(),
            candidate: run.candidate.clone()?,
        })
    }

    fn discarded(
        &mut self,
        id: &RunId,
        step: &DiscardStep,
        outcome: &StepOutcome,
        now: DateTime<Utc>,
    ) {
        let is_its = |run: &&mut Run| {
            run.id.image() == id.image() && run.candidate.as_ref() == Some(&step.candidate)
        };
        let mut cleared = None;
        if let Some(run) = self.runs.values_mut().find(is_its) {
            cleared = Some(run.id.clone());
            if !matches!(outcome, StepOutcome::Discard(DiscardOutcome::Kept(_))) {
                run.candidate = None;
            }
        }
        if let Some(cleared) = &cleared {
            self.changed.insert(cleared.clone());
        }
        let next = match &cleared {
            Some(cleared) if cleared != id => self.next_discard(id, Some(cleared)),
            _ => None,
        };
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        match (next, run.decided.clone()) {
            (Some(step), Some(decided)) => {
                run.enter(step);
                run.decided = Some(decided);
            }
            _ => end_as_decided(run, now),
        }
    }

    fn interrupted(&mut self, id: &RunId, interrupt: Interrupt, now: DateTime<Utc>) {
        match interrupt {
            Interrupt::Stopped => {
                if let Some(progress) = self.progress_mut(id) {
                    progress.activity = Activity::Ready;
                }
            }
            Interrupt::Canceled => {
                if let Some(run) = self.runs.get_mut(id) {
                    cancel(run, now);
                }
            }
            Interrupt::Overdue => {
                let seconds = self.record.options.step_limit_seconds;
                let message = format!("the step took longer than {seconds} s and was ended");
                self.failed(id, StepFailure::transient(message), now);
            }
        }
    }

    fn failed(&mut self, id: &RunId, failure: StepFailure, now: DateTime<Utc>) {
        let options = &self.record.options;
        let attempts = options.settings.effective_attempts().get();
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let Some(progress) = run.progress.as_mut() else {
            return;
        };
        progress.failures = progress.failures.saturating_add(1);
        let is_last = progress.failures >= attempts;
        if failure.is_transient() && !is_last {
            let is_last_next = progress.failures.saturating_add(1) >= attempts;
            if let Step::Plan(step) = &mut progress.step {
                step.leave_out_unavailable = is_last_next;
            }
            progress.activity = Activity::WaitingUntil(later(now, options.pause()));
            // Why a run will end is told once it has.
            if run.decided.is_none() {
                run.reason = Some(Reason::Failed(failure));
            }
        } else {
            self.give_up(id, Reason::Failed(failure), now);
        }
    }

    /// Ends what cannot go on; a candidate that may be there is cleared away first.
    pub(super) fn give_up(&mut self, id: &RunId, reason: Reason, now: DateTime<Utc>) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let step = run.progress.as_ref().map(|progress| &progress.step);
        if run.decided.is_some() {
            // The candidate stays behind, and stays recorded.
            end_as_decided(run, now);
        } else if let Some(Step::Publish(_)) = step {
            self.published(id, None, Some(reason), now);
        } else if run.candidate.is_some() {
            self.decide(id, Status::Failed, Some(reason), now);
        } else {
            run.end(Status::Failed, Some(reason), now);
        }
    }
}

fn previous(image: &CycleImage) -> Option<Digest> {
    image
        .latest_patch
        .as_ref()
        .map(|patch| patch.digest.clone())
}

/// Whether a scan has found that its manifest is to be patched.
fn needs_patch(scan: &Run) -> bool {
    let verdict = scan.scan().map(|scan| &scan.verdict);
    matches!(verdict, Some(ScanVerdict::Patch { .. }))
}

/// Ends a run that is canceled; one whose end is decided already ends so. Whether it was
/// canceled.
pub(super) fn cancel(run: &mut Run, now: DateTime<Utc>) -> bool {
    if run.decided.is_some() {
        end_as_decided(run, now);
        return false;
    }
    run.end(Status::Canceled, Some(Reason::Canceled), now);
    true
}

fn end_as_decided(run: &mut Run, now: DateTime<Utc>) {
    if let Some(Decided { status, reason }) = run.decided.take() {
        run.end(status, reason, now);
    }
}

pub(super) fn later(now: DateTime<Utc>, delay: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(delay)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
