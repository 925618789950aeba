//! Artifacts: content that is no image, kept as one
//! ([OCI image specification, "Guidelines for Artifact Usage"][spec]).
//!
//! [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md#guidelines-for-artifact-usage

use std::collections::BTreeMap;

use cssc_core::{Digest, Repository};
use serde_json::{Value, json};

use crate::media_type::{EMPTY, IMAGE_MANIFEST};
use crate::{Descriptor, Manifest, Reference, RegistryClient, RegistryError};

/// The content of a configuration or layer that is none.
const NOTHING: &[u8] = b"{}";

/// An artifact to store: layers, annotations, and what it is about.
///
/// ```
/// use cssc_registry::{Artifact, media_type};
///
/// let artifact = Artifact::new("application/vnd.example.note.v1")
///     .layer("text/plain", "clean since Monday")
///     .annotation("org.opencontainers.image.created", "2024-01-08T09:30:00Z");
/// let manifest = artifact.manifest();
/// assert_eq!(manifest.media_type, media_type::IMAGE_MANIFEST);
/// ```
#[derive(Debug, Clone)]
pub struct Artifact {
    kind: String,
    layers: Vec<Layer>,
    annotations: BTreeMap<String, String>,
    subject: Option<Descriptor>,
}

#[derive(Debug, Clone)]
struct Layer {
    media_type: String,
    bytes: Vec<u8>,
    title: Option<String>,
}

impl Artifact {
    /// An artifact of this type without layers.
    pub fn new(artifact_type: impl Into<String>) -> Self {
        Self {
            kind: artifact_type.into(),
            layers: Vec::new(),
            annotations: BTreeMap::new(),
            subject: None,
        }
    }

    /// Adds a layer.
    #[must_use]
    pub fn layer(self, media_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.add_layer(media_type.into(), bytes.into(), None)
    }

    /// Adds a layer that clients write to a file with this name.
    #[must_use]
    pub fn file(
        self,
        name: impl Into<String>,
        media_type: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        self.add_layer(media_type.into(), bytes.into(), Some(name.into()))
    }

    fn add_layer(mut self, media_type: String, bytes: Vec<u8>, title: Option<String>) -> Self {
        self.layers.push(Layer {
            media_type,
            bytes,
            title,
        });
        self
    }

    /// Sets an annotation of the manifest.
    #[must_use]
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Sets annotations of the manifest.
    #[must_use]
    pub fn annotations(mut self, annotations: BTreeMap<String, String>) -> Self {
        self.annotations.extend(annotations);
        self
    }

    /// Makes it a referrer: says which manifest it is about.
    #[must_use]
    pub fn subject(mut self, subject: Descriptor) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Which manifest it is about, if any.
    pub(crate) fn subject_digest(&self) -> Option<&Digest> {
        self.subject.as_ref().map(|subject| &subject.digest)
    }

    /// The manifest, the same each time.
    pub fn manifest(&self) -> Manifest {
        let empty = json!(Descriptor::of(EMPTY, NOTHING));
        let mut layers: Vec<Value> = self.layers.iter().map(Layer::descriptor).collect();
        if layers.is_empty() {
            // Not every registry takes a manifest without any.
            layers.push(empty.clone());
        }
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "artifactType": self.kind,
            "config": empty,
            "layers": layers,
            "annotations": self.annotations,
        });
        if let (Some(subject), Some(manifest)) = (&self.subject, manifest.as_object_mut()) {
            manifest.insert("subject".to_owned(), json!(subject));
        }
        Manifest {
            media_type: IMAGE_MANIFEST.to_owned(),
            bytes: manifest.to_string().into_bytes(),
        }
    }

    /// Stores the layers and then the manifest, under a tag or, without a reference, its digest.
    ///
    /// # Errors
    ///
    /// Fails when the registry refuses any of them; then nothing refers to what was stored.
    pub fn push(
        &self,
        client: &dyn RegistryClient,
        repository: &Repository,
        reference: Option<&Reference>,
    ) -> Result<Descriptor, RegistryError> {
        client.put_blob(repository, NOTHING)?;
        for layer in &self.layers {
            client.put_blob(repository, &layer.bytes)?;
        }
        let manifest = self.manifest();
        let descriptor = manifest.descriptor();
        let by_digest = Reference::Digest(descriptor.digest.clone());
        client.put_manifest(repository, reference.unwrap_or(&by_digest), &manifest)?;
        Ok(descriptor)
    }
}

impl Layer {
    fn descriptor(&self) -> Value {
        let mut descriptor = json!(Descriptor::of(self.media_type.clone(), &self.bytes));
        if let (Some(title), Some(descriptor)) = (&self.title, descriptor.as_object_mut()) {
            let annotations = json!({ "org.opencontainers.image.title": title });
            descriptor.insert("annotations".to_owned(), annotations);
        }
        descriptor
    }
}
