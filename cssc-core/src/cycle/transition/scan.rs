//! What follows from a plan and its scans.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::cycle::id::{RunId, Task};
use crate::cycle::image::CyclePlatform;
use crate::cycle::machine::Cycle;
use crate::cycle::plan::{CyclePlan, LeftOut, LeftOutReason};
use crate::cycle::reason::Reason;
use crate::cycle::run::Run;
use crate::cycle::status::Status;
use crate::cycle::step::{BegunPublication, PatchStep, PlanOutcome, ScanOutcome, ScanStep};
use crate::scan::ScanVerdict;

impl Cycle {
    pub(super) fn planned(&mut self, run: &RunId, outcome: PlanOutcome, now: DateTime<Utc>) {
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
    pub(in crate::cycle) fn follow_plan(&mut self, plan: CyclePlan, now: DateTime<Utc>) {
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
                };
                let id = plan.scan_run(self.record.id, index, place);
                let name = image.name();
                Run::new(id, step.into(), Some(name), now)
            })
        });
        runs.filter(|run| seen.insert(run.id.clone())).collect()
    }

    pub(super) fn scanned(&mut self, id: &RunId, outcome: ScanOutcome, now: DateTime<Utc>) {
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
    pub(in crate::cycle) fn follow(&mut self, id: &RunId, now: DateTime<Utc>) {
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
    fn patch_of(&self, leader: u32, index: usize, now: DateTime<Utc>) -> Option<Run> {
        let (plan, cycle) = (self.plan.as_ref()?, self.record.id);
        let id = plan.patch_run(cycle, leader, index);
        if self.runs.contains_key(&id) {
            return None;
        }
        let mut is_needed = false;
        for (member, image) in plan.group_of(leader) {
            let scan = self.runs.get(&plan.scan_run(cycle, member, index))?;
            if scan.progress.is_some() {
                return None;
            }
            is_needed |= scan.needs_patch() && self.blocks_patch(image).is_none();
        }
        if !is_needed {
            return None;
        }
        let name = plan.image(leader)?.name();
        let step = self.patch_step(leader, index)?;
        Some(Run::new(id, step.into(), Some(name), now))
    }

    /// The step that makes a candidate for a platform of a group.
    pub(super) fn patch_step(&self, leader: u32, index: usize) -> Option<PatchStep> {
        let plan = self.plan.as_ref()?;
        let image = plan.image(leader)?;
        let platform = image.platforms.get(index)?;
        let is_of_group = |begun: &&BegunPublication| {
            let mut group = plan.group_of(leader);
            group.any(|(_, image)| {
                image.repository == begun.repository && image.patch_tag.as_ref() == Some(&begun.tag)
            })
        };
        Some(PatchStep {
            cycle: self.record.id,
            repository: image.repository.clone(),
            original: plan.group_tag(leader)?.clone(),
            image: image.digest.clone(),
            manifest: platform.digest.clone(),
            platform: platform.platform.clone(),
            begun: self
                .record
                .begun
                .iter()
                .filter(is_of_group)
                .cloned()
                .collect(),
            // A manifest that several tags share has a patch before for each of them.
            previous: match plan.members(leader) {
                [_] if !image.is_index() => image.previous(),
                _ => None,
            },
            patcher: self.record.options.settings.effective_patcher(),
        })
    }

    /// The platform that a patch run is about.
    pub(super) fn platform_of(&self, id: &RunId) -> Option<&CyclePlatform> {
        let platforms = &self.plan.as_ref()?.image(id.image()?)?.platforms;
        match id.platform() {
            Some(platform) => platforms.iter().find(|one| one.platform == *platform),
            None => platforms.first(),
        }
    }
}
