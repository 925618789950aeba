//! Which images get a patch tag, and what it names.

use chrono::{DateTime, Utc};

use crate::cycle::id::RunId;
use crate::cycle::image::CycleImage;
use crate::cycle::machine::Cycle;
use crate::cycle::reason::Reason;
use crate::cycle::run::{Publication, Run};
use crate::cycle::status::Status;
use crate::cycle::step::{
    Attach, AttestStep, BegunPublication, CopyContent, CopyStep, ManifestReplacement,
    PublishOutcome, PublishStep, SignStep, Step,
};
use crate::name::Digest;
use crate::scan::PublishVerdict;

/// What is published for an image.
struct Content {
    publication: Publication,
    /// What an index is made of; nothing for a manifest, which is in the registry already.
    index: Option<CopyStep>,
}

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
        for index in 0..image.platforms.len() {
            let scans = plan
                .group_of(leader)
                .map(|(member, _)| plan.scan_run(cycle, member, index));
            let patch = plan.patch_run(cycle, leader, index);
            for run in scans.chain([patch]).filter_map(|run| self.runs.get(&run)) {
                if run.progress.is_some() || run.status == Status::Canceled {
                    return None;
                }
            }
        }
        let content = self.next_content(leader, &[])?;
        let mut run = Run::new(id, content.index?.into(), Some(image.name()), now);
        run.publishing = Some(content.publication);
        Some(run)
    }

    /// What is published for the next image of a group, after those that were dealt with.
    fn next_content(&self, leader: u32, done: &[Publication]) -> Option<Content> {
        if self.record.options.until.is_some() {
            return None;
        }
        let plan = self.plan.as_ref()?;
        plan.group_of(leader)
            .filter(|(member, _)| done.iter().all(|one| one.image != *member))
            .find_map(|(member, image)| self.content_of(member, image))
    }

    /// What is published for an image; none when no candidate has earned its tag.
    fn content_of(&self, number: u32, image: &CycleImage) -> Option<Content> {
        let plan = self.plan.as_ref()?;
        if self.blocks_patch(image).is_some() {
            return None;
        }
        let mut replacements = Vec::new();
        let mut is_patched = false;
        for (index, platform) in image.platforms.iter().enumerate() {
            let candidate = self.approved_candidate(number, image, index);
            is_patched |= candidate.is_some();
            // What an earlier patch mended stays mended.
            if let Some(patched) = candidate.or(platform.valid_patch()) {
                replacements.push(ManifestReplacement {
                    original: platform.digest.clone(),
                    patched: patched.clone(),
                });
            }
        }
        if !is_patched {
            return None;
        }
        replacements.extend(image.unselected.iter().filter_map(|platform| {
            let (original, patched) = (platform.digest.clone(), platform.valid_patch()?.clone());
            Some(ManifestReplacement { original, patched })
        }));
        let publication = Publication {
            image: number,
            tag: image.patch_tag.clone()?,
            digest: None,
            reason: None,
        };
        if !image.is_index() {
            let digest = Some(replacements.into_iter().next()?.patched);
            return Some(Content {
                publication: Publication {
                    digest,
                    ..publication
                },
                index: None,
            });
        }
        let step = CopyStep {
            cycle: self.record.id,
            repository: image.repository.clone(),
            original: plan.group_tag(number)?.clone(),
            content: CopyContent::Index {
                original: image.digest.clone(),
                replacements,
                previous: image.previous(),
            },
        };
        Some(Content {
            publication,
            index: Some(step),
        })
    }

    /// The candidate for a platform, if it has earned the tag of an image.
    fn approved_candidate(&self, number: u32, image: &CycleImage, index: usize) -> Option<&Digest> {
        let (plan, cycle) = (self.plan.as_ref()?, self.record.id);
        let scan = self.runs.get(&plan.scan_run(cycle, number, index))?;
        let patch = self.runs.get(&plan.patch_run(cycle, number, index))?;
        let (_, scanned) = image.scanned(image.platforms.get(index)?);
        if matches!(patch.status, Status::Failed | Status::Canceled) {
            // It could not be copied, or what is known of it could not be attached.
            return None;
        }
        let verdict = self.verdict(patch, scanned)?;
        (scan.needs_patch() && verdict == PublishVerdict::Publish)
            .then_some(patch.made.as_ref())
            .flatten()
    }

    /// Goes on with the next image of the group that gets a patch tag, or ends the run.
    pub(super) fn publish_next(&mut self, id: &RunId, now: DateTime<Utc>) {
        let Some(run) = self.runs.get(id) else { return };
        let done = run.publications.clone();
        let content = id
            .image()
            .and_then(|leader| self.next_content(leader, &done));
        if let Some(Content { publication, index }) = content {
            if let Some(run) = self.runs.get_mut(id) {
                run.publishing = Some(publication);
                match index {
                    Some(step) => run.enter(step),
                    None => self.sign_or_publish(id, now),
                }
            }
            return;
        }
        let (status, reason) = if done.is_empty() {
            (Status::Succeeded, self.withheld(id))
        } else {
            let reason = done.into_iter().find_map(|one| one.reason);
            let status = match reason {
                Some(_) => Status::Failed,
                None => Status::Succeeded,
            };
            (status, reason)
        };
        if let Some(run) = self.runs.get_mut(id) {
            run.end(status, reason, now);
        }
    }

    /// Goes on with an index that was copied.
    pub(super) fn index_copied(
        &mut self,
        id: &RunId,
        step: CopyStep,
        (origin, to): (Digest, Digest),
        now: DateTime<Utc>,
    ) {
        if let Some(publishing) = self
            .runs
            .get_mut(id)
            .and_then(|run| run.publishing.as_mut())
        {
            publishing.digest = Some(to.clone());
        }
        if self.record.options.attach == Attach::Never {
            return self.sign_or_publish(id, now);
        }
        let step = AttestStep {
            cycle: self.record.id,
            repository: step.repository,
            original: step.original,
            origin,
            subject: to,
            platform: None,
            patcher: self.record.options.settings.effective_patcher(),
            policy: self.policy_digest(),
            attach: self.record.options.attach,
        };
        if let Some(run) = self.runs.get_mut(id) {
            run.enter(step);
        }
    }

    /// Goes on with an image that lacks nothing but its signature and its tag.
    pub(super) fn sign_or_publish(&mut self, id: &RunId, now: DateTime<Utc>) {
        let Some(step) = self.publish_step(id) else {
            return self.broken(id, "a publication without an image", now);
        };
        let signs = self.record.options.sign;
        if let Some(run) = self.runs.get_mut(id) {
            if signs {
                run.enter(SignStep {
                    repository: step.repository,
                    tag: step.tag,
                    digest: step.digest,
                });
            } else {
                run.enter(step);
            }
        }
    }

    /// Goes on with an image that was signed.
    pub(super) fn signed(&mut self, id: &RunId, now: DateTime<Utc>) {
        match (self.publish_step(id), self.runs.get_mut(id)) {
            (Some(step), Some(run)) => run.enter(step),
            _ => self.broken(id, "a signature without an image", now),
        }
    }

    fn publish_step(&self, id: &RunId) -> Option<PublishStep> {
        let publishing = self.runs.get(id)?.publishing.as_ref()?;
        let image = self.plan.as_ref()?.image(publishing.image)?;
        Some(PublishStep {
            repository: image.repository.clone(),
            tag: publishing.tag.clone(),
            replaces: image.replaced().cloned(),
            digest: publishing.digest.clone()?,
        })
    }

    pub(super) fn published(
        &mut self,
        id: &RunId,
        step: PublishStep,
        outcome: PublishOutcome,
        now: DateTime<Utc>,
    ) {
        let reason = match outcome {
            PublishOutcome::Published => None,
            PublishOutcome::TagTaken => Some(Reason::TagTaken(step.tag)),
        };
        self.publication_ended(id, reason, now);
    }

    /// Takes note of what became of a patch tag, and goes on with that of the next image.
    pub(super) fn publication_ended(
        &mut self,
        id: &RunId,
        reason: Option<Reason>,
        now: DateTime<Utc>,
    ) {
        if let Some(run) = self.runs.get_mut(id)
            && let Some(publishing) = run.publishing.take()
        {
            run.publications.push(Publication {
                reason,
                ..publishing
            });
        }
        self.publish_next(id, now);
    }

    /// The publications that were begun, as far as their tags may have been written: those of this
    /// cycle, and those that it was told of.
    pub fn begun(&self) -> Vec<BegunPublication> {
        let mut begun = self.record.begun.clone();
        for run in self.runs.values() {
            let step = run.progress.as_ref().map(|progress| &progress.step);
            let current = run.publishing.iter();
            let current = current.filter(|_| matches!(step, Some(Step::Publish(_))));
            for publication in run.publications.iter().chain(current) {
                let image = self
                    .plan
                    .as_ref()
                    .and_then(|plan| plan.image(publication.image));
                if let (Some(image), Some(digest)) = (image, &publication.digest) {
                    begun.push(BegunPublication {
                        repository: image.repository.clone(),
                        tag: publication.tag.clone(),
                        digest: digest.clone(),
                    });
                }
            }
        }
        begun.sort_unstable();
        begun.dedup();
        begun
    }
}
