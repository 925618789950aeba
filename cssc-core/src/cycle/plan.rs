//! The plan of a cycle: its images, which of them share their work, and what was left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{CycleId, RunId, Task};
use super::image::CycleImage;
use super::step::PinnedPolicy;
use super::version::Version;
use crate::inventory::ListingError;
use crate::name::{Digest, Platform, Repository, Tag};
use crate::plan::SkipReason;

/// The images of a cycle, pinned, and what the policy names or matches beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PlanDocument", into = "PlanDocument")]
pub struct CyclePlan {
    images: Vec<CycleImage>,
    left_out: Vec<LeftOut>,
    policy: Option<PinnedPolicy>,
    /// For each image, whether somebody else takes care of it.
    elsewhere: Vec<bool>,
    /// For each image, the first one of its group.
    leaders: Vec<u32>,
    /// The images of each group, by its first.
    groups: BTreeMap<u32, Vec<u32>>,
    /// For each image, how many platforms the images before it have.
    platforms_before: Vec<u32>,
    /// For each platform of each image, the first image of its group for which the same manifest
    /// is scanned.
    scanned_for: Vec<u32>,
}

/// What is stored of a plan: the rest follows from it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlanDocument {
    #[serde(default)]
    version: Version,
    images: Vec<CycleImage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<LeftOut>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<PinnedPolicy>,
    /// The numbers of images that somebody else takes care of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    elsewhere: Vec<u32>,
}

/// What the policy names or matches and the cycle does not take care of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// The repository.
    pub repository: Repository,
    /// The tag, or what the policy says in its place: a glob, or `*` for all tags.
    pub tag: String,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why something is left out. Prints as one line for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LeftOutReason {
    /// There is nothing of this name.
    NotFound,
    /// The tag cannot be patched.
    Skipped(SkipReason),
    /// The tags of the repository, or the manifest, could not be read.
    Unavailable(ListingError),
    /// The tag stands for no container image, but for this.
    NotAnImage(String),
    /// The workflow takes care of none of its platforms.
    PlatformNotSelected,
}

/// The code of platforms that a workflow does not take care of, and of images without others.
pub(super) const PLATFORM_NOT_SELECTED: &str = "platform-not-selected";

impl LeftOutReason {
    /// The reason as programs compare it: `not-found`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Skipped(reason) => reason.as_str(),
            Self::Unavailable(_) => "unavailable",
            Self::NotAnImage(_) => "not-an-image",
            Self::PlatformNotSelected => PLATFORM_NOT_SELECTED,
        }
    }
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("the registry has no image of this name"),
            Self::Skipped(reason) => f.write_str(reason.describe()),
            Self::Unavailable(error) => error.fmt(f),
            Self::NotAnImage(what) => write!(f, "not a container image: {what}"),
            Self::PlatformNotSelected => {
                f.write_str("the workflow takes care of none of its platforms")
            }
        }
    }
}

impl From<PlanDocument> for CyclePlan {
    fn from(document: PlanDocument) -> Self {
        let elsewhere: BTreeSet<u32> = document.elsewhere.into_iter().collect();
        Self {
            policy: document.policy,
            ..Self::new(document.images, document.left_out)
        }
        .part(|image| !elsewhere.contains(&image))
    }
}

impl From<CyclePlan> for PlanDocument {
    fn from(plan: CyclePlan) -> Self {
        Self {
            version: Version,
            elsewhere: plan.elsewhere().collect(),
            policy: plan.policy,
            images: plan.images,
            left_out: plan.left_out,
        }
    }
}

impl CyclePlan {
    /// A plan of these images. One that is named twice is taken once, and one without platforms,
    /// or with one platform twice, is none.
    pub fn new(images: Vec<CycleImage>, left_out: Vec<LeftOut>) -> Self {
        let mut plan = Self {
            images: Vec::with_capacity(images.len()),
            left_out,
            policy: None,
            elsewhere: Vec::new(),
            leaders: Vec::new(),
            groups: BTreeMap::new(),
            platforms_before: Vec::new(),
            scanned_for: Vec::new(),
        };
        let mut names = BTreeSet::new();
        let mut before = 0_u32;
        for (index, image) in (0_u32..).zip(images.into_iter().filter(is_whole).filter(|image| {
            let name = (image.repository.clone(), image.tag.clone());
            names.insert(name)
        })) {
            plan.platforms_before.push(before);
            let count = u32::try_from(image.platforms.len()).unwrap_or(u32::MAX);
            before = before.saturating_add(count);
            plan.images.push(image);
            plan.elsewhere.push(false);
            plan.leaders.push(index);
        }
        plan.group();
        plan
    }

    /// Says which policy it follows.
    #[must_use]
    pub fn following(mut self, policy: Option<PinnedPolicy>) -> Self {
        self.policy = policy;
        self
    }

    /// The part of it that is to be done here; the other images are taken care of elsewhere, and
    /// keep their numbers. Images that share their work belong to the same part.
    #[must_use]
    pub fn part(mut self, is_here: impl Fn(u32) -> bool) -> Self {
        for (leader, elsewhere) in self.leaders.iter().zip(&mut self.elsewhere) {
            *elsewhere = !is_here(*leader);
        }
        self
    }

