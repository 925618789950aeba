//! Reading images of a registry, piece by piece.

use cssc_core::cycle::LeftOutReason;
use cssc_core::scan::ImageConfig;
use cssc_core::{Digest, Repository};
use cssc_registry::{Descriptor, Image, ImageManifest, Reference, RegistryClient, RegistryError};
use serde_json::Value;

use super::StepError;

/// The most bytes of a configuration that are read.
pub(super) const MAX_CONFIG_LEN: u64 = 8 << 20;

/// The most bytes of a document in an artifact that are read.
pub(crate) const MAX_DOCUMENT_LEN: u64 = 64 << 20;

/// Why a piece of an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It is there and is something else.
    #[error("{0}")]
    NotAnImage(String),
}

impl From<ContentError> for StepError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Registry(error) => error.into(),
            ContentError::NotAnImage(what) => {
                Self::permanent(format!("not a container image: {what}"))
            }
        }
    }
}

impl From<ContentError> for LeftOutReason {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Registry(error) if error.is_absent() => Self::NotFound,
            ContentError::Registry(error) => Self::Unavailable(error.into()),
            ContentError::NotAnImage(what) => Self::NotAnImage(what),
        }
    }
}

/// What a tag or digest stands for, and its digest.
pub(super) fn image(
    registry: &dyn RegistryClient,
    repository: &Repository,
    reference: &Reference,
) -> Result<(Digest, Image), ContentError> {
    let manifest = registry.get_manifest(repository, reference)?;
    let digest = manifest.descriptor().digest;
    match Image::read(&manifest) {
        Ok(image) => Ok((digest, image)),
        Err(what) => Err(ContentError::NotAnImage(what.to_string())),
    }
}

/// The manifest of an image for one platform.
pub(super) fn manifest(
    registry: &dyn RegistryClient,
    repository: &Repository,
    digest: &Digest,
) -> Result<ImageManifest, ContentError> {
    match image(registry, repository, &Reference::Digest(digest.clone()))?.1 {
        Image::Manifest(manifest) => Ok(manifest),
        _ => Err(ContentError::NotAnImage(format!(
            "`{digest}` is an index, not the manifest of a platform"
        ))),
    }
}

/// The configuration of an image.
pub(crate) fn config(
    registry: &dyn RegistryClient,
    repository: &Repository,
    manifest: &ImageManifest,
) -> Result<ImageConfig, ContentError> {
    let bytes = registry
        .get_blob(repository, manifest.config(), MAX_CONFIG_LEN)
        .map_err(RegistryError::lost)?;
    ImageConfig::from_slice(&bytes).map_err(|error| ContentError::NotAnImage(error.to_string()))
}

/// The document that an artifact holds in its first layer; none in what holds no layer.
pub(crate) fn document(
    registry: &dyn RegistryClient,
    repository: &Repository,
    reference: &Reference,
) -> Result<Option<Vec<u8>>, RegistryError> {
    let artifact = registry.get_manifest(repository, reference)?;
    let artifact: Value = serde_json::from_slice(&artifact.bytes).unwrap_or_default();
    let layer = artifact.pointer("/layers/0").cloned().unwrap_or_default();
    match serde_json::from_value::<Descriptor>(layer) {
        Ok(layer) => registry
            .get_blob(repository, &layer, MAX_DOCUMENT_LEN)
            .map_err(RegistryError::lost)
            .map(Some),
        Err(_) => Ok(None),
    }
}
