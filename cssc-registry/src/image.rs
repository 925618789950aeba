//! Container images: manifests, and the indexes that hold one for each platform.

use std::collections::BTreeMap;

use cssc_core::{Digest, Repository};
use serde_json::{Map, Value};

use crate::artifact::ARTIFACT_TYPE;
use crate::error::excerpt;
use crate::index_entry::{Child, Entry, IndexEntry, NotCovered, NotCoveredReason};
use crate::media_type::{
    DOCKER_CONFIG, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST,
};
use crate::{Descriptor, Manifest, RegistryClient, RegistryError, media_type};

/// Configurations of images, in the two formats there are.
const IMAGE_CONFIGS: [&str; 2] = [IMAGE_CONFIG, DOCKER_CONFIG];
/// How `BuildKit` says which entry of an index another one tells about.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// The most manifests of an index that are read.
const MAX_MANIFESTS: usize = 1_000;
/// The most manifests of an index that are asked for their platform.
const MAX_ASKED: usize = 64;

/// A container image: one manifest, or an index of them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Image {
    /// One manifest.
    Manifest(ImageManifest),
    /// An index of manifests for several platforms.
    Index(ImageIndex),
}

/// Why a manifest is no container image. Prints as what it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NotAnImage {
    what: String,
    is_artifact: bool,
}

impl NotAnImage {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            is_artifact: false,
        }
    }

    /// Whether it says that it is something else, and is not just of no use.
    pub fn is_artifact(&self) -> bool {
        self.is_artifact
    }

    fn artifact(what: String) -> Self {
        Self {
            what,
            is_artifact: true,
        }
    }
}

/// The manifest of an image for one platform, of the OCI specification or Docker's schema 2.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageManifest {
    media_type: String,
    document: Map<String, Value>,
    config: Descriptor,
}

/// An index of image manifests, of the OCI specification, or Docker's manifest list.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageIndex {
    media_type: String,
    document: Map<String, Value>,
    platforms: Vec<IndexEntry>,
    not_covered: Vec<NotCovered>,
}

impl Image {
    /// Reads what a tag or digest stands for.
    ///
    /// # Errors
    ///
    /// Fails for what is no container image: an artifact, a chart, an attestation, an index
    /// without an image, a manifest of Docker's schema 1, or no manifest at all.
    pub fn read(manifest: &Manifest) -> Result<Self, NotAnImage> {
        Self::read_with(manifest, &mut |_| Child::Unknown)
    }

    /// Reads what a tag or digest stands for, and asks the registry for the platform of what an
    /// index names without one.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not answer, and within that as [`Image::read`] does.
    pub fn read_from(
        client: &dyn RegistryClient,
        repository: &Repository,
        manifest: &Manifest,
    ) -> Result<Result<Self, NotAnImage>, RegistryError> {
        let mut failure = None;
        let mut left = MAX_ASKED;
        let read = Self::read_with(manifest, &mut |digest| {
            if left == 0 || failure.is_some() {
                return Child::Unknown;
            }
            left = left.saturating_sub(1);
            let asked = Child::ask(client, repository, digest);
            asked.unwrap_or_else(|error| {
                failure = Some(error);
                Child::Unknown
            })
        });
        failure.map_or(Ok(read), Err)
    }

    fn read_with(
        manifest: &Manifest,
        child: &mut dyn FnMut(&Digest) -> Child,
    ) -> Result<Self, NotAnImage> {
        let document: Map<String, Value> = serde_json::from_slice(&manifest.bytes)
            .map_err(|_| NotAnImage::new("its manifest is not a JSON object"))?;
        let media_type = media_type::of_document(&manifest.media_type, &document);
        let kind = document.get("artifactType").and_then(Value::as_str);
        let kind = kind.filter(|kind| !kind.is_empty());
        if let Some(kind) = kind.or(annotations(&document).get(ARTIFACT_TYPE).copied()) {
            return Err(NotAnImage::artifact(format!(
                "an artifact of type `{}`",
                excerpt(kind)
            )));
        }
        match media_type.as_str() {
            IMAGE_MANIFEST | DOCKER_MANIFEST => {
                ImageManifest::new(media_type, document).map(Self::Manifest)
            }
            IMAGE_INDEX | DOCKER_MANIFEST_LIST => {
                ImageIndex::new(media_type, document, child).map(Self::Index)
            }
            _ if document.get("schemaVersion").and_then(Value::as_u64) == Some(1) => {
                Err(NotAnImage::new("a manifest of Docker's schema 1"))
            }
            other => Err(NotAnImage::new(format!(
                "of media type `{}`",
                excerpt(other)
            ))),
        }
    }
}

