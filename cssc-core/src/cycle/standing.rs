//! How images stand, seen from the runs that work for them.

use std::borrow::Cow;

use super::image::{CycleImage, CyclePlatform};
use super::machine::Cycle;
use super::options::Until;
use super::outcome::ImageOutcome;
use super::reason::Reason;
use super::run::{Publication, Run};
use super::status::{RowStatus, Status};
use crate::name::Digest;
use crate::scan::{Evidence, PublishVerdict, ScanSkip, ScanVerdict};

/// How one platform of an image stands.
pub(super) struct PlatformStanding<'a> {
    pub(super) platform: &'a CyclePlatform,
    pub(super) scan_run: &'a Run,
    pub(super) patch_run: Option<&'a Run>,
    pub(super) scan: RowStatus,
    pub(super) patch: RowStatus,
    /// None until it is done.
    pub(super) outcome: Option<ImageOutcome>,
    pub(super) reason: Option<Cow<'a, Reason>>,
    /// What the patch did, where it was published.
    pub(super) evidence: Option<&'a Evidence>,
}

/// How an image stands, its platforms taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ImageStanding {
    pub(super) scan: RowStatus,
    pub(super) patch: RowStatus,
    pub(super) outcome: Option<ImageOutcome>,
    pub(super) is_published: bool,
}

/// What is said of a patch: its status, how it ended and why.
type PatchStanding<'a> = (RowStatus, Option<ImageOutcome>, Option<Cow<'a, Reason>>);

impl Cycle {
    pub(super) fn image_standing(&self, image: u32) -> Option<ImageStanding> {
        let mut standings = self.platform_standings(image)?.peekable();
        standings.peek()?;
        let mut is_done = true;
        let mut outcome = ImageOutcome::Clean;
        let (mut scans, mut patches) = (Statuses::default(), Statuses::default());
        for standing in standings {
            scans.add(standing.scan);
            patches.add(standing.patch);
            is_done &= standing.outcome.is_some();
            outcome = outcome.max(standing.outcome.unwrap_or(outcome));
        }
        Some(ImageStanding {
            scan: scans.of_scans(),
            patch: patches.of_patches(),
            outcome: is_done.then_some(outcome),
            is_published: self
                .publication(image)
                .is_some_and(|publication| publication.published().is_some()),
        })
    }

