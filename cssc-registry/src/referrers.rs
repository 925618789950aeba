//! What refers to a manifest: signatures, attestations, lists of contents
//! ([OCI distribution specification, "Listing Referrers"][spec]).
//!
//! [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers

use std::collections::BTreeMap;

use cssc_core::{Digest, Repository, Tag};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::artifact::ARTIFACT_TYPE;
use crate::media_type::IMAGE_INDEX;
use crate::{Artifact, Descriptor, Manifest, Reference, RegistryClient, RegistryError};

/// The most referrers of one manifest that are read.
pub(crate) const MAX_REFERRERS: usize = 10_000;

/// A manifest that names another one as its subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// The manifest itself.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// What it is, such as `application/vnd.in-toto+json`; empty where nobody said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The annotations of its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What to do where the registry has no API for referrers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferrersFallback {
    /// Attach nothing.
    Never,
    /// Keep the index of referrers under the tag `sha256-…`. It is read, changed and written
    /// back, so that there must be one writer for each subject.
    Tag,
}

/// What became of an artifact that was to be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attachment {
    /// It is stored, and found among the referrers of its subject.
    Attached(Descriptor),
    /// The registry has no API for referrers, and the fallback was not asked for, so that nothing
    /// is stored; or it keeps no index under the tag, and what is stored is found by nothing.
    Unsupported,
}

/// Stores an artifact that has a [subject](Artifact::subject), so that it is found among the
/// referrers of that. Attaching the same artifact again changes nothing.
///
/// # Errors
///
/// Fails when the artifact has no subject, the registry refuses it or does not list it afterwards,
/// or the fallback tag stands for what is no index.
pub fn attach(
    client: &dyn RegistryClient,
    repository: &Repository,
    artifact: &Artifact,
    fallback: ReferrersFallback,
) -> Result<Attachment, RegistryError> {
    let Some(subject) = artifact.subject_digest() else {
        return Err(RegistryError::input(
            "an artifact without a subject refers to nothing",
        ));
    };
    let has_api = client.has_referrers_api(repository)?;
    if !has_api && fallback == ReferrersFallback::Never {
        return Ok(Attachment::Unsupported);
    }
    let (descriptor, manifest) = artifact.store(client, repository, None)?;
    if has_api {
        // The registry may have the API and not know that the manifest has a subject.
        let listed = client.referrers(repository, subject, None)?;
        let is_it = |referrer: &Referrer| referrer.descriptor.digest == descriptor.digest;
        if !listed.iter().any(is_it) {
            return Err(RegistryError::unavailable(format!(
                "`{repository}@{}` is stored, but the registry does not list it among the \
                 referrers of `{subject}`",
                descriptor.digest
            )));
        }
    } else {
        let referrer = referrer_of(&manifest)?;
        if !add_to_tag(client, repository, subject, &referrer)? {
            return Ok(Attachment::Unsupported);
        }
    }
    Ok(Attachment::Attached(descriptor))
}

/// An index of referrers, as the API and the fallback tag give it.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Option<Vec<Value>>,
}

/// The entries of an index of referrers. One that is none is left out: the others are no worse for
/// it.
pub(crate) fn read_index(bytes: &[u8]) -> Result<Vec<Referrer>, RegistryError> {
    let index: Index = serde_json::from_slice(bytes).map_err(|error| not_a("an index", &error))?;
    let entries = index.manifests.unwrap_or_default().into_iter();
    Ok(entries.filter_map(read_entry).collect())
}

/// Reads an entry, in which `null` is nothing said.
fn read_entry(mut entry: Value) -> Option<Referrer> {
    let fields = entry.as_object_mut()?;
    fields.retain(|_, value| !value.is_null());
    if let Some(Value::Object(annotations)) = fields.get_mut("annotations") {
        annotations.retain(|_, value| value.is_string());
    }
    serde_json::from_value(entry).ok()
}

/// Tells where the JSON is wrong, and none of what stands there.
fn not_a(what: &str, error: &serde_json::Error) -> RegistryError {
    let (line, column) = (error.line(), error.column());
    RegistryError::answer(format!(
        "what tells the referrers is not {what}, at line {line}, column {column}"
    ))
}

/// Leaves those of an artifact type; fails when there are too many.
pub(crate) fn checked(
    mut referrers: Vec<Referrer>,
    artifact_type: Option<&str>,
) -> Result<Vec<Referrer>, RegistryError> {
    if referrers.len() > MAX_REFERRERS {
        return Err(RegistryError::answer(format!(
            "it has too many referrers: at most {MAX_REFERRERS} are read"
        )));
    }
    if let Some(artifact_type) = artifact_type {
        referrers.retain(|referrer| referrer.artifact_type == artifact_type);
    }
    Ok(referrers)
}

