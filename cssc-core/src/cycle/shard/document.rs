//! What every worker of a cycle is told.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Shard;
use super::assign::assign;
use super::error::DocumentError;
use super::result::ShardResult;
use crate::cycle::id::{CycleId, RunId};
use crate::cycle::image::CycleImage;
use crate::cycle::image_name::ImageName;
use crate::cycle::machine::Cycle;
use crate::cycle::options::{CycleOptions, Until};
use crate::cycle::outcome::ImageOutcome;
use crate::cycle::plan::CyclePlan;
use crate::cycle::reason::Reason;
use crate::cycle::record::{Cause, CycleRecord};
use crate::cycle::status::Status;
use crate::cycle::version::Version;
use crate::name::Tag;
use crate::tags::TagConvention;
use crate::workflow::WorkflowSettings;

/// A planned cycle, to be done by several workers: its images, pinned, and which shard does which.
///
/// It is read as foreign input: what no plan says is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct CycleDocument(Unchecked);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unchecked {
    version: Version,
    cycle: CycleId,
    /// The key of the registry.
    registry: String,
    cause: Cause,
    created: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Until>,
    #[serde(default, skip_serializing_if = "WorkflowSettings::is_empty")]
    settings: WorkflowSettings,
    shards: NonZeroU32,
    /// What went wrong with the plan, which goes on without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<Reason>,
    plan: CyclePlan,
    /// For each image of the plan, its shard.
    shard_of: Vec<u32>,
}

impl TryFrom<Unchecked> for CycleDocument {
    type Error = DocumentError;

    fn try_from(document: Unchecked) -> Result<Self, DocumentError> {
        document.check()?;
        Ok(Self(document))
    }
}

impl From<CycleDocument> for Unchecked {
    fn from(document: CycleDocument) -> Self {
        document.0
    }
}

impl CycleDocument {
    /// The document of a cycle that was told to [end with its plan](CycleOptions::plan_only), for
    /// the registry with this [key](crate::Registry::key).
    ///
    /// # Errors
    ///
    /// Fails when there is no plan, or one over its limit.
    pub fn new(cycle: &Cycle, registry: &str, shards: NonZeroU32) -> Result<Self, DocumentError> {
        let record = cycle.record();
        let trigger = cycle.run(&RunId::trigger(record.id()));
        let problem = match trigger.map(|run| (run.status(), run.reason())) {
            Some((Status::Succeeded, None)) => None,
            Some((Status::Failed, Some(reason @ Reason::Unavailable(_)))) => Some(reason.clone()),
            Some((_, Some(reason))) => return Err(DocumentError::no_plan(reason)),
            _ => return Err(DocumentError::no_plan("it was not finished")),
        };
        let plan = cycle.plan().cloned().unwrap_or_default().part(|_| true);
        Ok(Self(Unchecked {
            version: Version,
            cycle: record.id(),
            registry: registry.to_owned(),
            cause: record.cause(),
            created: record.created(),
            until: record.options().until,
            settings: record.options().settings.clone(),
            shards,
            problem,
            shard_of: assign(&plan, shards),
            plan,
        }))
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// Fails for what is no such document, is cut off, was written by a newer version, or says
    /// what no plan says.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DocumentError> {
        serde_json::from_slice::<Unchecked>(bytes)
            .map_err(|error| DocumentError::unreadable("cycle document", &error))?
            .try_into()
    }

    /// Checks that it is of the registry with this key.
    ///
    /// # Errors
    ///
    /// Fails when it is of another one.
    pub fn check_registry(&self, key: &str) -> Result<(), DocumentError> {
        if self.0.registry == key {
            Ok(())
        } else {
            Err(DocumentError::other_registry(&self.0.registry, key))
        }
    }

    /// The name of the cycle.
    pub fn cycle(&self) -> CycleId {
        self.0.cycle
    }

    /// When it was planned.
    pub fn created(&self) -> DateTime<Utc> {
        self.0.created
    }

    /// Why it runs.
    pub fn cause(&self) -> Cause {
        self.0.cause
    }

    /// How many shards there are.
    pub fn shards(&self) -> NonZeroU32 {
        self.0.shards
    }

    /// Where the cycle stops short.
    pub fn until(&self) -> Option<Until> {
        self.0.until
    }

    /// What is planned.
    pub fn plan(&self) -> &CyclePlan {
        &self.0.plan
    }

    /// What went wrong with the plan, which goes on without it.
    pub fn problem(&self) -> Option<&Reason> {
        self.0.problem.as_ref()
    }