    /// How the platforms of an image stand, in order.
    pub(super) fn platform_standings(
        &self,
        image: u32,
    ) -> Option<impl Iterator<Item = PlatformStanding<'_>>> {
        let row = self.plan.as_ref()?.image(image)?;
        let platforms = row.platforms.iter().enumerate();
        Some(platforms.filter_map(move |(place, platform)| {
            self.platform_standing(image, row, place, platform)
        }))
    }

    fn platform_standing<'a>(
        &'a self,
        image: u32,
        row: &'a CycleImage,
        place: usize,
        platform: &'a CyclePlatform,
    ) -> Option<PlatformStanding<'a>> {
        let (plan, cycle) = (self.plan.as_ref()?, self.record.id);
        let scan_run = self.runs.get(&plan.scan_run(cycle, image, place))?;
        let patch_run = self.runs.get(&plan.patch_run(cycle, image, place));
        let verdict = scan_run.scan().map(|scan| &scan.verdict);
        let reason = scan_run.reason.as_ref().map(Cow::Borrowed);
        let mut standing = PlatformStanding {
            platform,
            scan_run,
            patch_run,
            scan: scan_run.status.into(),
            patch: RowStatus::Unknown,
            outcome: None,
            reason,
            evidence: None,
        };
        let (patch, outcome) = match (scan_run.status, verdict) {
            (Status::Failed, _) => (RowStatus::Unknown, Some(ImageOutcome::Failed)),
            (Status::Canceled, _) => (RowStatus::Unknown, Some(ImageOutcome::Canceled)),
            (Status::Succeeded, Some(ScanVerdict::Patch { .. })) => {
                let (_, scanned) = row.scanned(platform);
                let publication = self.publication(image);
                let (patch, outcome, reason) = self.patch_standing(image, row, scanned, patch_run);
                standing.reason = reason;
                if patch == RowStatus::Succeeded && publication.is_some() {
                    let verified = patch_run.and_then(Run::verified);
                    standing.evidence = verified.and_then(|verified| verified.evidence(scanned));
                }
                (patch, outcome)
            }
            (Status::Succeeded, Some(ScanVerdict::Skip(ScanSkip::NoVulnerability))) => {
                if let (true, Some(patch)) = (platform.has_moved(), &row.latest_patch) {
                    let moved = Reason::OriginalMoved(patch.tag.clone());
                    standing.reason = Some(Cow::Owned(moved));
                }
                (RowStatus::Skipped, Some(ImageOutcome::Clean))
            }
            (Status::Succeeded, Some(ScanVerdict::Skip(ScanSkip::EndOfServiceLife))) => {
                (RowStatus::Skipped, Some(ImageOutcome::EndOfLife))
            }
            (Status::Succeeded, _) => (RowStatus::Skipped, Some(ImageOutcome::Unsupported)),
            (Status::Queued | Status::Running, _) => (RowStatus::Unknown, None),
        };
        (standing.patch, standing.outcome) = (patch, outcome);
        Some(standing)
    }

    /// How the patch of a platform stands for one image of its group.
    fn patch_standing<'a>(
        &'a self,
        image: u32,
        row: &'a CycleImage,
        scanned: &Digest,
        patch: Option<&'a Run>,
    ) -> PatchStanding<'a> {
        if let Some(reason) = self.blocks_patch(row) {
            return match reason {
                Reason::Exhausted => ended(RowStatus::Failed, ImageOutcome::Failed, reason),
                reason => ended(RowStatus::Skipped, ImageOutcome::Vulnerable, reason),
            };
        }
        let Some(patch) = patch else {
            return self.pending(RowStatus::Queued);
        };
        let reason = patch.reason.as_ref().map(Cow::Borrowed);
        let verified = patch.verified();
        let verdict = self.verdict(patch, scanned);
        match (patch.status, verdict) {
            (Status::Failed, Some(PublishVerdict::Publish)) if patch.publications().is_empty() => {
                (RowStatus::Failed, Some(ImageOutcome::Failed), reason)
            }
            (_, Some(PublishVerdict::Publish)) => {
                let evidence = verified.and_then(|verified| verified.evidence(scanned));
                self.publication_standing(image, row, patch, evidence)
            }
            (Status::Queued, _) => (RowStatus::Queued, None, reason),
            (Status::Running, _) => (RowStatus::Running, None, reason),
            (Status::Canceled, _) => (RowStatus::Canceled, Some(ImageOutcome::Canceled), reason),
            (_, Some(PublishVerdict::Withhold(why))) => ended(
                RowStatus::Skipped,
                ImageOutcome::Vulnerable,
                Reason::Withheld(why),
            ),
            (Status::Failed, None) => (RowStatus::Failed, Some(ImageOutcome::Failed), reason),
            (Status::Succeeded, None) => {
                (RowStatus::Skipped, Some(ImageOutcome::Vulnerable), reason)
            }
        }
    }

    /// How it stands with a candidate that has earned the tag of the image.
    fn publication_standing<'a>(
        &'a self,
        image: u32,
        row: &CycleImage,
        patch: &'a Run,
        evidence: Option<&Evidence>,
    ) -> PatchStanding<'a> {
        if let (Some(until), Some(tag), true) = (
            self.record.options.until,
            &row.patch_tag,
            patch.status.is_final(),
        ) {
            let reason = Reason::NotAsked(until, tag.clone());
            return ended(RowStatus::Skipped, ImageOutcome::Vulnerable, reason);
        }
        let Some(publishing) = self.publishing_run_of(image) else {
            return self.pending(RowStatus::Running);
        };
        let reason = publishing.reason.as_ref().map(Cow::Borrowed);
        if let Some(publication) = publishing.publication(image)
            && publishing.status.is_final()
        {
            let reason = publication.reason.as_ref();
            match reason {
                None => return published(evidence),
                Some(Reason::Canceled) => {}
                Some(reason) => {
                    let (status, outcome) = (RowStatus::Failed, ImageOutcome::Failed);
                    return (status, Some(outcome), Some(Cow::Borrowed(reason)));
                }
            }
        }
        match publishing.status {
            Status::Queued | Status::Running => (RowStatus::Running, None, reason),
            Status::Canceled => (RowStatus::Canceled, Some(ImageOutcome::Canceled), reason),
            Status::Failed | Status::Succeeded => {
                (RowStatus::Failed, Some(ImageOutcome::Failed), reason)
            }
        }
    }

    /// What waits for other runs of the group, and is canceled with them.
    fn pending(&self, status: RowStatus) -> PatchStanding<'static> {
        if self.has_ended() {
            ended(
                RowStatus::Canceled,
                ImageOutcome::Canceled,
                Reason::Canceled,
            )
        } else {
            (status, None, None)
        }
    }

    /// Why an image that needs a patch gets none in this cycle, whatever a patch would do.
    pub(super) fn blocks_patch(&self, row: &CycleImage) -> Option<Reason> {
        let options = &self.record.options;
        match &row.patch_tag {
            None => Some(Reason::Exhausted),
            Some(tag) if row.would_replace_foreign() && !options.adopt => {
                Some(Reason::ForeignPatch(tag.clone()))
            }
            Some(tag) if options.until == Some(Until::Scan) => {
                Some(Reason::NotAsked(Until::Scan, tag.clone()))
            }
            Some(_) => None,
        }
    }

    /// What became of the patch tag of an image.
    pub(super) fn publication(&self, image: u32) -> Option<&Publication> {
        self.publishing_run_of(image)?.publication(image)
    }

    /// The run that writes the patch tag of an image, if there is one yet.
    pub(super) fn publishing_run_of(&self, image: u32) -> Option<&Run> {
        let run = self.plan.as_ref()?.publishing_run(self.record.id, image);
        self.runs.get(&run)
    }
}