    /// Images of one repository whose tags stand for the same manifest or index form a group.
    fn group(&mut self) {
        type Key<'a> = (&'a Repository, &'a Digest, Vec<(&'a Platform, &'a Digest)>);
        let mut leaders: BTreeMap<Key<'_>, u32> = BTreeMap::new();
        let mut scanned: BTreeMap<(u32, usize, &Digest), u32> = BTreeMap::new();
        for ((index, image), leader) in (0_u32..).zip(&self.images).zip(&mut self.leaders) {
            let platforms = image.platforms.iter();
            let platforms = platforms.map(|one| (&one.platform, &one.digest)).collect();
            *leader = *leaders
                .entry((&image.repository, &image.digest, platforms))
                .or_insert(index);
            self.groups.entry(*leader).or_default().push(index);
            for (place, platform) in image.platforms.iter().enumerate() {
                let (_, digest) = image.scanned(platform);
                let first = scanned.entry((*leader, place, digest)).or_insert(index);
                self.scanned_for.push(*first);
            }
        }
    }

    /// The images.
    pub fn images(&self) -> &[CycleImage] {
        &self.images
    }

    /// The policy that it follows, where that is known.
    pub fn policy(&self) -> Option<&PinnedPolicy> {
        self.policy.as_ref()
    }

    /// The images that are taken care of here, with their numbers.
    pub(super) fn here(&self) -> impl Iterator<Item = (u32, &CycleImage)> {
        let images = (0_u32..).zip(&self.images).zip(&self.elsewhere);
        images
            .filter(|(_, elsewhere)| !**elsewhere)
            .map(|(image, _)| image)
    }

    fn elsewhere(&self) -> impl Iterator<Item = u32> {
        let images = (0_u32..).zip(&self.elsewhere);
        images
            .filter(|(_, elsewhere)| **elsewhere)
            .map(|(image, _)| image)
    }

    /// What is left out.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// An image.
    pub fn image(&self, index: u32) -> Option<&CycleImage> {
        self.images.get(usize::try_from(index).ok()?)
    }

    /// The first image of the group that an image belongs to.
    pub(super) fn leader(&self, image: u32) -> u32 {
        usize::try_from(image)
            .ok()
            .and_then(|image| self.leaders.get(image))
            .map_or(image, |leader| *leader)
    }

    /// The images of a group.
    pub(super) fn members(&self, leader: u32) -> &[u32] {
        self.groups.get(&leader).map_or(&[], Vec::as_slice)
    }

    /// The images of a group, with their numbers.
    pub(super) fn group_of(&self, image: u32) -> impl Iterator<Item = (u32, &CycleImage)> {
        self.members(self.leader(image))
            .iter()
            .filter_map(|member| Some((*member, self.image(*member)?)))
    }

    /// The tag that names a group: the first in byte order.
    pub(super) fn group_tag(&self, leader: u32) -> Option<&Tag> {
        self.group_of(leader).map(|(_, image)| &image.tag).min()
    }

    /// The number of a platform among those of all images.
    pub(super) fn ordinal(&self, image: u32, place: usize) -> u32 {
        let before = usize::try_from(image)
            .ok()
            .and_then(|image| self.platforms_before.get(image));
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        before.copied().unwrap_or(image).saturating_add(place)
    }

    /// The run that scans a platform of an image: that of the first of its group for which the
    /// same manifest is scanned.
    pub(super) fn scan_run(&self, cycle: CycleId, image: u32, place: usize) -> RunId {
        let first = usize::try_from(self.ordinal(image, place))
            .ok()
            .and_then(|ordinal| self.scanned_for.get(ordinal));
        let first = first.copied().unwrap_or(image);
        self.name(RunId::scan(cycle, first), image, place)
    }

    /// The images that a run works for.
    pub(super) fn served_by(&self, run: &RunId) -> Vec<u32> {
        let Some(image) = run.image() else {
            return Vec::new();
        };
        let members = self.members(self.leader(image)).iter().copied();
        match run.task() {
            Task::Scan => members
                .filter(|one| self.is_scanned_for(*one, image))
                .collect(),
            _ => members.collect(),
        }
    }

    /// Whether any platform of an image is scanned by runs that are named by another.
    fn is_scanned_for(&self, image: u32, first: u32) -> bool {
        let begin = usize::try_from(self.ordinal(image, 0)).unwrap_or(usize::MAX);
        let count = self.image(image).map_or(0, |image| image.platforms.len());
        let scanned_for = self.scanned_for.get(begin..begin.saturating_add(count));
        scanned_for.is_some_and(|scanned_for| scanned_for.contains(&first))
    }

    /// The run that patches a platform of an image, which is one for its group.
    pub(super) fn patch_run(&self, cycle: CycleId, image: u32, place: usize) -> RunId {
        self.name(self.publishing_run(cycle, image), image, place)
    }

    /// The run that publishes: that of an index waits for the runs of its platforms.
    pub(super) fn publishing_run(&self, cycle: CycleId, image: u32) -> RunId {
        RunId::patch(cycle, self.leader(image))
    }

    /// Only what belongs to an index is named with a platform.
    fn name(&self, run: RunId, image: u32, place: usize) -> RunId {
        let image = self.image(image).filter(|image| image.is_index());
        match image.and_then(|image| image.platforms.get(place)) {
            Some(one) => run.for_platform(one.platform.clone()),
            None => run,
        }
    }
}

/// Whether there is a platform, none stands twice, and the image is an index or one manifest.
fn is_whole(image: &CycleImage) -> bool {
    let mut platforms: Vec<&Platform> = image.platforms.iter().map(|one| &one.platform).collect();
    platforms.sort_unstable();
    let is_manifest = image.platforms.iter().any(|one| one.digest == image.digest);
    let count = platforms.len();
    platforms.dedup();
    count == platforms.len() && (count == 1 || (count > 1 && !is_manifest))
}
