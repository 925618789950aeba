//! What manifests refer to.

use cssc_registry::media_type::{
    DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, IMAGE_INDEX, IMAGE_MANIFEST,
};
use cssc_registry::{Descriptor, Manifest};
use serde::Deserialize;

/// The manifests that the relay takes and gives.
const KINDS: [&str; 4] = [
    IMAGE_MANIFEST,
    IMAGE_INDEX,
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
];

/// What a manifest refers to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct References {
    media_type: Option<String>,
    config: Option<Descriptor>,
    /// Some programs write `null` for none.
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl References {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// Says in what way it is none.
    pub(super) fn read(manifest: &Manifest) -> Result<Self, String> {
        let kind = &manifest.media_type;
        if !KINDS.contains(&kind.as_str()) {
            return Err(format!("`{kind}` is not the media type of an image"));
        }
        if !manifest.bytes.trim_ascii_start().starts_with(b"{") {
            return Err("the manifest is not a JSON object".to_owned());
        }
        let mut references: Self = serde_json::from_slice(&manifest.bytes)
            .map_err(|error| format!("the manifest is broken: {error}"))?;
        if let Some(stated) = references.media_type.take()
            && stated != *kind
        {
            return Err(format!(
                "the manifest of type `{kind}` says that it is `{stated}`"
            ));
        }
        Ok(references)
    }

    /// The blobs.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(self.layers.iter().flatten())
    }

    /// The manifests of an index.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().flatten()
    }
}

/// The media type that a manifest states of itself.
pub(super) fn stated_type(bytes: &[u8]) -> Option<String> {
    let stated: References = serde_json::from_slice(bytes).ok()?;
    stated.media_type
}
