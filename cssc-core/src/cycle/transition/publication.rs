//! Which images get a patch tag, and what it names.

use chrono::{DateTime, Utc};

use crate::cycle::id::RunId;
use crate::cycle::image::CycleImage;
use crate::cycle::machine::Cycle;
use crate::cycle::reason::Reason;
use crate::cycle::run::{Publication, Run};
use crate::cycle::status::Status;
use crate::cycle::step::{Exchange, PublishContent, PublishOutcome, PublishStep};
use crate::name::Digest;
use crate::scan::PublishVerdict;

impl Cycle {
    /// The run that publishes an index: once all its platforms are done, if any of them is to be
    /// published.
    pub(super) fn publishing_of(&self, leader: u32, now: DateTime<Utc>) -> Option<Run> {
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
        let name = image.name();
        Some(Run::new(id, step.1.into(), Some(name), now))
    }

    /// The next image of a group that gets a patch tag, after those that got one.
    pub(super) fn next_publication(
        &self,
        leader: u32,
        done: &[Publication],
    ) -> Option<(u32, PublishStep)> {
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
            previous: image.previous(),
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
        (scan.needs_patch() && verdict == PublishVerdict::Publish)
            .then_some(patch.made.as_ref())
            .flatten()
    }

    pub(super) fn published(
        &mut self,
        id: &RunId,
        step: PublishStep,
        outcome: PublishOutcome,
        now: DateTime<Utc>,
    ) {
        let (digest, reason) = match outcome {
            PublishOutcome::Published(digest) => (Some(digest), None),
            PublishOutcome::TagTaken => (None, Some(Reason::TagTaken(step.tag))),
        };
        self.publication_ended(id, digest, reason, now);
    }

    /// Takes note of what became of a patch tag, and goes on with that of the next image.
    pub(super) fn publication_ended(
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
}
