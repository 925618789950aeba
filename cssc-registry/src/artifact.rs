//! Artifacts: content that is no image, kept as one
//! ([OCI image specification, "Guidelines for Artifact Usage"][spec]).
//!
//! [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md#guidelines-for-artifact-usage

use std::collections::BTreeMap;

use cssc_core::{Digest, Repository};
use serde_json::{Map, Value, json};

use crate::media_type::{EMPTY, IMAGE_CONFIG, IMAGE_MANIFEST};
use crate::{Descriptor, Manifest, Reference, RegistryClient, RegistryError, digest};

/// The content of a configuration or layer that is none.
const NOTHING: &[u8] = b"{}";

/// The annotation that has the type of an artifact in the form of an image.
pub(crate) const ARTIFACT_TYPE: &str = "dev.cssc.artifact-type";

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
        let mut manifest = self.common(&Descriptor::of(EMPTY, NOTHING));
        manifest.insert("artifactType".to_owned(), json!(self.kind));
        to_manifest(manifest)
    }

    /// The manifest for a registry that knows no artifacts: that of an image, which says in an
    /// annotation what it is.
    pub(crate) fn image_manifest(&self) -> Manifest {
        let config = self.image_config();
        let mut manifest = self.common(&Descriptor::of(IMAGE_CONFIG, config.as_bytes()));
        if let Some(Value::Object(annotations)) = manifest.get_mut("annotations") {
            annotations.insert(ARTIFACT_TYPE.to_owned(), json!(self.kind));
        }
        to_manifest(manifest)
    }

    /// The configuration of an image that has the same layers and is for no platform.
    fn image_config(&self) -> String {
        let digests: Vec<Digest> = match self.layers.as_slice() {
            [] => vec![digest::of(NOTHING)],
            layers => layers
                .iter()
                .map(|layer| digest::of(&layer.bytes))
                .collect(),
        };
        json!({
            "architecture": "unknown",
            "os": "unknown",
            "rootfs": {"type": "layers", "diff_ids": digests},
        })
        .to_string()
    }

    /// What both manifests have.
    fn common(&self, config: &Descriptor) -> Map<String, Value> {
        let mut layers: Vec<Value> = self.layers.iter().map(Layer::descriptor).collect();
        if layers.is_empty() {
            // Not every registry takes a manifest without any.
            layers.push(json!(Descriptor::of(EMPTY, NOTHING)));
        }
        let fields = [
            ("schemaVersion", json!(2)),
            ("mediaType", json!(IMAGE_MANIFEST)),
            ("config", json!(config)),
            ("layers", json!(layers)),
            ("annotations", json!(self.annotations)),
        ];
        let subject = self
            .subject
            .as_ref()
            .map(|subject| ("subject", json!(subject)));
        let fields = fields.into_iter().chain(subject);
        fields.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Stores the layers and then the manifest, under a tag or, without a reference, its digest.
    ///
    /// A registry that takes only types on a list of its own gets it as an image whose annotation
    /// `dev.cssc.artifact-type` has the type.
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
        let stored = self.store(client, repository, reference);
        stored.map(|(descriptor, _)| descriptor)
    }

    /// Stores it as [`Artifact::push`] does, and says what was stored.
    pub(crate) fn store(
        &self,
        client: &dyn RegistryClient,
        repository: &Repository,
        reference: Option<&Reference>,
    ) -> Result<(Descriptor, Manifest), RegistryError> {
        client.put_blob(repository, NOTHING)?;
        for layer in &self.layers {
            client.put_blob(repository, &layer.bytes)?;
        }
        let put = |manifest: Manifest| -> Result<_, RegistryError> {
            let descriptor = manifest.descriptor();
            let by_digest = Reference::Digest(descriptor.digest.clone());
            client.put_manifest(repository, reference.unwrap_or(&by_digest), &manifest)?;
            Ok((descriptor, manifest))
        };
        match put(self.manifest()) {
            Err(refused) if refused.code() == Some("MANIFEST_INVALID") => {
                client.put_blob(repository, self.image_config().as_bytes())?;
                // The first refusal says what is wrong with the artifact as it should be.
                put(self.image_manifest())
                    .map_err(|again| if again.is_retryable() { again } else { refused })
            }
            stored => stored,
        }
    }
}

fn to_manifest(document: Map<String, Value>) -> Manifest {
    Manifest {
        media_type: IMAGE_MANIFEST.to_owned(),
        bytes: Value::Object(document).to_string().into_bytes(),
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
