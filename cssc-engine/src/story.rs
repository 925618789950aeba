//! What a registry alone tells of an image and its patches.

use std::collections::{BTreeMap, BTreeSet};

use cssc_core::name::Platform;
use cssc_core::tags::{Lineages, PatchTag, TagSet};
use cssc_core::{Digest, Repository, Tag, TagConvention};
use cssc_registry::{Image, ImageManifest, Reference, Referrer, RegistryClient, RegistryError};
use serde::Serialize;
use serde_json::Value;

use crate::step::attachments::PREDICATE_TYPE;
use crate::step::content;
use crate::step::origin::{self, CYCLE, PREVIOUS};
use crate::step::statement::VEX;

/// An image with its patches, as they are in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Story {
    /// The repository.
    pub repository: Repository,
    /// The tag that was patched; none when it is not there any more.
    pub original: Option<Chapter>,
    /// Its patches, oldest first.
    pub patches: Vec<Chapter>,
}

impl Story {
    /// Reads the story of an image, which may be named by its original or by a patch of it; none
    /// when neither the original nor any patch is there.
    ///
    /// # Errors
    ///
    /// Fails as [`chapter`] does.
    pub fn read(
        client: &dyn RegistryClient,
        repository: &Repository,
        tag: &Tag,
        tags: &TagSet,
        convention: TagConvention,
    ) -> Result<Option<Self>, RegistryError> {
        let asked = tag.borrowed();
        let original = convention.parse(asked).map_or(asked, PatchTag::original);
        let mut patches = Vec::new();
        for patch in Lineages::new(tags, convention).patches(original) {
            patches.extend(chapter(client, repository, &patch.to_tag())?);
        }
        let original = chapter(client, repository, &original.to_tag())?;
        let is_there = original.is_some() || !patches.is_empty();
        Ok(is_there.then(|| Self {
            repository: repository.clone(),
            original,
            patches,
        }))
    }

    /// What a manifest was made from: the original of today, or an earlier one. None for what says
    /// nothing of it.
    pub fn is_of_todays_original(&self, origin: Option<&Digest>) -> Option<bool> {
        let mut platforms = self.original.iter().flat_map(|image| &image.platforms);
        let is_todays = |origin: &Digest| platforms.any(|platform| platform.digest == *origin);
        origin.map(is_todays)
    }
}

/// An image, or one patch of it, as it is in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Chapter {
    /// Its tag.
    pub tag: Tag,
    /// What the tag stands for: an index, or the manifest of the only platform.
    pub digest: Digest,
    /// What it says that it was made from.
    pub origin: Option<Digest>,
    /// The cycle that it says it was made by.
    pub cycle: Option<String>,
    /// The digest that it says the patch before had.
    pub previous: Option<Digest>,
    /// Its platforms, in the order of its index.
    pub platforms: Vec<PlatformChapter>,
}

/// A platform of an image or a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PlatformChapter {
    /// The platform; none where the image does not say it.
    pub platform: Option<Platform>,
    /// The manifest.
    pub digest: Digest,
    /// The manifest of the original that it says it was made from; none where it was not patched.
    pub origin: Option<Digest>,
    /// Vulnerabilities that are fixed since the original, as the attached VEX says.
    pub fixed: BTreeSet<String>,
    /// What is attached: predicate types of statements, else artifact types, each with how often.
    pub attached: BTreeMap<String, usize>,
}

