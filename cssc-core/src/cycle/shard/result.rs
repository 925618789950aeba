//! What a worker reports of its shard.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Shard;
use super::document::CycleDocument;
use super::error::DocumentError;
use crate::cycle::id::CycleId;
use crate::cycle::image_name::ImageName;
use crate::cycle::machine::Cycle;
use crate::cycle::report::{CycleReport, ImageReport};
use crate::cycle::step::BegunPublication;
use crate::cycle::version::Version;

/// What a worker reports of its shard: what came of each image that it is done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardResult {
    version: Version,
    cycle: CycleId,
    shard: Shard,
    started: Option<DateTime<Utc>>,
    /// What the worker was about to publish: written down before the tag was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    begun: Vec<BegunPublication>,
    images: Vec<ImageReport>,
}

impl ShardResult {
    /// The result of a worker whose [cycle](CycleDocument::cycle_of) has come so far, with what an
    /// earlier one has done.
    pub fn new(cycle: &Cycle, shard: Shard, earlier: Option<&Self>) -> Self {
        let report = CycleReport::new(cycle);
        let now = report
            .images()
            .iter()
            .filter(|image| image.row.outcome.is_some());
        let mut images: BTreeMap<&ImageName, &ImageReport> = BTreeMap::new();
        for image in earlier.into_iter().flat_map(Self::images).chain(now) {
            images.insert(&image.row.image, image);
        }
        let begun = earlier.and_then(|earlier| earlier.started);
        Self {
            version: Version,
            cycle: report.cycle(),
            shard,
            started: begun.or(cycle.record().started()),
            begun: cycle.begun(),
            images: images.into_values().cloned().collect(),
        }
    }

    /// Reads a result.
    ///
    /// # Errors
    ///
    /// Fails for what is no such document, is cut off, or was written by a newer version.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DocumentError> {
        serde_json::from_slice(bytes)
            .map_err(|error| DocumentError::unreadable("result of a shard", &error))
    }

    /// The cycle.
    pub fn cycle(&self) -> CycleId {
        self.cycle
    }

    /// The shard.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// When the first step was begun.
    pub fn started(&self) -> Option<DateTime<Utc>> {
        self.started
    }

    /// What the worker was about to publish, whether it came to that or not.
    pub fn begun(&self) -> &[BegunPublication] {
        &self.begun
    }

    /// What came of each image that is done, by name.
    pub fn images(&self) -> &[ImageReport] {
        &self.images
    }

    /// Checks that it belongs to a cycle and says nothing that is not its own.
    ///
    /// # Errors
    ///
    /// Fails for the result of another cycle, for a shard that there is not, and for images that
    /// the shard does not have, or that were published under a tag that is not theirs.
    pub fn check(&self, document: &CycleDocument) -> Result<(), DocumentError> {
        if self.cycle != document.cycle() {
            return Err(DocumentError::other_cycle(self.cycle, document.cycle()));
        }
        if self.shard.count() != document.shards() {
            let count = document.shards().get();
            return Err(DocumentError::no_such_shard(self.shard, count));
        }
        let known: BTreeMap<ImageName, Option<ImageName>> = document
            .images()
            .filter(|(index, ..)| document.shard_of(*index) == Some(self.shard))
            .map(|(_, name, image)| {
                let patch = image.patch_tag.as_ref();
                let patch = patch.map(|tag| ImageName::of(&image.repository, tag));
                (name, patch)
            })
            .collect();
        for image in &self.images {
            let name = &image.row.image;
            let Some(patch) = known.get(name) else {
                let why = "which is not among its images";
                return Err(DocumentError::other_image(name, self.shard, why));
            };
            let published = image.row.patched_image.as_ref();
            if published.is_some_and(|published| patch.as_ref() != Some(published)) {
                let why = "published under a tag that is not its own";
                return Err(DocumentError::other_image(name, self.shard, why));
            }
        }
        Ok(())
    }
}