impl ImageManifest {
    fn new(media_type: String, document: Map<String, Value>) -> Result<Self, NotAnImage> {
        let config = document.get("config").cloned().unwrap_or_default();
        let config: Descriptor = serde_json::from_value(config)
            .map_err(|_| NotAnImage::new("its manifest names no configuration"))?;
        if !IMAGE_CONFIGS.contains(&config.media_type.as_str()) {
            let kind = excerpt(&config.media_type);
            return Err(NotAnImage::artifact(format!("an artifact with a `{kind}`")));
        }
        Ok(Self {
            media_type,
            document,
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Descriptor {
        &self.config
    }

    /// How many bytes its layers have, compressed; what it does not say counts for none.
    pub fn size(&self) -> u64 {
        let layers = self.document.get("layers").and_then(Value::as_array);
        let sizes = layers
            .into_iter()
            .flatten()
            .filter_map(|layer| layer.get("size")?.as_u64());
        sizes.fold(0, u64::saturating_add)
    }

    /// Whether it is Docker's, which has no annotations.
    pub fn is_docker(&self) -> bool {
        self.media_type == DOCKER_MANIFEST
    }

    /// The annotations.
    pub fn annotations(&self) -> BTreeMap<&str, &str> {
        annotations(&self.document)
    }

    /// Sets annotations beside those that are there.
    pub fn annotate<'a>(&mut self, annotations: impl IntoIterator<Item = (&'a str, &'a str)>) {
        annotate(&mut self.document, annotations);
    }

    /// Names another configuration.
    pub fn set_config(&mut self, digest: Digest, size: u64) {
        self.config.digest = digest;
        self.config.size = size;
        if let Some(Value::Object(config)) = self.document.get_mut("config") {
            config.insert("digest".to_owned(), self.config.digest.as_str().into());
            config.insert("size".to_owned(), size.into());
        }
    }

    /// The manifest, to be stored.
    pub fn to_manifest(&self) -> Manifest {
        manifest(&self.media_type, &self.document)
    }
}

impl ImageIndex {
    fn new(
        media_type: String,
        document: Map<String, Value>,
        child: &mut dyn FnMut(&Digest) -> Child,
    ) -> Result<Self, NotAnImage> {
        let manifests = document.get("manifests").and_then(Value::as_array);
        let manifests = manifests.map_or(&[][..], Vec::as_slice);
        if manifests.len() > MAX_MANIFESTS {
            return Err(NotAnImage::new(format!(
                "an index of over {MAX_MANIFESTS} manifests"
            )));
        }
        let (mut platforms, mut not_covered) = (Vec::new(), Vec::new());
        for entry in manifests {
            match Entry::read(entry, child) {
                Entry::Image(entry) => match same_platform(&platforms, &entry) {
                    None => platforms.push(entry),
                    Some(same) if same.digest == entry.digest => {}
                    Some(_) => not_covered.push(NotCovered {
                        digest: Some(entry.digest),
                        reason: NotCoveredReason::SamePlatform(entry.platform),
                    }),
                },
                Entry::NotCovered(entry) => not_covered.push(entry),
                Entry::Nothing => {}
            }
        }
        if platforms.is_empty() {
            let what = "an index without an image for any platform";
            return Err(NotAnImage::new(match not_covered.first() {
                Some(entry) => format!("{what}: {entry}"),
                None => what.to_owned(),
            }));
        }
        Ok(Self {
            media_type,
            document,
            platforms,
            not_covered,
        })
    }

    /// The manifests that hold images, one for each platform: of several for the same, which
    /// differ in what platforms do not say here, the first.
    pub fn platforms(&self) -> &[IndexEntry] {
        &self.platforms
    }

    /// The entries that clients may run and that are not among the platforms, each with the reason.
    /// An attestation is none of them.
    pub fn not_covered(&self) -> &[NotCovered] {
        &self.not_covered
    }

    /// The annotations.
    pub fn annotations(&self) -> BTreeMap<&str, &str> {
        annotations(&self.document)
    }

    /// Sets annotations beside those that are there; a manifest list of Docker's has none.
    pub fn annotate<'a>(&mut self, annotations: impl IntoIterator<Item = (&'a str, &'a str)>) {
        if self.media_type == IMAGE_INDEX {
            annotate(&mut self.document, annotations);
        }
    }

    /// Puts another manifest in the place of one. Its platform, annotations and place stay, and
    /// attestations about the one before go, since they say nothing of the new one. Whether it was
    /// there.
    pub fn exchange(&mut self, digest: &Digest, with: &Descriptor) -> bool {
        let Some(Value::Array(manifests)) = self.document.get_mut("manifests") else {
            return false;
        };
        manifests.retain(|entry| {
            let about = entry
                .get("annotations")
                .and_then(|all| all.get(REFERENCE_DIGEST));
            about.and_then(Value::as_str) != Some(digest.as_str())
        });
        let has_digest = |entry: &&mut Value| {
            entry.get("digest").and_then(Value::as_str) == Some(digest.as_str())
        };
        let mut is_there = false;
        for entry in manifests.iter_mut().filter(has_digest) {
            if let Value::Object(entry) = entry {
                entry.insert("digest".to_owned(), with.digest.as_str().into());
                entry.insert("size".to_owned(), with.size.into());
                entry.insert("mediaType".to_owned(), with.media_type.as_str().into());
                is_there = true;
            }
        }
        for entry in self
            .platforms
            .iter_mut()
            .filter(|one| one.digest == *digest)
        {
            entry.digest = with.digest.clone();
        }
        is_there
    }

    /// The manifest, to be stored.
    pub fn to_manifest(&self) -> Manifest {
        manifest(&self.media_type, &self.document)
    }
}

/// The entry for the same platform, if there is one.
fn same_platform<'a>(entries: &'a [IndexEntry], entry: &IndexEntry) -> Option<&'a IndexEntry> {
    entries.iter().find(|one| one.platform == entry.platform)
}