/// Reads what a tag stands for; none when it is not there.
///
/// # Errors
///
/// Fails when the registry cannot be read. What is no container image is an
/// [invalid answer](RegistryError::is_invalid_answer).
pub fn chapter(
    client: &dyn RegistryClient,
    repository: &Repository,
    tag: &Tag,
) -> Result<Option<Chapter>, RegistryError> {
    let manifest = match client.get_manifest(repository, &Reference::Tag(tag.clone())) {
        Err(error) if error.is_absent() => return Ok(None),
        manifest => manifest?,
    };
    let digest = manifest.descriptor().digest;
    let image = Image::read(&manifest).map_err(|what| {
        RegistryError::answer(format!(
            "`{repository}:{tag}` is not a container image: {what}"
        ))
    })?;
    let mut platforms = Vec::new();
    let told = match &image {
        Image::Index(index) => {
            for entry in index.platforms() {
                let reference = Reference::Digest(entry.digest.clone());
                let manifest = client.get_manifest(repository, &reference)?;
                if let Ok(Image::Manifest(manifest)) = Image::read(&manifest) {
                    let told = Told::by(client, repository, &manifest)?;
                    let of = (Some(entry.platform.clone()), entry.digest.clone());
                    platforms.push(of_platform(client, repository, of, told.origin)?);
                }
            }
            Told::in_entries(&index.annotations())
        }
        Image::Manifest(manifest) => {
            let told = Told::by(client, repository, manifest)?;
            let config = content::config(client, repository, manifest).ok();
            let platform = config.and_then(|config| config.platform());
            let of = (platform, digest.clone());
            platforms.push(of_platform(client, repository, of, told.origin.clone())?);
            told
        }
        _ => Told::default(),
    };
    Ok(Some(Chapter {
        tag: tag.clone(),
        digest,
        origin: told.origin,
        cycle: told.cycle,
        previous: told.previous,
        platforms,
    }))
}

/// What a manifest or an index says of where it comes from.
#[derive(Default)]
struct Told {
    origin: Option<Digest>,
    cycle: Option<String>,
    previous: Option<Digest>,
}

impl Told {
    /// In the annotations, or where Docker's manifest has none in the labels of its configuration.
    fn by(
        client: &dyn RegistryClient,
        repository: &Repository,
        manifest: &ImageManifest,
    ) -> Result<Self, RegistryError> {
        if !manifest.is_docker() {
            return Ok(Self::in_entries(&manifest.annotations()));
        }
        match content::config(client, repository, manifest) {
            Ok(config) => Ok(Self::in_entries(&origin::labels(&config))),
            Err(content::ContentError::Registry(error)) => Err(error),
            Err(content::ContentError::NotAnImage(_)) => Ok(Self::default()),
        }
    }

    fn in_entries(entries: &BTreeMap<&str, &str>) -> Self {
        Self {
            origin: origin::named(entries),
            cycle: entries.get(CYCLE).map(|&cycle| cycle.to_owned()),
            previous: entries.get(PREVIOUS).and_then(|text| text.parse().ok()),
        }
    }
}

fn of_platform(
    client: &dyn RegistryClient,
    repository: &Repository,
    (platform, digest): (Option<Platform>, Digest),
    origin: Option<Digest>,
) -> Result<PlatformChapter, RegistryError> {
    let referrers = match client.referrers(repository, &digest, None) {
        Err(error) if error.is_unsupported() => Vec::new(),
        referrers => referrers?,
    };
    let mut attached = BTreeMap::new();
    let mut fixed = BTreeSet::new();
    for referrer in &referrers {
        let kind = referrer.annotations.get(PREDICATE_TYPE);
        let kind = kind.unwrap_or(&referrer.artifact_type);
        let count: &mut usize = attached.entry(kind.clone()).or_default();
        *count = count.saturating_add(1);
        if kind == VEX {
            fixed.extend(fixed_by(client, repository, referrer)?);
        }
    }
    Ok(PlatformChapter {
        platform,
        digest,
        origin,
        fixed,
        attached,
    })
}

/// The vulnerabilities that an attached VEX says are fixed; none in what is no VEX.
fn fixed_by(
    client: &dyn RegistryClient,
    repository: &Repository,
    referrer: &Referrer,
) -> Result<BTreeSet<String>, RegistryError> {
    let reference = Reference::Digest(referrer.descriptor.digest.clone());
    let statement = content::document(client, repository, &reference)?.unwrap_or_default();
    let statement: Value = serde_json::from_slice(&statement).unwrap_or_default();
    let statements = statement.pointer("/predicate/statements");
    let statements = statements.and_then(Value::as_array).into_iter().flatten();
    let fixed = statements.filter(|one| one.pointer("/status") == Some(&"fixed".into()));
    let names = fixed.filter_map(|one| one.pointer("/vulnerability/name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}