    /// The shard of an image, by its number in the plan.
    pub(super) fn shard_of(&self, image: u32) -> Option<Shard> {
        let of = self.0.shard_of.get(usize::try_from(image).ok()?)?;
        Shard::new(NonZeroU32::new(*of)?, self.0.shards)
    }

    /// The images, with their numbers and names.
    pub(super) fn images(&self) -> impl Iterator<Item = (u32, ImageName, &CycleImage)> {
        let images = (0_u32..).zip(self.0.plan.images());
        images.map(|(index, image)| (index, image.name(), image))
    }

    /// The cycle as one worker does it: the images of its shard and nothing else. Of those the
    /// ones that an earlier [result](ShardResult) of the same shard says are done are left out, but
    /// for those that failed or were canceled.
    ///
    /// The options say how this worker goes about it, and take precedence over what the
    /// workflow says.
    ///
    /// # Errors
    ///
    /// Fails when there is no such shard, and when the result belongs to something else.
    pub fn cycle_of(
        &self,
        shard: Shard,
        earlier: Option<&ShardResult>,
        options: CycleOptions,
        now: DateTime<Utc>,
    ) -> Result<Cycle, DocumentError> {
        let document = &self.0;
        if shard.count() != document.shards {
            return Err(DocumentError::no_such_shard(shard, document.shards.get()));
        }
        if let Some(earlier) = earlier {
            earlier.check(self)?;
            if earlier.shard() != shard {
                return Err(DocumentError::no_such_shard(
                    earlier.shard(),
                    document.shards.get(),
                ));
            }
        }
        let done: BTreeSet<&ImageName> = earlier
            .into_iter()
            .flat_map(ShardResult::images)
            .filter(|image| {
                !matches!(
                    image.row.outcome,
                    None | Some(ImageOutcome::Failed | ImageOutcome::Canceled)
                )
            })
            .map(|image| &image.row.image)
            .collect();
        let plan = &document.plan;
        let is_open = |leader: u32| {
            self.shard_of(leader) == Some(shard)
                && plan
                    .group_of(leader)
                    .any(|(_, image)| !done.contains(&image.name()))
        };
        let part = CyclePlan::new(plan.images().to_vec(), Vec::new())
            .following(plan.policy().cloned())
            .part(is_open);
        let record = CycleRecord {
            version: Version,
            id: document.cycle,
            cause: document.cause,
            options: CycleOptions {
                until: document.until,
                settings: WorkflowSettings {
                    // Whoever finishes keeps the record.
                    record: None,
                    ..options.settings.or(&document.settings)
                },
                ..options
            },
            status: Status::Queued,
            created: now,
            begun: earlier.map_or_else(Vec::new, |earlier| earlier.begun().to_vec()),
            started: None,
            finished: None,
        };
        Ok(Cycle::planned_elsewhere(record, part, now))
    }
}

impl Unchecked {
    fn check(&self) -> Result<(), DocumentError> {
        let images = self.plan.images();
        if self.shard_of.len() != images.len() {
            return Err(DocumentError::changed(format_args!(
                "it has {} images, and says of {} to which shard they belong",
                images.len(),
                self.shard_of.len()
            )));
        }
        for ((index, image), shard) in (0_u32..).zip(images).zip(&self.shard_of) {
            let leader = usize::try_from(self.plan.leader(index)).unwrap_or(usize::MAX);
            if *shard == 0 || *shard > self.shards.get() || self.shard_of.get(leader) != Some(shard)
            {
                return Err(DocumentError::changed(format_args!(
                    "`{}:{}` cannot be in shard {shard}",
                    image.repository, image.tag
                )));
            }
            self.check_image(image)?;
        }
        Ok(())
    }

    /// Whoever can change the document must not choose which tags are written.
    fn check_image(&self, image: &CycleImage) -> Result<(), DocumentError> {
        let name = || format!("`{}:{}`", image.repository, image.tag);
        let convention = self.plan.policy().map(|policy| policy.tag_convention);
        let latest = image.latest_patch.as_ref().map(|patch| &patch.tag);
        for tag in image.patch_tag.iter().chain(latest) {
            if !is_patch_of(tag, &image.tag, convention) {
                let name = name();
                return Err(DocumentError::changed(format_args!(
                    "`{tag}` is no patch tag of {name}"
                )));
            }
        }
        Ok(())
    }
}

/// Whether a tag is a patch tag of an original, by the convention where that is known.
fn is_patch_of(tag: &Tag, original: &Tag, convention: Option<TagConvention>) -> bool {
    let mut conventions = TagConvention::ALL.into_iter();
    conventions.any(|one| {
        convention.is_none_or(|convention| convention == one)
            && one
                .parse(tag.borrowed())
                .is_some_and(|patch| patch.original() == original.borrowed())
    })
}
