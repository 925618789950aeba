//! Ends a cycle that several workers did: puts their results together and clears away what those
//! that were killed have left.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cssc_core::cycle::{
    CycleDocument, CycleReport, DocumentError, ImageName, Merge, ShardResult, Until, candidate_of,
};
use cssc_core::{Listing, Repository, Tag};
use cssc_registry::{
    ListOptions, Reference, RegistryClient, RegistryError, TagDeletion, delete_tag, list_all,
};

use crate::records::Records;
use crate::step::plan::candidates;

/// Why a cycle could not be finished.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum FinishError {
    /// A result does not belong to the cycle.
    Document(#[from] DocumentError),
    /// The registry does not say what it must be asked for.
    Registry(#[from] RegistryError),
}

/// Puts the results of the workers of a cycle together, removes the candidates that are left of it,
/// and says since when findings are open by the records of earlier cycles.
///
/// # Errors
///
/// Fails when a result does not belong to the cycle, and when the registry does not say what the
/// tags stand for of which results disagree.
pub fn finish(
    client: &dyn RegistryClient,
    document: &CycleDocument,
    results: &[ShardResult],
    records: &Records,
    list: &ListOptions,
    now: DateTime<Utc>,
) -> Result<CycleReport, FinishError> {
    let merge = Merge::new(document, results)?;
    let mut found = BTreeMap::new();
    for name in merge.disputed() {
        let Ok(tag) = name.tag.parse::<Tag>() else {
            continue;
        };
        if let Some(there) = client.resolve(&name.repository, &Reference::Tag(tag))? {
            found.insert(name.clone(), there.digest);
        }
    }
    let mut report = merge.report(&found, now);
    if document.until() != Some(Until::Scan) {
        report.set_residue(remove_candidates(client, document, list));
    }
    let earlier = records.cycles().filter(|cycle| *cycle < document.cycle());
    report.follow(earlier.filter_map(|cycle| records.read(client, cycle).ok().flatten()));
    Ok(report)
}

/// Removes what workers that were killed have left of the cycle; what stays.
fn remove_candidates(
    client: &dyn RegistryClient,
    document: &CycleDocument,
    list: &ListOptions,
) -> Vec<ImageName> {
    let images = document.plan().images().iter();
    let repositories: BTreeSet<&Repository> = images.map(|image| &image.repository).collect();
    let repositories: Vec<Repository> = repositories.into_iter().cloned().collect();
    let inventory = list_all(client, &repositories, list, |_| ());
    let mut residue = Vec::new();
    for (repository, listing) in inventory.iter() {
        // What cannot be listed now, the next plan looks at.
        let Listing::Found(tags) = listing else {
            continue;
        };
        for tag in candidates(tags) {
            if candidate_of(tag.borrowed()) != Some(document.cycle()) {
                continue;
            }
            match delete_tag(client, repository, &tag) {
                Ok(TagDeletion::Removed) => {}
                _ => residue.push(ImageName::of(repository, &tag)),
            }
        }
    }
    residue
}
