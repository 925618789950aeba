//! The entries of an index: which of them hold an image, for which platform, and what is not
//! understood.

use std::fmt;

use cssc_core::name::Platform;
use cssc_core::{Digest, Repository};
use serde_json::Value;

use crate::media_type::{
    ARTIFACT_MANIFEST, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, IMAGE_INDEX, IMAGE_MANIFEST,
};
use crate::{Image, Reference, RegistryClient, RegistryError};

/// How `BuildKit` marks the entries of an index that tell about another one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The most bytes of a configuration that is read for its platform.
const MAX_CONFIG_LEN: u64 = 8 << 20;
/// What an entry says where it is for no platform.
const UNKNOWN: &str = "unknown";

/// A manifest of an index that holds an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The platform it is for.
    pub platform: Platform,
    /// Its digest.
    pub digest: Digest,
}

/// An entry of an index that is not among its platforms, although clients may run what it holds.
/// Prints as a sentence on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotCovered {
    /// Its digest, where it names one.
    pub digest: Option<Digest>,
    /// Why it is not among the platforms.
    pub reason: NotCoveredReason,
}

/// Why an entry of an index is not among its platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotCoveredReason {
    /// It names no platform, and no configuration that says one was read.
    NoPlatform,
    /// It names a platform that cannot be read.
    UnreadablePlatform,
    /// It is an index itself.
    NestedIndex,
    /// Another entry before it is for the same platform; versions of an operating system make no
    /// difference here.
    SamePlatform(Platform),
    /// It says that it is no image, and names a platform for which clients would take it.
    Artifact(Platform),
    /// It is of a media type that is none of images.
    MediaType,
    /// It names no digest that can be read.
    NoDigest,
}

impl fmt::Display for NotCovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) => write!(f, "the entry `{digest}` of the index ")?,
            None => f.write_str("an entry of the index ")?,
        }
        match &self.reason {
            NotCoveredReason::NoPlatform => f.write_str("names no platform"),
            NotCoveredReason::UnreadablePlatform => {
                f.write_str("names a platform that cannot be read")
            }
            NotCoveredReason::NestedIndex => f.write_str("is an index itself"),
            NotCoveredReason::SamePlatform(platform) => {
                write!(f, "is one more for the platform `{platform}`")
            }
            NotCoveredReason::Artifact(platform) => {
                write!(f, "is an artifact for the platform `{platform}`")
            }
            NotCoveredReason::MediaType => f.write_str("is of a media type that is none of images"),
            NotCoveredReason::NoDigest => f.write_str("names no digest"),
        }
    }
}

/// What the manifest behind an entry without a platform is.
pub(crate) enum Child {
    Image(Platform),
    Index,
    /// Nothing that is run.
    Artifact,
    /// It was not read, or says nothing.
    Unknown,
}

/// What an entry is.
pub(crate) enum Entry {
    Image(IndexEntry),
    NotCovered(NotCovered),
    /// Nothing that clients run, such as an attestation.
    Nothing,
}

/// A platform as far as a document names one.
enum Named {
    Platform(Platform),
    /// None, or that it is unknown.
    Nothing,
    Unreadable,
}

impl Entry {
    /// Reads an entry; `child` is asked for what the entry itself leaves out. `null` and the empty
    /// text say nothing.
    pub(crate) fn read(entry: &Value, child: &mut dyn FnMut(&Digest) -> Child) -> Self {
        let digest: Option<Digest> = text(entry, "digest").and_then(|digest| digest.parse().ok());
        let not_covered = |reason| {
            Self::NotCovered(NotCovered {
                digest: digest.clone(),
                reason,
            })
        };
        let platform = named(entry.get("platform").unwrap_or(&Value::Null));
        let annotations = entry.get("annotations").unwrap_or(&Value::Null);
        let is_artifact = text(annotations, REFERENCE_TYPE).is_some()
            || text(entry, "artifactType").is_some()
            || text(entry, "mediaType") == Some(ARTIFACT_MANIFEST);
        if is_artifact {
            return match platform {
                Named::Platform(platform) => not_covered(NotCoveredReason::Artifact(platform)),
                _ => Self::Nothing,
            };
        }
        match text(entry, "mediaType") {
            None | Some(IMAGE_MANIFEST | DOCKER_MANIFEST) => {}
            Some(IMAGE_INDEX | DOCKER_MANIFEST_LIST) => {
                return not_covered(NotCoveredReason::NestedIndex);
            }
            Some(_) => return not_covered(NotCoveredReason::MediaType),
        }
        let Some(digest) = digest.clone() else {
            return not_covered(NotCoveredReason::NoDigest);
        };
        let platform = match platform {
            Named::Platform(platform) => platform,
            Named::Unreadable => return not_covered(NotCoveredReason::UnreadablePlatform),
            Named::Nothing => match child(&digest) {
                Child::Image(platform) => platform,
                Child::Index => return not_covered(NotCoveredReason::NestedIndex),
                Child::Artifact => return Self::Nothing,
                Child::Unknown => return not_covered(NotCoveredReason::NoPlatform),
            },
        };
        Self::Image(IndexEntry { platform, digest })
    }
}