fn ended(status: RowStatus, outcome: ImageOutcome, reason: Reason) -> PatchStanding<'static> {
    (status, Some(outcome), Some(Cow::Owned(reason)))
}

/// How a platform ended whose patch was published.
fn published(evidence: Option<&Evidence>) -> PatchStanding<'static> {
    let after = evidence.map(Evidence::after);
    let left = evidence.map_or(0, Evidence::fixable_left);
    let (outcome, reason) = match after {
        Some(ScanVerdict::Unsupported(why)) => (
            ImageOutcome::Unsupported,
            Some(Reason::Unsupported(why.clone())),
        ),
        Some(ScanVerdict::Skip(skip @ ScanSkip::EndOfServiceLife)) => {
            (ImageOutcome::EndOfLife, Some(Reason::Skip(*skip)))
        }
        _ if left > 0 => (ImageOutcome::Vulnerable, Some(Reason::FixableLeft(left))),
        _ => (ImageOutcome::Patched, None),
    };
    (RowStatus::Succeeded, Some(outcome), reason.map(Cow::Owned))
}

/// How the platforms of an image stand together.
#[derive(Default)]
struct Statuses {
    seen: [bool; RowStatus::ALL.len()],
    is_mixed: bool,
}

impl Statuses {
    fn add(&mut self, status: RowStatus) {
        self.is_mixed |= !self.has(status) && self.seen.contains(&true);
        let places = RowStatus::ALL.iter().zip(&mut self.seen);
        for (_, seen) in places.filter(|(one, _)| **one == status) {
            *seen = true;
        }
    }

    fn has(&self, status: RowStatus) -> bool {
        let mut places = RowStatus::ALL.iter().zip(&self.seen);
        places.any(|(one, seen)| *one == status && *seen)
    }

    fn first(&self, of: &[RowStatus]) -> RowStatus {
        let found = of.iter().find(|status| self.has(**status));
        found.copied().unwrap_or(RowStatus::Unknown)
    }

    /// Scans have begun when one of them has.
    fn of_scans(&self) -> RowStatus {
        use RowStatus::{Canceled, Failed, Queued, Running, Succeeded};
        match self.first(&[Running, Queued, Failed, Canceled, Succeeded]) {
            Queued if self.is_mixed => Running,
            status => status,
        }
    }

    fn of_patches(&self) -> RowStatus {
        use RowStatus::{Canceled, Failed, Queued, Running, Skipped, Succeeded, Unknown};
        self.first(&[
            Running, Queued, Failed, Canceled, Succeeded, Unknown, Skipped,
        ])
    }
}
