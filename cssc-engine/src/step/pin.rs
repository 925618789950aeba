//! Pinning a plan: what its tags stand for, platform by platform.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cssc_core::cycle::{
    CycleImage, CyclePlatform, LatestPatch, LeftOut, LeftOutReason, PlatformPatch,
};
use cssc_core::workflow::PlatformSelection;
use cssc_core::{Digest, Repository, Tag};
use cssc_registry::{Image, IndexEntry, Reference, RegistryClient};

use super::content::{self, ContentError};
use super::{StepContext, origin};

/// A row of the plan, of whose content nothing is known yet.
pub(crate) struct Row {
    pub(crate) repository: Repository,
    pub(crate) tag: Tag,
    pub(crate) latest_patch: Option<Tag>,
    pub(crate) patch_tag: Option<Tag>,
}

/// The rows, pinned, in order; and those that cannot be.
pub(crate) fn pin(
    rows: &[Row],
    selection: &PlatformSelection,
    measures: bool,
    context: &StepContext<'_>,
) -> (Vec<CycleImage>, Vec<LeftOut>) {
    let next = AtomicUsize::new(0);
    let pinned = Mutex::new(Vec::with_capacity(rows.len()));
    thread::scope(|scope| {
        for _ in 0..context.list.at_a_time().get().min(rows.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(place).filter(|_| !context.stop.is_stopped()) else {
                        return;
                    };
                    let result = pin_row(row, selection, measures, context.registry);
                    if let Ok(mut pinned) = pinned.lock() {
                        pinned.push((place, result));
                    }
                }
            });
        }
    });
    let mut pinned = pinned.into_inner().unwrap_or_default();
    pinned.sort_by_key(|(place, _)| *place);
    let (mut images, mut left_out) = (Vec::new(), Vec::new());
    for (place, result) in pinned {
        match (result, rows.get(place)) {
            (Ok(image), _) => images.push(image),
            (Err(reason), Some(row)) => left_out.push(LeftOut {
                repository: row.repository.clone(),
                tag: row.tag.to_string(),
                reason,
            }),
            (Err(_), None) => {}
        }
    }
    (images, left_out)
}

fn pin_row(
    row: &Row,
    selection: &PlatformSelection,
    measures: bool,
    registry: &dyn RegistryClient,
) -> Result<CycleImage, LeftOutReason> {
    let repository = &row.repository;
    let original = Content::read(registry, repository, &row.tag)?;
    let mut entries = original.platforms.iter();
    if !entries.any(|entry| selection.takes(&entry.platform)) {
        return Err(LeftOutReason::PlatformNotSelected);
    }
    let mut patch = match &row.latest_patch {
        Some(tag) => Some(Content::read(registry, repository, tag)?),
        None => None,
    };
    let (mut platforms, mut unselected) = (Vec::new(), Vec::new());
    for entry in &original.platforms {
        let held = patch.as_ref().and_then(|patch| {
            let mut held = patch.platforms.iter();
            held.find(|one| one.platform == entry.platform).cloned()
        });
        let is_selected = selection.takes(&entry.platform);
        let mut platform = CyclePlatform {
            platform: entry.platform.clone(),
            digest: entry.digest.clone(),
            patch: None,
            size: match original.size {
                Some(size) => size,
                None if measures && is_selected => {
                    content::manifest(registry, repository, &entry.digest)?.size()
                }
                None => 0,
            },
        };
        if let (Some(held), Some(patch)) = (held, &mut patch) {
            let place = (&original, entry);
            let (origin, is_named) = made_from(registry, repository, place, (patch, &held))?;
            patch.names_origin |= is_named;
            let digest = held.digest;
            platform.patch = Some(PlatformPatch { digest, origin });
        }
        if is_selected {
            platforms.push(platform);
        } else {
            unselected.push(platform);
        }
    }
    Ok(CycleImage {
        repository: repository.clone(),
        tag: row.tag.clone(),
        digest: original.digest,
        platforms,
        unselected,
        latest_patch: row
            .latest_patch
            .clone()
            .zip(patch)
            .map(|(tag, patch)| LatestPatch {
                tag,
                digest: patch.digest,
                is_foreign: !patch.names_origin,
            }),
        patch_tag: row.patch_tag.clone(),
    })
}

/// What a tag stands for.
struct Content {
    digest: Digest,
    platforms: Vec<IndexEntry>,
    /// How large a manifest's layers are; an index does not say.
    size: Option<u64>,
    /// Whether it says what it was made from.
    names_origin: bool,
    /// Whether it is an index that this program has made.
    is_own_index: bool,
}

impl Content {
    fn read(
        registry: &dyn RegistryClient,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Self, ContentError> {
        let reference = Reference::Tag(tag.clone());
        let (digest, image) = content::image(registry, repository, &reference)?;
        match image {
            Image::Manifest(manifest) => {
                let config = content::config(registry, repository, &manifest)?;
                let platform = config.platform().ok_or_else(|| {
                    ContentError::NotAnImage("its configuration names no platform".to_owned())
                })?;
                let platforms = vec![IndexEntry {
                    platform,
                    digest: digest.clone(),
                }];
                Ok(Self {
                    digest,
                    platforms,
                    size: Some(manifest.size()),
                    names_origin: origin::is_named(&manifest.annotations())
                        || origin::is_named(&origin::labels(&config)),
                    is_own_index: false,
                })
            }
            Image::Index(index) => Ok(Self {
                digest,
                platforms: index.platforms().to_vec(),
                size: None,
                names_origin: origin::is_named(&index.annotations()),
                is_own_index: index.annotations().contains_key(origin::DIGEST),
            }),
            _ => Err(ContentError::NotAnImage("of an unknown kind".to_owned())),
        }
    }
}

/// The manifest that a patch of a platform was made from, as it says itself or as its layers show;
/// and whether it says so.
fn made_from(
    registry: &dyn RegistryClient,
    repository: &Repository,
    (original, entry): (&Content, &IndexEntry),
    (patch_content, held): (&Content, &IndexEntry),
) -> Result<(Option<Digest>, bool), ContentError> {
    // An index keeps the original's manifest of a platform that was never patched.
    if held.digest == entry.digest {
        return Ok((Some(entry.digest.clone()), false));
    }
    // Copa may name the index of an original for every platform of it.
    let of_platform = |named: Digest| {
        if named == original.digest {
            entry.digest.clone()
        } else {
            named
        }
    };
    let patch = content::manifest(registry, repository, &held.digest)?;
    if let Some(named) = origin::named(&patch.annotations()) {
        return Ok((Some(of_platform(named)), true));
    }
    // What an index of ours holds without a word of its origin is an original of that time.
    if patch_content.is_own_index {
        return Ok((Some(held.digest.clone()), true));
    }
    let config = content::config(registry, repository, &patch)?;
    let labels = origin::labels(&config);
    if let Some(named) = origin::named(&labels) {
        return Ok((Some(of_platform(named)), true));
    }
    let before = content::manifest(registry, repository, &entry.digest)?;
    let before = content::config(registry, repository, &before)?;
    let origin = config.begins_with(&before).then(|| entry.digest.clone());
    Ok((origin, origin::is_named(&labels)))
}
