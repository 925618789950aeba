//! Ends a cycle that several workers did: puts their results together.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cssc_core::Tag;
use cssc_core::cycle::{CycleDocument, CycleReport, DocumentError, Merge, ShardResult};
use cssc_registry::{Reference, RegistryClient, RegistryError};

use crate::records::Records;

/// Why a cycle could not be finished.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum FinishError {
    /// A result does not belong to the cycle.
    Document(#[from] DocumentError),
    /// The registry does not say what it must be asked for.
    Registry(#[from] RegistryError),
}

/// Puts the results of the workers of a cycle together, and says since when findings are open by the
/// records of earlier cycles.
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
    let earlier = records.cycles().filter(|cycle| *cycle < document.cycle());
    report.follow(earlier.filter_map(|cycle| records.read(client, cycle).ok().flatten()));
    Ok(report)
}
