//! What follows from an outcome.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::cycle::Cycle;
use super::error::CycleError;
use super::event::{Outcome, PublishDecision, ScanDecision};
use super::id::RunId;
use super::image::CycleImage;
use super::reason::Reason;
use super::run::{Activity, Phase, Run};
use super::status::Status;
use super::step::fits;

impl Cycle {
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
        let phase = self.in_hand(run, attempt)?;
        let image = self.run(run).and_then(Run::image);
        if !fits(&phase, &outcome, image) {
            return Err(CycleError::mismatch(run, phase.name()));
        }
        let number = run.number();
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

    /// Gives work back that was not done, since whoever runs the cycle stops: it is there for the
    /// next one as if it had not been begun.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, as [`report`](Self::report) does.
    pub fn give_back(
        &mut self,
        run: RunId,
        attempt: u32,
        now: DateTime<Utc>,
    ) -> Result<(), CycleError> {
        self.in_hand(run, attempt)?;
        let number = run.number();
        self.release(number);
        if let Some(progress) = self.progress_mut(number) {
            progress.activity = Activity::Ready;
        }
        self.settle(number, now);
        Ok(())
    }

    /// The phase of a run whose attempt `attempt` is in the hands of the caller.
    fn in_hand(&self, run: RunId, attempt: u32) -> Result<Phase, CycleError> {
        let known = self.run(run).ok_or_else(|| CycleError::unknown_run(run))?;
        if known.status == Status::Canceled {
            return Err(CycleError::canceled(run));
        }
        known
            .progress
            .as_ref()
            .filter(|progress| {
                progress.activity == Activity::InFlight && progress.attempt == attempt
            })
            .map(|progress| progress.phase.clone())
            .ok_or_else(|| CycleError::not_awaited(run, attempt))
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
    pub(super) fn give_up(&mut self, number: u64, reason: Reason, now: DateTime<Utc>) {
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
}

pub(super) fn later(now: DateTime<Utc>, delay: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(delay)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