/// What an index says of a manifest that refers to another, for which it must be one.
pub(crate) fn referrer_of(manifest: &Manifest) -> Result<Referrer, RegistryError> {
    let document: ReferringManifest =
        serde_json::from_slice(&manifest.bytes).map_err(|error| not_a("a manifest", &error))?;
    let annotated = document.annotations.as_ref();
    let annotated = annotated.and_then(|annotations| annotations.get(ARTIFACT_TYPE).cloned());
    let artifact_type = document
        .artifact_type
        .filter(|artifact_type| !artifact_type.is_empty())
        .or(annotated)
        .or_else(|| document.config.map(|config| config.media_type));
    Ok(Referrer {
        descriptor: manifest.descriptor(),
        artifact_type: artifact_type.unwrap_or_default(),
        annotations: document.annotations.unwrap_or_default(),
    })
}

/// The digest that a manifest names as its subject, if it does.
pub(crate) fn subject_of(manifest: &[u8]) -> Option<Digest> {
    let document = serde_json::from_slice::<ReferringManifest>(manifest).ok()?;
    document.subject.map(|subject| subject.digest)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReferringManifest {
    artifact_type: Option<String>,
    config: Option<Config>,
    annotations: Option<BTreeMap<String, String>>,
    subject: Option<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    media_type: String,
}

/// The tag under which clients keep the index of what refers to a manifest
/// ([OCI distribution specification, "Referrers Tag Schema"][spec]).
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema
fn fallback_tag(subject: &Digest) -> Result<Reference, RegistryError> {
    let (algorithm, hex) = (subject.algorithm(), subject.hex());
    let tag: String = format!("{algorithm:.32}-{hex:.64}");
    let tag: Tag = tag
        .parse()
        .map_err(|error| RegistryError::input(format!("{error}")))?;
    Ok(Reference::Tag(tag))
}

/// The referrers that the fallback tag lists.
pub(crate) fn from_tag<C: RegistryClient + ?Sized>(
    client: &C,
    repository: &Repository,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Result<Vec<Referrer>, RegistryError> {
    match client.get_manifest(repository, &fallback_tag(subject)?) {
        Ok(index) if is_subject(&index, subject) => Ok(Vec::new()),
        Ok(index) => checked(read_index(&index.bytes)?, artifact_type),
        Err(error) if error.is_absent() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether what the fallback tag stands for is the subject itself, as where a registry takes the
/// tag for another way to write a digest. An index would be taken for that of its own referrers.
fn is_subject(manifest: &Manifest, subject: &Digest) -> bool {
    crate::digest::matches(subject, &manifest.bytes)
}

/// Adds to the index of the fallback tag; whatever else stands there stays. Whether the registry
/// kept it.
fn add_to_tag(
    client: &dyn RegistryClient,
    repository: &Repository,
    subject: &Digest,
    referrer: &Referrer,
) -> Result<bool, RegistryError> {
    let tag = fallback_tag(subject)?;
    let mut is_shadowed = false;
    let mut index: Map<String, Value> = match client.get_manifest(repository, &tag) {
        Ok(index) if is_subject(&index, subject) => {
            is_shadowed = true;
            Map::new()
        }
        Ok(index) if index.media_type == IMAGE_INDEX => {
            serde_json::from_slice(&index.bytes).map_err(|error| not_a("an index", &error))?
        }
        Ok(_) => {
            return Err(RegistryError::answer(format!(
                "`{repository}{tag}` is not the index of referrers that clients keep under this tag"
            )));
        }
        Err(error) if error.is_absent() => Map::new(),
        Err(error) => return Err(error),
    };
    let digest = referrer.descriptor.digest.as_str();
    let manifests = index.entry("manifests").or_insert(Value::Null);
    if manifests.is_null() {
        *manifests = json!([]);
    }
    let Some(manifests) = manifests.as_array_mut() else {
        return Err(RegistryError::answer(format!(
            "`manifests` of `{repository}{tag}` is no list"
        )));
    };
    let is_it = |entry: &Value| entry.get("digest").and_then(Value::as_str) == Some(digest);
    if manifests.iter().any(is_it) {
        return Ok(true);
    }
    manifests.push(json!(referrer));
    index.insert("schemaVersion".to_owned(), json!(2));
    index.insert("mediaType".to_owned(), json!(IMAGE_INDEX));
    let index = Manifest {
        media_type: IMAGE_INDEX.to_owned(),
        bytes: Value::Object(index).to_string().into_bytes(),
    };
    client.put_manifest(repository, &tag, &index)?;
    if is_shadowed {
        let kept = client.get_manifest(repository, &tag)?;
        is_shadowed = is_subject(&kept, subject);
    }
    Ok(!is_shadowed)
}
