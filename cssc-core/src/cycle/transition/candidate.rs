//! What follows from a candidate: it is judged, tried, copied and attested before it is published.

use chrono::{DateTime, Utc};

use crate::cycle::id::RunId;
use crate::cycle::machine::Cycle;
use crate::cycle::plan::CyclePlan;
use crate::cycle::reason::Reason;
use crate::cycle::run::Run;
use crate::cycle::status::Status;
use crate::cycle::step::{
    Attach, AttestStep, Candidate, CopyContent, CopyStep, PatchOutcome, PatchStep, TestOutcome,
    TestStep, VerifyOutcome, VerifyStep,
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
        let digest = match outcome {
            PatchOutcome::Made(digest) => digest,
            PatchOutcome::NothingMade => return self.made_nothing(id, Reason::NothingMade, now),
            PatchOutcome::Refused(why) => return self.made_nothing(id, Reason::Refused(why), now),
        };
        let scanned = self.baselines(id);
        let options = &self.record.options;
        let keeps_report = options.attach != Attach::Never && options.until.is_none();
        let allow_config = options.allow_config.clone();
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
                digest,
            },
            scanned,
            allow_config,
            keeps_report,
        });
    }

    fn made_nothing(&mut self, id: &RunId, reason: Reason, now: DateTime<Utc>) {
        if let Some(run) = self.runs.get_mut(id) {
            run.end(Status::Succeeded, Some(reason), now);
        }
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
            self.passed_or_withheld(id, candidate, now);
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
        self.passed_or_withheld(id, step.candidate, now);
    }

    /// Goes on to copy a candidate that has passed the gate; otherwise the run ends, and nothing of
    /// it is outside the relay.
    fn passed_or_withheld(&mut self, id: &RunId, candidate: Candidate, now: DateTime<Utc>) {
        let cycle = self.record.id;
        if self.record.options.until.is_some() || !self.is_worth_publishing(id) {
            let reason = self.withheld(id);
            if let Some(run) = self.runs.get_mut(id) {
                run.end(Status::Succeeded, reason, now);
            }
        } else if let Some(run) = self.runs.get_mut(id) {
            run.enter(CopyStep {
                cycle,
                repository: candidate.repository,
                original: candidate.original,
                content: CopyContent::Manifest(candidate.digest),
            });
        }
    }

    /// Goes on to attach to a candidate that was copied what is known of it.
    pub(super) fn candidate_copied(
        &mut self,
        id: &RunId,
        step: CopyStep,
        digest: Digest,
        now: DateTime<Utc>,
    ) {
        let platform = self.platform_of(id).cloned();
        let (Some(platform), true) = (platform, self.record.options.attach != Attach::Never) else {
            return self.candidate_is_ready(id, now);
        };
        let step = AttestStep {
            cycle: self.record.id,
            repository: step.repository,
            original: step.original,
            origin: platform.digest,
            subject: digest,
            platform: Some(platform.platform),
            patcher: self.record.options.settings.effective_patcher(),
            policy: self.policy_digest(),
            attach: self.record.options.attach,
        };
        if let Some(run) = self.runs.get_mut(id) {
            run.enter(step);
        }
    }

    /// The digest of the policy that the plan follows.
    pub(super) fn policy_digest(&self) -> Option<Digest> {
        let policy = self.plan.as_ref().and_then(CyclePlan::policy);
        policy.map(|policy| policy.digest.clone())
    }

    /// Goes on with a candidate that is in the registry: it waits for the other platforms of its
    /// index, or is published.
    pub(super) fn candidate_is_ready(&mut self, id: &RunId, now: DateTime<Utc>) {
        if id.platform().is_none() {
            self.publish_next(id, now);
        } else if let Some(run) = self.runs.get_mut(id) {
            run.end(Status::Succeeded, None, now);
        }
    }

    /// What was scanned, each once, for the images that need the patch of this run.
    fn baselines(&self, patch: &RunId) -> Vec<Digest> {
        let mut baselines = Vec::new();
        let (Some(plan), Some(leader)) = (&self.plan, patch.image()) else {
            return baselines;
        };
        for (member, image) in plan.group_of(leader) {
            for (index, platform) in image.platforms.iter().enumerate() {
                let (_, scanned) = image.scanned(platform);
                let scan = plan.scan_run(self.record.id, member, index);
                if plan.patch_run(self.record.id, member, index) == *patch
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
    pub(super) fn withheld(&self, id: &RunId) -> Option<Reason> {
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
