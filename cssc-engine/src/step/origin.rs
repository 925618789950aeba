//! What a patched image says of where it comes from.
//!
//! The original's own annotations and labels stay, `org.opencontainers.image.base.*` among them:
//! they tell what the original was built on, which is another relation.

use std::collections::BTreeMap;

use cssc_core::cycle::CycleId;
use cssc_core::scan::ImageConfig;
use cssc_core::{Digest, Repository};
use cssc_registry::{ImageManifest, RegistryClient};
use serde_json::{Map, Value};

use super::StepError;
use super::content::{self, ContentError, MAX_CONFIG_LEN};

/// The name of the original: `registry/repository:tag`.
pub(super) const NAME: &str = "dev.cssc.patch.origin.name";
/// The digest of the original: on a platform's manifest that of the original's manifest for the
/// platform, on an index that of the original's index.
pub(super) const DIGEST: &str = "dev.cssc.patch.origin.digest";
/// The digest of the original's index, where the manifest is Docker's and its index says nothing.
const INDEX: &str = "dev.cssc.patch.origin.index";
/// The cycle that patched it.
pub(crate) const CYCLE: &str = "dev.cssc.patch.cycle";
/// The digest of the patch before.
pub(crate) const PREVIOUS: &str = "dev.cssc.patch.previous";
/// What Copa may write; it is read and never written.
const COPA_DIGEST: &str = "sh.copa.patch.origin.digest";
const COPA_NAME: &str = "sh.copa.patch.origin.name";
/// The label by which Copa finds the original of what it has patched.
pub(super) const COPA_LABEL: &str = "BaseImage";

/// What is written on a patched manifest or index.
pub(super) struct Origin<'a> {
    pub(super) name: &'a str,
    pub(super) digest: &'a Digest,
    /// The original's index, where the original has one.
    pub(super) index: Option<&'a Digest>,
    pub(super) cycle: CycleId,
    pub(super) previous: Option<&'a Digest>,
}

impl Origin<'_> {
    /// The annotations, or labels.
    pub(super) fn entries(&self) -> Vec<(&'static str, String)> {
        let mut entries = vec![
            (NAME, self.name.to_owned()),
            (DIGEST, self.digest.to_string()),
            (CYCLE, self.cycle.to_string()),
        ];
        entries.extend(self.previous.map(|digest| (PREVIOUS, digest.to_string())));
        entries
    }

    /// Writes it on the manifest of a platform, and gives the configuration its variant again, which
    /// Copa drops.
    pub(super) fn write(
        &self,
        manifest: &mut ImageManifest,
        original: &ImageConfig,
        registry: &dyn RegistryClient,
        repository: &Repository,
    ) -> Result<(), StepError> {
        let mut entries = self.entries();
        let mut labels = Vec::new();
        if manifest.is_docker() {
            labels.append(&mut entries);
            labels.extend(self.index.map(|digest| (INDEX, digest.to_string())));
        }
        manifest.annotate(entries.iter().map(|(key, value)| (*key, value.as_str())));
        let bytes = registry.get_blob(repository, manifest.config(), MAX_CONFIG_LEN)?;
        let config = ImageConfig::from_slice(&bytes)
            .map_err(|error| ContentError::NotAnImage(error.to_string()))?;
        let lost = lost_variant(original, &config);
        if labels.is_empty() && lost.is_none() {
            return Ok(());
        }
        let mut document: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|error| {
            StepError::permanent(format!("the configuration cannot be read: {error}"))
        })?;
        if let Some(variant) = lost {
            document.insert("variant".to_owned(), variant.into());
        }
        set_labels(&mut document, labels);
        let bytes = serde_json::to_vec(&document).map_err(|error| {
            StepError::permanent(format!("cannot write a configuration: {error}"))
        })?;
        let digest = registry.put_blob(repository, &bytes)?;
        manifest.set_config(digest, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }
}

/// The variant of the original, where the patched configuration says the same but for that.
fn lost_variant(original: &ImageConfig, patched: &ImageConfig) -> Option<String> {
    let (was, is) = (original.platform()?, patched.platform()?);
    let is_same = was.os() == is.os() && was.architecture() == is.architecture();
    let variant = was.variant().filter(|_| is_same && is.variant().is_none());
    variant.map(str::to_owned)
}

fn set_labels(document: &mut Map<String, Value>, entries: Vec<(&str, String)>) {
    if entries.is_empty() {
        return;
    }
    let mut config = take_object(document, "config");
    let mut labels = take_object(&mut config, "Labels");
    for (key, value) in entries {
        labels.insert(key.to_owned(), value.into());
    }
    config.insert("Labels".to_owned(), labels.into());
    document.insert("config".to_owned(), config.into());
}

/// The object under a key, taken out; an empty one if there is none.
fn take_object(parent: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match parent.remove(key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// What a manifest says of the cycle that made it and of its original.
pub(super) struct MadeFrom {
    cycle: Option<String>,
    original: Option<Digest>,
}

impl MadeFrom {
    pub(super) fn read(
        registry: &dyn RegistryClient,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Self, ContentError> {
        let manifest = content::manifest(registry, repository, digest)?;
        let config;
        let mut said = manifest.annotations();
        if !said.contains_key(CYCLE) {
            config = content::config(registry, repository, &manifest)?;
            said = labels(&config);
        }
        Ok(Self {
            cycle: said.get(CYCLE).map(|&cycle| cycle.to_owned()),
            original: named(&said),
        })
    }

    /// Whether this cycle made both, from one original.
    pub(super) fn is_alike(&self, other: &Self, cycle: CycleId) -> bool {
        let original = self.original.as_ref();
        original.is_some_and(|original| self.is(cycle, original) && other.is(cycle, original))
    }

    /// Whether this cycle made it from this original.
    pub(super) fn is(&self, cycle: CycleId, original: &Digest) -> bool {
        self.cycle == Some(cycle.to_string()) && self.original.as_ref() == Some(original)
    }
}

/// Whether annotations name this cycle.
pub(super) fn is_of_cycle(entries: &BTreeMap<&str, &str>, cycle: CycleId) -> bool {
    entries.get(CYCLE) == Some(&cycle.to_string().as_str())
}

/// The digest that annotations or labels name as the original.
pub(crate) fn named<'a>(entries: &BTreeMap<&'a str, &'a str>) -> Option<Digest> {
    let value = entries.get(DIGEST).or_else(|| entries.get(COPA_DIGEST));
    value.and_then(|text| text.parse().ok())
}

/// Whether annotations or labels say anything about an original.
pub(super) fn is_named(entries: &BTreeMap<&str, &str>) -> bool {
    let keys = [NAME, DIGEST, COPA_NAME, COPA_DIGEST, COPA_LABEL];
    keys.iter().any(|key| entries.contains_key(key))
}

/// The labels of a configuration that tell about an original.
pub(crate) fn labels(config: &ImageConfig) -> BTreeMap<&str, &str> {
    let keys = [
        NAME,
        DIGEST,
        CYCLE,
        PREVIOUS,
        COPA_NAME,
        COPA_DIGEST,
        COPA_LABEL,
    ];
    let labels = keys.into_iter();
    labels
        .filter_map(|key| Some((key, config.label(key)?)))
        .collect()
}
