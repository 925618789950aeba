//! What follows from a candidate: it is judged, tried, and told of before it is published.

use chrono::{DateTime, Utc};

use crate::cycle::id::RunId;
use crate::cycle::machine::Cycle;
use crate::cycle::plan::CyclePlan;
use crate::cycle::reason::Reason;
use crate::cycle::run::Run;
use crate::cycle::status::Status;
use crate::cycle::step::{
    Attach, AttestStep, Candidate, PatchOutcome, PatchStep, TestOutcome, TestStep, VerifyOutcome,
    VerifyStep,
};
use crate::name::Digest;
use crate::scan::PublishVerdict;

impl Cycle {
    /// Goes on to judge a candidate that was made.
    pub(super) fn patched(
        &mut self,
        id: &RunId,
        step: PatchStep,
        outcome: PatchOutcome,
        now: DateTime<Utc>,
    ) {
        let PatchOutcome::Made(digest) = outcome else {
            return self.decide(id, Status::Succeeded, Some(Reason::NothingMade), now);
        };
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
    pub(super) fn verified(
        &mut self,
        id: &RunId,
        step: VerifyStep,
        outcome: VerifyOutcome,
        now: DateTime<Utc>,
    ) {
        let candidate = step.candidate;
        if let Some(run) = self.runs.get_mut(id) {
            run.verified = Some(Box::new(outcome));
        }
        if !self.record.options.test || !self.is_worth_publishing(id) {
            self.tried(id, candidate, now);
        } else if let Some(run) = self.runs.get_mut(id) {
            run.enter(TestStep { candidate });
        }
    }

    pub(super) fn tested(
        &mut self,
        id: &RunId,
        step: TestStep,
        outcome: TestOutcome,
        now: DateTime<Utc>,
    ) {
        if let Some(run) = self.runs.get_mut(id) {
            run.tested = Some(outcome);
        }
        self.tried(id, step.candidate, now);
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
                    && self.runs.get(&scan).is_some_and(Run::needs_patch)
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
    pub(super) fn judged(&mut self, id: &RunId, now: DateTime<Utc>) {
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

    /// Whether the candidate of a run earns the tag of an image of which this was scanned; none
    /// before it was judged and tried.
    pub(in crate::cycle) fn verdict(
        &self,
        patch: &Run,
        scanned: &Digest,
    ) -> Option<PublishVerdict> {
        let options = &self.record.options;
        let is_tried = patch.tested.is_some() || !options.test;
        patch
            .verdict(scanned, options.verify)
            .filter(|verdict| is_tried || *verdict != PublishVerdict::Publish)
    }
}
