//! What the results of the workers make together.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::document::CycleDocument;
use super::error::DocumentError;
use super::result::ShardResult;
use crate::cycle::image_name::ImageName;
use crate::cycle::report::{CycleReport, ImageReport};
use crate::cycle::row::StatusRow;
use crate::name::Digest;

/// The results of the workers of a cycle, put together: whatever their order, however often each
/// was given, however many workers did the same shard.
///
/// Of several outcomes of one image counts the one that says what the patch tag stands for, or
/// else the latest.
#[derive(Debug, Clone)]
pub struct Merge<'a> {
    document: &'a CycleDocument,
    results: &'a [ShardResult],
    outcomes: BTreeMap<&'a ImageName, Vec<&'a ImageReport>>,
}

impl<'a> Merge<'a> {
    /// Takes the results of a cycle.
    ///
    /// # Errors
    ///
    /// Fails when one of them does not belong to the cycle.
    pub fn new(
        document: &'a CycleDocument,
        results: &'a [ShardResult],
    ) -> Result<Self, DocumentError> {
        let mut outcomes: BTreeMap<&ImageName, Vec<&ImageReport>> = BTreeMap::new();
        for result in results {
            result.check(document)?;
            for image in result
                .images()
                .iter()
                .filter(|one| one.row.outcome.is_some())
            {
                let known = outcomes.entry(&image.row.image).or_default();
                if !known.contains(&image) {
                    known.push(image);
                }
            }
        }
        Ok(Self {
            document,
            results,
            outcomes,
        })
    }

    /// The patch tags of which the results do not agree what they stand for, to be looked up.
    pub fn disputed(&self) -> BTreeSet<&'a ImageName> {
        let disputed = self.outcomes.values().filter(|outcomes| outcomes.len() > 1);
        disputed
            .flatten()
            .filter_map(|image| image.row.patched_image.as_ref())
            .collect()
    }

    /// The report of the cycle, given what the disputed tags stand for.
    pub fn report(&self, found: &BTreeMap<ImageName, Digest>, now: DateTime<Utc>) -> CycleReport {
        let images = self.document.images().map(|(index, name, _)| {
            let outcomes = self.outcomes.get(&name).map_or(&[][..], Vec::as_slice);
            let stands = |image: &&&ImageReport| match &image.row.patched_image {
                Some(tag) if outcomes.len() > 1 => {
                    found.get(tag) == image.row.patched_digest.as_ref()
                }
                _ => true,
            };
            let chosen = outcomes
                .iter()
                .filter(stands)
                .max_by_key(|image| image.rank());
            let chosen = chosen.or_else(|| outcomes.iter().max_by_key(|image| image.rank()));
            chosen.map_or_else(|| self.missing(index, name), |image| (*image).clone())
        });
        let left_out = self.document.plan().left_out().iter();
        let left_out = left_out.map(|left_out| ImageReport::of_row(StatusRow::left_out(left_out)));
        let started = self.results.iter().filter_map(ShardResult::started);
        CycleReport::put_together(
            self.document,
            started.chain([self.document.created()]).min(),
            now,
            images.chain(left_out).collect(),
        )
    }

    /// What is said of an image that no worker has said anything of.
    fn missing(&self, index: u32, name: ImageName) -> ImageReport {
        let shard = self.document.shard_of(index);
        let shard = shard.map_or(0, |shard| shard.number().get());
        ImageReport::of_row(StatusRow::without_result(name, shard))
    }
}