impl Child {
    /// Asks the registry what the manifest behind an entry is.
    pub(crate) fn ask(
        client: &dyn RegistryClient,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Self, RegistryError> {
        let manifest = match client.get_manifest(repository, &Reference::Digest(digest.clone())) {
            // Some mirrors hold the platforms that were asked for alone.
            Err(error) if error.is_absent() => return Ok(Self::Unknown),
            manifest => manifest?,
        };
        let image = match Image::read(&manifest) {
            Ok(Image::Manifest(image)) => image,
            Ok(Image::Index(_)) => return Ok(Self::Index),
            Err(what) if what.is_artifact() => return Ok(Self::Artifact),
            Err(_) => return Ok(Self::Unknown),
        };
        let config = client.get_blob(repository, image.config(), MAX_CONFIG_LEN);
        let config = config.map_err(RegistryError::lost)?;
        let config = serde_json::from_slice(&config).unwrap_or_default();
        Ok(match named(&config) {
            Named::Platform(platform) => Self::Image(platform),
            // So say configurations of attestations.
            Named::Nothing if text(&config, "os") == Some(UNKNOWN) => Self::Artifact,
            Named::Nothing | Named::Unreadable => Self::Unknown,
        })
    }
}

/// The platform that an object names, in the usual words.
fn named(object: &Value) -> Named {
    let part = |key: &str| text(object, key).map(str::to_ascii_lowercase);
    let (os, architecture) = (part("os"), part("architecture"));
    let is_unknown = |part: &Option<String>| part.as_deref() == Some(UNKNOWN);
    if (os.is_none() && architecture.is_none()) || is_unknown(&os) || is_unknown(&architecture) {
        return Named::Nothing;
    }
    let architecture = architecture.map(|name| match name.as_str() {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        _ => name,
    });
    let parts: Vec<String> = [os, architecture, part("variant")]
        .into_iter()
        .flatten()
        .collect();
    // An operating system alone is refused, and an architecture alone would be taken for one.
    match parts.join("/").parse() {
        Ok(platform) if text(object, "os").is_some() && text(object, "architecture").is_some() => {
            Named::Platform(platform)
        }
        _ => Named::Unreadable,
    }
}

/// A text that is there and not empty.
fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    let text = object.get(key)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Manifest;

    const DIGEST: &str = "sha256:5555555555555555555555555555555555555555555555555555555555555555";

    fn read(entries: &[Value]) -> Result<Image, String> {
        let index = json!({"schemaVersion": 2, "manifests": entries});
        let index = Manifest {
            media_type: IMAGE_INDEX.to_owned(),
            bytes: index.to_string().into_bytes(),
        };
        Image::read(&index).map_err(|what| what.to_string())
    }

    /// The platforms of an index with these entries, and what it does not cover.
    fn covered(entries: &[Value]) -> (Vec<String>, Vec<String>) {
        let index = match read(entries) {
            Ok(Image::Index(index)) => index,
            other => panic!("{other:?}"),
        };
        let platforms = index.platforms().iter();
        let not_covered = index.not_covered().iter();
        (
            platforms.map(|one| one.platform.to_string()).collect(),
            not_covered.map(ToString::to_string).collect(),
        )
    }

    /// An entry with these fields, some of which every entry has.
    fn entry(fields: &Value) -> Value {
        let mut entry = json!({"mediaType": IMAGE_MANIFEST, "digest": DIGEST, "size": 1});
        for (key, value) in fields.as_object().unwrap() {
            entry[key] = value.clone();
        }
        entry
    }

    /// An entry that is understood, for `linux/amd64`.
    fn good() -> Value {
        let digest = format!("sha256:{}", "1".repeat(64));
        entry(&json!({"digest": digest, "platform": {"os": "linux", "architecture": "amd64"}}))
    }