fn annotations(document: &Map<String, Value>) -> BTreeMap<&str, &str> {
    let annotations = document.get("annotations").and_then(Value::as_object);
    let annotations = annotations.into_iter().flatten();
    annotations
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect()
}

fn annotate<'a>(
    document: &mut Map<String, Value>,
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let known = document
        .entry("annotations")
        .or_insert_with(|| Map::new().into());
    if !known.is_object() {
        *known = Map::new().into();
    }
    if let Value::Object(known) = known {
        for (key, value) in annotations {
            known.insert(key.to_owned(), value.into());
        }
    }
}

fn manifest(media_type: &str, document: &Map<String, Value>) -> Manifest {
    Manifest {
        media_type: media_type.to_owned(),
        bytes: serde_json::to_vec(document).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    fn read(media_type: &str, document: &Value) -> Result<Image, NotAnImage> {
        Image::read(&Manifest {
            media_type: media_type.to_owned(),
            bytes: document.to_string().into_bytes(),
        })
    }

    fn index() -> Value {
        let entry = |digit, architecture: &str, variant: Option<&str>| {
            json!({
                "mediaType": IMAGE_MANIFEST, "digest": digest(digit), "size": 7,
                "platform": {"os": "linux", "architecture": architecture, "variant": variant},
                "annotations": {"kept": "yes"},
            })
        };
        json!({
            "schemaVersion": 2, "mediaType": IMAGE_INDEX, "annotations": {"a": "b"},
            "manifests": [
                entry('1', "amd64", None),
                entry('2', "arm64", Some("v8")),
                {
                    "mediaType": IMAGE_MANIFEST, "digest": digest('3'), "size": 7,
                    "platform": {"os": "unknown", "architecture": "unknown"},
                    "annotations": {
                        "vnd.docker.reference.type": "attestation-manifest",
                        "vnd.docker.reference.digest": digest('2'),
                    },
                },
            ],
        })
    }

    #[test]
    fn an_index_is_read_and_a_manifest_exchanged() {
        let Ok(Image::Index(mut read)) = read(IMAGE_INDEX, &index()) else {
            panic!("an index");
        };
        let platforms = |index: &ImageIndex| {
            let platforms = index.platforms().iter();
            platforms
                .map(|one| format!("{} {}", one.platform, &one.digest.as_str()[7..9]))
                .collect::<Vec<_>>()
        };
        assert_eq!(platforms(&read), ["linux/amd64 11", "linux/arm64/v8 22"]);
        let with = Descriptor {
            media_type: IMAGE_MANIFEST.to_owned(),
            digest: digest('9').parse().unwrap(),
            size: 99,
        };
        assert!(read.exchange(&digest('2').parse().unwrap(), &with));
        assert!(!read.exchange(&digest('2').parse().unwrap(), &with));
        read.annotate([("c", "d")]);
        let written: Value = serde_json::from_slice(&read.to_manifest().bytes).unwrap();
        let mut expected = index();
        expected["manifests"].as_array_mut().unwrap().pop();
        expected["manifests"][1]["digest"] = digest('9').into();
        expected["manifests"][1]["size"] = 99.into();
        expected["annotations"]["c"] = "d".into();
        assert_eq!(written, expected);
        assert_eq!(platforms(&read), ["linux/amd64 11", "linux/arm64/v8 99"]);
    }

    #[test]
    fn a_manifest_is_read_and_annotated() {
        let document = json!({
            "schemaVersion": 2, "mediaType": IMAGE_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest('1'), "size": 3,
            },
            "layers": [],
        });
        let Ok(Image::Manifest(mut manifest)) = read(IMAGE_MANIFEST, &document) else {
            panic!("a manifest");
        };
        manifest.annotate([("a", "b")]);
        manifest.set_config(digest('4').parse().unwrap(), 44);
        assert_eq!(manifest.annotations()["a"], "b");
        let written: Value = serde_json::from_slice(&manifest.to_manifest().bytes).unwrap();
        assert_eq!(written["annotations"]["a"], "b");
        assert_eq!(written["config"]["digest"], digest('4'));
        assert_eq!(written["config"]["size"], 44);
    }

    #[test]
    fn what_is_no_image_says_what_it_is() {
        let config = |media_type: &str| json!({"config": {"mediaType": media_type, "digest": digest('1'), "size": 3}});
        let mut attestations = index();
        attestations["manifests"].as_array_mut().unwrap().drain(..2);
        for (media_type, document, text) in [
            (
                IMAGE_MANIFEST,
                config("application/vnd.cncf.helm.config.v1+json"),
                "an artifact with a `application/vnd.cncf.helm.config.v1+json`",
            ),
            (
                IMAGE_MANIFEST,
                json!({}),
                "its manifest names no configuration",
            ),
            (
                IMAGE_MANIFEST,
                json!({"artifactType": "application/vnd.in-toto+json"}),
                "an artifact of type `application/vnd.in-toto+json`",
            ),
            (
                IMAGE_INDEX,
                attestations,
                "an index without an image for any platform",
            ),
            (
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
                json!({"schemaVersion": 1}),
                "a manifest of Docker's schema 1",
            ),
            ("text/html", json!({}), "of media type `text/html`"),
            (
                IMAGE_MANIFEST,
                json!({"artifactType": "a\n::error::\u{1b}[2J"}),
                "an artifact of type `a ::error:: [2J`",
            ),
            (
                IMAGE_MANIFEST,
                json!([]),
                "its manifest is not a JSON object",
            ),
        ] {
            assert_eq!(read(media_type, &document).unwrap_err().to_string(), text);
        }
    }
}
