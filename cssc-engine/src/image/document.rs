//! The manifest and the configuration of one platform, as JSON that keeps what is not understood.

use cssc_core::Digest;
use cssc_registry::media_type::{DOCKER_MANIFEST, IMAGE_MANIFEST};
use cssc_registry::{Descriptor, Manifest};
use serde_json::{Map, Value, json};

/// The configurations of the two kinds of images.
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The media types of layers in the two kinds of images, where there is one in both.
const LAYERS: [(&str, &str); 2] = [
    (
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
    (
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
    ),
];

/// Why an image cannot be taken apart or put together. Prints as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UnusableImage(pub(super) String);

/// The manifest and the configuration of one platform.
#[derive(Debug, Clone)]
pub(crate) struct ImageDocument {
    pub(super) media_type: String,
    pub(super) manifest: Map<String, Value>,
    pub(super) config: Map<String, Value>,
    pub(super) layers: Vec<Value>,
    pub(super) diff_ids: Vec<Digest>,
}

/// An image that was put together: what is to be stored of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Built {
    pub(crate) manifest: Manifest,
    pub(crate) config: Vec<u8>,
}

impl ImageDocument {
    /// Reads what a registry or the relay holds.
    ///
    /// # Errors
    ///
    /// Fails for what is no manifest with a configuration that names as many layers as it does.
    pub(crate) fn read(manifest: &Manifest, config: &[u8]) -> Result<Self, UnusableImage> {
        let no_object = |what: &str| UnusableImage(format!("its {what} is not a JSON object"));
        let document: Map<String, Value> =
            serde_json::from_slice(&manifest.bytes).map_err(|_| no_object("manifest"))?;
        let config: Map<String, Value> =
            serde_json::from_slice(config).map_err(|_| no_object("configuration"))?;
        let stated = document.get("mediaType").and_then(Value::as_str);
        let media_type = stated.unwrap_or(&manifest.media_type).to_owned();
        let layers = document.get("layers").and_then(Value::as_array);
        let layers = layers.cloned().unwrap_or_default();
        let diff_ids = config
            .get("rootfs")
            .and_then(|rootfs| rootfs.get("diff_ids"))
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|id| id.as_str()?.parse().ok())
            .collect::<Option<Vec<Digest>>>()
            .ok_or_else(|| UnusableImage("one of its diff IDs is not a digest".to_owned()))?;
        if layers.len() != diff_ids.len() {
            return Err(UnusableImage(format!(
                "its manifest names {} layers and its configuration {}",
                layers.len(),
                diff_ids.len()
            )));
        }
        Ok(Self {
            media_type,
            manifest: document,
            config,
            layers,
            diff_ids,
        })
    }

    /// Whether it is of Docker's kind, which has no annotations.
    pub(crate) fn is_docker(&self) -> bool {
        self.media_type == DOCKER_MANIFEST
    }

    /// The number of its layers.
    pub(crate) fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// Whether its lowest layers are all those of another image.
    pub(crate) fn begins_with(&self, original: &Self) -> bool {
        self.diff_ids.starts_with(&original.diff_ids)
    }

    /// Whether it has this blob for a layer.
    pub(crate) fn has_layer(&self, digest: &Digest) -> bool {
        let layers = self.layers.iter().filter_map(|layer| layer.get("digest"));
        layers.into_iter().any(|layer| layer == digest.as_str())
    }

    /// The blobs that it names, with the configuration.
    pub(crate) fn blobs(manifest: &Manifest) -> Vec<Descriptor> {
        let document: Map<String, Value> =
            serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        let layers = document.get("layers").and_then(Value::as_array);
        let blobs = document.get("config").into_iter();
        blobs
            .chain(layers.into_iter().flatten())
            .filter_map(|blob| serde_json::from_value(blob.clone()).ok())
            .collect()
    }

    /// Writes the image anew: this manifest and configuration, with what names one in the other.
    pub(super) fn build(mut self) -> Result<Built, UnusableImage> {
        let unwritable = |error: serde_json::Error| UnusableImage(error.to_string());
        let diff_ids: Vec<&str> = self.diff_ids.iter().map(Digest::as_str).collect();
        let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
        self.config.insert("rootfs".to_owned(), rootfs);
        let config = serde_json::to_vec(&self.config).map_err(unwritable)?;
        let config_type = if self.is_docker() {
            DOCKER_CONFIG
        } else {
            OCI_CONFIG
        };
        let descriptor = json!(Descriptor::of(config_type, &config));
        self.manifest.insert("config".to_owned(), descriptor);
        self.manifest
            .insert("layers".to_owned(), self.layers.into());
        Ok(Built {
            manifest: Manifest {
                media_type: self.media_type,
                bytes: serde_json::to_vec(&self.manifest).map_err(unwritable)?,
            },
            config,
        })
    }

    /// An empty manifest of the kind of this one.
    pub(super) fn empty_manifest(&self) -> Map<String, Value> {
        let mut manifest = Map::new();
        manifest.insert("schemaVersion".to_owned(), 2.into());
        let media_type = if self.is_docker() {
            DOCKER_MANIFEST
        } else {
            IMAGE_MANIFEST
        };
        manifest.insert("mediaType".to_owned(), media_type.into());
        manifest
    }
}

/// The descriptor of a layer, under the media type that layers have in images of this kind.
pub(super) fn layer_of_kind(layer: &Value, is_docker: bool) -> Result<Value, UnusableImage> {
    let layer: Descriptor = serde_json::from_value(layer.clone())
        .map_err(|error| UnusableImage(format!("one of its layers cannot be read: {error}")))?;
    let given = layer.media_type.as_str();
    let known = LAYERS
        .iter()
        .find(|(oci, docker)| given == *oci || given == *docker);
    let media_type = match known {
        Some((_, docker)) if is_docker => docker,
        Some((oci, _)) => oci,
        None if !is_docker && given.starts_with("application/vnd.oci.image.layer.v1.") => given,
        None => {
            return Err(UnusableImage(format!(
                "a layer of type `{given}` cannot be in an image of this kind"
            )));
        }
    };
    Ok(json!({"mediaType": media_type, "digest": layer.digest, "size": layer.size}))
}