    fn arm64() -> Value {
        json!({"os": "linux", "architecture": "arm64"})
    }

    /// Asserts that an entry beside a good one is not covered, with this reason.
    fn is_named(entry: &Value, reason: &str) {
        let (platforms, not_covered) = covered(&[good(), entry.clone()]);
        assert_eq!(platforms, ["linux/amd64"]);
        let expected = format!("the entry `{DIGEST}` of the index {reason}");
        assert_eq!(not_covered, [expected], "{entry}");
    }

    #[test]
    fn null_empty_and_capitals_say_what_they_say() {
        let linux = |architecture: &str, variant: Value| json!({"os": "Linux", "architecture": architecture, "variant": variant});
        let s390x = linux("s390x", json!(null));
        for (fields, platform) in [
            (
                json!({"platform": linux("amd64", json!(""))}),
                "linux/amd64",
            ),
            (
                json!({"platform": linux("AMD64", json!(null))}),
                "linux/amd64",
            ),
            (
                json!({"platform": linux("x86_64", json!(null))}),
                "linux/amd64",
            ),
            (
                json!({"platform": linux("aarch64", json!("V8"))}),
                "linux/arm64/v8",
            ),
            (
                json!({"artifactType": null, "platform": s390x}),
                "linux/s390x",
            ),
            (
                json!({"artifactType": "", "platform": s390x}),
                "linux/s390x",
            ),
            (json!({"mediaType": null, "platform": s390x}), "linux/s390x"),
            (json!({"mediaType": "", "platform": s390x}), "linux/s390x"),
            (
                json!({"annotations": null, "platform": s390x}),
                "linux/s390x",
            ),
        ] {
            let found = covered(&[entry(&fields)]);
            assert_eq!(found, (vec![platform.to_owned()], vec![]), "{fields}");
        }
    }

    #[test]
    fn a_platform_that_is_missing_or_odd_is_named() {
        let unknown = json!({"os": "unknown", "architecture": "unknown"});
        let empty = json!({"os": "", "architecture": null});
        for platform in [json!(null), json!({}), empty, unknown] {
            is_named(&entry(&json!({"platform": platform})), "names no platform");
        }
        for platform in [
            json!({"os": "linux"}),
            json!({"architecture": "amd64", "variant": "v1"}),
            json!({"os": "linux", "architecture": "am d64"}),
            json!({"os": "linux", "architecture": "a".repeat(100)}),
        ] {
            let odd = entry(&json!({"platform": platform}));
            is_named(&odd, "names a platform that cannot be read");
        }
        // Where nothing is left it is no image, for this reason.
        let none = "an index without an image for any platform";
        let reason = format!("{none}: the entry `{DIGEST}` of the index names no platform");
        assert_eq!(read(&[entry(&json!({}))]), Err(reason));
    }

    #[test]
    fn what_is_of_another_kind_or_one_more_is_named() {
        for kind in [IMAGE_INDEX, DOCKER_MANIFEST_LIST] {
            let nested = entry(&json!({"mediaType": kind, "platform": arm64()}));
            is_named(&nested, "is an index itself");
        }
        let other = entry(&json!({"mediaType": "text/plain", "platform": arm64()}));
        is_named(&other, "is of a media type that is none of images");
        let artifact = entry(&json!({"artifactType": "a/b", "platform": arm64()}));
        is_named(&artifact, "is an artifact for the platform `linux/arm64`");
        let mut same = good();
        same["digest"] = json!(DIGEST);
        is_named(&same, "is one more for the platform `linux/amd64`");
        let no_digest = entry(&json!({"digest": "SHA256:X", "platform": arm64()}));
        for nothing in [no_digest, json!(null), json!(7), json!([])] {
            let (_, not_covered) = covered(&[good(), nothing]);
            assert_eq!(not_covered, ["an entry of the index names no digest"]);
        }
    }

    #[test]
    fn what_is_never_run_is_not_missed() {
        let unknown = json!({"os": "unknown", "architecture": "unknown"});
        let annotations = json!({"vnd.docker.reference.type": "attestation-manifest"});
        for nothing in [
            entry(&json!({"annotations": annotations, "platform": unknown})),
            entry(&json!({"artifactType": "a/b"})),
            entry(&json!({"mediaType": ARTIFACT_MANIFEST})),
            // The same once more.
            good(),
        ] {
            let found = covered(&[good(), nothing]);
            assert_eq!(found, (vec!["linux/amd64".to_owned()], vec![]));
        }
    }
}
