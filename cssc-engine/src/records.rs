//! What is kept in the registry itself of cycles that have ended, so that it can be told on any
//! machine.
//!
//! A record is the report of a cycle, as an artifact under the tag `<cycle>.<8 hex digits of its
//! digest>`. Of one cycle there is one from each who finished it: none overwrites what another has
//! written, and whoever reads puts them together.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use cssc_core::cycle::{CycleFigures, CycleId, CycleReport};
use cssc_core::name::NameError;
use cssc_core::{Listing, Repository, Tag};
use cssc_registry::{
    Artifact, Reference, RegistryClient, RegistryError, TagDeletion, delete_tag, digest,
};

use crate::step::content;

/// How many earlier cycles are shown beside one.
pub(crate) const SHOWN_EARLIER: usize = 29;

/// The repository that holds the records.
pub const RECORD_REPOSITORY: &str = "csscpolicies/patchcycles";
/// What a record says it is.
pub const RECORD_ARTIFACT_TYPE: &str = "application/vnd.cssc.cycle.v1+json";
/// How many cycles are kept unless told otherwise.
pub const DEFAULT_KEPT: NonZeroU32 = NonZeroU32::new(400).unwrap();

/// How many hexadecimal digits of its digest tell the records of one cycle apart.
const DIGEST_LEN: usize = 8;

/// The records of a registry, listed once. The default knows of none: with it a record can be
/// written where they cannot be listed, as some registries answer for a repository that is not there yet.
#[derive(Debug, Default)]
pub struct Records {
    /// The records of each cycle.
    tags: BTreeMap<CycleId, Vec<Tag>>,
}

fn repository() -> Result<Repository, RegistryError> {
    RECORD_REPOSITORY
        .parse()
        .map_err(|error: NameError| RegistryError::input(error.to_string()))
}

impl Records {
    /// Lists the records; there may be none.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not say.
    pub fn list(client: &dyn RegistryClient) -> Result<Self, RegistryError> {
        let repository = repository()?;
        let mut tags: BTreeMap<CycleId, Vec<Tag>> = BTreeMap::new();
        match client.list_tags(&repository) {
            Listing::Found(found) => {
                for tag in &found {
                    // What has another name somebody else has put there.
                    if let Some(cycle) = cycle_of(tag.as_str()) {
                        tags.entry(cycle).or_default().push(tag.to_tag());
                    }
                }
            }
            Listing::Absent => {}
            Listing::Unavailable(reason) => {
                let message = format!("cannot list `{repository}`: {reason}");
                return Err(RegistryError::unavailable(message));
            }
        }
        Ok(Self { tags })
    }

    /// The cycles of which there is a record, the newest first.
    pub fn cycles(&self) -> impl Iterator<Item = CycleId> {
        self.tags.keys().rev().copied()
    }

    /// What the records of a cycle say together; none when there is none.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not say, and for a record that cannot be read: damaged, or of a
    /// newer version.
    pub fn read(
        &self,
        client: &dyn RegistryClient,
        cycle: CycleId,
    ) -> Result<Option<CycleReport>, RegistryError> {
        let mut report: Option<CycleReport> = None;
        for tag in self.tags.get(&cycle).into_iter().flatten() {
            let record = read_one(client, cycle, tag)?;
            report = Some(match report {
                Some(known) => known.merge(record),
                None => record,
            });
        }
        Ok(report)
    }

    /// The cycles before this one in numbers, the newest first: as many as are shown.
    ///
    /// # Errors
    ///
    /// Fails as [`read`](Self::read) does.
    pub fn earlier(
        &self,
        client: &dyn RegistryClient,
        cycle: CycleId,
    ) -> Result<Vec<CycleFigures>, RegistryError> {
        let earlier = self.cycles().filter(|known| *known < cycle);
        let reports = earlier.filter_map(|known| self.read(client, known).transpose());
        let figures = reports.map(|report| report.map(|report| report.figures()));
        figures.take(SHOWN_EARLIER).collect()
    }

    /// Adds a record, and removes those of the oldest cycles when there are more than are to be
    /// kept. Where the record is kept.
    ///
    /// # Errors
    ///
    /// Fails when the registry refuses the record. What cannot be removed is removed another time.
    pub fn write(
        &mut self,
        client: &dyn RegistryClient,
        report: &CycleReport,
        keep: NonZeroU32,
    ) -> Result<Tag, RegistryError> {
        let document = serde_json::to_vec(report)
            .map_err(|error| RegistryError::input(format!("cannot write a record: {error}")))?;
        if u64::try_from(document.len()).unwrap_or(u64::MAX) > content::MAX_DOCUMENT_LEN {
            return Err(RegistryError::input(format!(
                "the record has {} MB, and records of more than {} MB are not read back",
                document.len() >> 20,
                content::MAX_DOCUMENT_LEN >> 20
            )));
        }
        let digest = digest::of(&document);
        let digest = digest.hex().get(..DIGEST_LEN).unwrap_or_default();
        let tag: Tag = format!("{}.{digest}", report.cycle())
            .parse()
            .map_err(|error: NameError| RegistryError::input(error.to_string()))?;
        let repository = repository()?;
        let reference = Reference::Tag(tag.clone());
        Artifact::new(RECORD_ARTIFACT_TYPE)
            .layer(RECORD_ARTIFACT_TYPE, document)
            .push(client, &repository, Some(&reference))?;
        let tags = self.tags.entry(report.cycle()).or_default();
        if !tags.contains(&tag) {
            tags.push(tag.clone());
        }
        let keep = usize::try_from(keep.get()).unwrap_or(usize::MAX);
        while self.tags.len() > keep
            && let Some((_, old)) = self.tags.pop_first()
        {
            for old in old {
                let _ = delete_tag(client, &repository, &old);
            }
        }
        Ok(tag)
    }

    /// Removes all records; those that stay.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not answer.
    pub fn delete(self, client: &dyn RegistryClient) -> Result<Vec<Tag>, RegistryError> {
        let (repository, mut kept) = (repository()?, Vec::new());
        for tag in self.tags.into_values().flatten() {
            match delete_tag(client, &repository, &tag)? {
                TagDeletion::Removed => {}
                _ => kept.push(tag),
            }
        }
        Ok(kept)
    }
}

fn read_one(
    client: &dyn RegistryClient,
    cycle: CycleId,
    tag: &Tag,
) -> Result<CycleReport, RegistryError> {
    let repository = repository()?;
    let unreadable = |why: &dyn std::fmt::Display| {
        RegistryError::answer(format!(
            "the record `{repository}:{tag}` cannot be read: {why}"
        ))
    };
    let reference = Reference::Tag(tag.clone());
    let document = content::document(client, &repository, &reference)?;
    let document = document.ok_or_else(|| unreadable(&"it holds nothing"))?;
    let report: CycleReport =
        serde_json::from_slice(&document).map_err(|error| unreadable(&error))?;
    if report.cycle() != cycle {
        let other = format!("it is of the cycle `{}`", report.cycle());
        return Err(unreadable(&other));
    }
    Ok(report)
}

/// The cycle that a tag is a record of.
fn cycle_of(tag: &str) -> Option<CycleId> {
    let (cycle, digest) = tag.split_once('.')?;
    let is_digest = digest.len() == DIGEST_LEN && digest.bytes().all(|b| b.is_ascii_hexdigit());
    cycle.parse().ok().filter(|_| is_digest)
}
