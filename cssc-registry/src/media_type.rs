//! The media types that registries keep things under.

use serde_json::{Map, Value};

/// An image manifest of the OCI specification.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image index of the OCI specification.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An artifact manifest, which the OCI specification had for a while.
pub const ARTIFACT_MANIFEST: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// An image manifest of Docker, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A manifest list of Docker, schema 2.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The configuration of an image, of the OCI specification.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The configuration or layer of an artifact that has none: `{}`.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Docker's configuration of an image.
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Whether a media type is one of manifests, old ones too.
#[cfg(feature = "http")]
pub(crate) fn is_manifest(media_type: &str) -> bool {
    let known = [
        IMAGE_MANIFEST,
        IMAGE_INDEX,
        ARTIFACT_MANIFEST,
        DOCKER_MANIFEST,
        DOCKER_MANIFEST_LIST,
    ];
    known.contains(&media_type)
        || media_type.starts_with("application/vnd.docker.distribution.manifest.v1+")
}

/// The media type of a manifest that a server sent as `stated`: where that is none of manifests, as
/// with servers of files, the manifest says it.
#[cfg(feature = "http")]
pub(crate) fn of_manifest(stated: &str, bytes: &[u8]) -> String {
    if is_manifest(stated) {
        return stated.to_owned();
    }
    let document = serde_json::from_slice(bytes).unwrap_or_default();
    of_document(stated, &document)
}

/// The media type that a manifest has by what it says or holds, else `stated`.
pub(crate) fn of_document(stated: &str, document: &Map<String, Value>) -> String {
    let is_text =
        |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let text = |value: &Value| value.as_str().filter(is_text).map(str::to_owned);
    if let Some(own) = document.get("mediaType").and_then(text) {
        return own;
    }
    let config = document.get("config").and_then(Value::as_object);
    let config = config.map(|config| config.get("mediaType").and_then(Value::as_str));
    let shape = match config {
        _ if document.get("schemaVersion").and_then(Value::as_u64) != Some(2) => stated,
        _ if document.get("manifests").is_some_and(Value::is_array) => IMAGE_INDEX,
        Some(Some(DOCKER_CONFIG)) => DOCKER_MANIFEST,
        Some(_) if document.get("layers").is_some_and(Value::is_array) => IMAGE_MANIFEST,
        _ => stated,
    };
    shape.to_owned()
}
