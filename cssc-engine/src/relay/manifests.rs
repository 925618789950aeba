//! Manifests: given by digest, taken under the login's own tag.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cssc_registry::{Digest, MAX_MANIFEST_LEN, Manifest, Reference, RegistryError};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use hyper::{Request, StatusCode};

use super::answer::{Answer, CONTENT_DIGEST, Refusal, answer, set};
use super::calls::blocking;
use super::references::{References, stated_type};
use super::service::{Asked, FetchedManifest};
use super::store::Claim;
use crate::server::read_piece;

/// How long nothing may come of what is pushed.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How many references of one manifest the registry is asked about.
const MAX_QUESTIONS: usize = 512;
/// How much one login may push.
const MAX_MANIFESTS: usize = 1_024;

fn unknown() -> Refusal {
    Refusal::not_found("MANIFEST_UNKNOWN")
}

/// Answers with a manifest.
pub(super) async fn get(asked: &Asked, reference: &Reference) -> Result<Answer, Refusal> {
    let (digest, manifest) = match reference {
        Reference::Tag(tag) if asked.is_own => {
            let digest = asked.login.pushed().tags.get(tag).cloned();
            let digest = digest.ok_or_else(unknown)?;
            let manifest = stored(asked, &digest).await.ok_or_else(unknown)?;
            (digest, manifest)
        }
        Reference::Tag(_) => {
            // A tool may look for an image of its own at several places.
            let absent = |error: RegistryError| {
                if error.is_absent() {
                    unknown()
                } else {
                    error.into()
                }
            };
            let fetched = fetched(asked, reference).await;
            let (digest, manifest) = fetched.map_err(absent)?;
            asked.place.follow(&digest, &manifest);
            (digest, manifest)
        }
        Reference::Digest(digest) => (digest.clone(), by_digest(asked, digest).await?),
    };
    Ok(found(asked.is_head, &digest, &manifest))
}

fn found(is_head: bool, digest: &Digest, manifest: &Manifest) -> Answer {
    let content = if is_head {
        Bytes::new()
    } else {
        Bytes::from(manifest.bytes.clone())
    };
    let mut answer = answer(StatusCode::OK, content);
    set(&mut answer, CONTENT_TYPE, &manifest.media_type);
    set(&mut answer, CONTENT_DIGEST, digest.as_str());
    let length = manifest.bytes.len().to_string();
    set(&mut answer, CONTENT_LENGTH, &length);
    answer
}

async fn by_digest(asked: &Asked, digest: &Digest) -> Result<Arc<Manifest>, Refusal> {
    let place = &asked.place;
    let is_reachable = place.has_manifest(digest);
    if !is_reachable && !place.is_open {
        // What it refers to does not get readable by being referred to.
        let is_pushed = asked.is_own && asked.login.pushed().manifests.contains(digest);
        let pushed = if is_pushed {
            stored(asked, digest).await
        } else {
            None
        };
        return pushed.ok_or_else(unknown);
    }
    let known = match place.root(digest) {
        Some(root) => Some(root),
        None if is_reachable => stored(asked, digest).await,
        // What is held may be of another repository: only the registry knows.
        None => None,
    };
    let manifest = match known {
        Some(manifest) => manifest,
        None => fetched(asked, &Reference::Digest(digest.clone())).await?.1,
    };
    place.follow(digest, &manifest);
    Ok(manifest)
}

async fn stored(asked: &Asked, digest: &Digest) -> Option<Arc<Manifest>> {
    let (store, digest) = (Arc::clone(&asked.service.store), digest.clone());
    let stored = blocking(move || store.manifest(&digest)).await;
    stored.ok().flatten().map(Arc::new)
}

/// A manifest from its registry, asked for once however many want it.
async fn fetched(asked: &Asked, reference: &Reference) -> FetchedManifest {
    let service = Arc::clone(&asked.service);
    let origin = Arc::clone(&asked.place.origin);
    let key = (origin.name.clone(), reference.as_str().to_owned());
    let reference = reference.clone();
    let fetch = async move {
        let store = Arc::clone(&service.store);
        let fetch = service.calls.ask(&origin, move |client, repository| {
            let manifest = client.get_manifest(repository, &reference)?;
            let digest = match reference {
                Reference::Digest(digest) => digest,
                Reference::Tag(_) => manifest.descriptor().digest,
            };
            if !cssc_registry::digest::matches(&digest, &manifest.bytes) {
                let message = format!("the manifest of `{repository}@{digest}` is another");
                return Err(RegistryError::answer(message));
            }
            // Where there is no room it is fetched again the next time.
            let _ = store.add_manifest(&digest, &manifest, Claim::None);
            Ok((digest, Arc::new(manifest)))
        });
        fetch.await
    };
    let fetched = asked.service.manifests.get(key, fetch).await;
    fetched.unwrap_or_else(|| Err(RegistryError::unavailable("the manifest was not read")))
}

/// Takes a manifest.
pub(super) async fn put(
    asked: &Asked,
    reference: &Reference,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    if let Reference::Tag(tag) = reference
        && !asked.login.may_write(tag)
    {
        return Err(unknown());
    }
    let stated = request.headers().get(CONTENT_TYPE).cloned();
    let stated = stated.as_ref().and_then(|value| value.to_str().ok());
    let stated = stated.and_then(|value| value.split(';').next());
    let bytes = read(request.into_body()).await?;
    let stated = stated.map(|stated| stated.trim().to_owned());
    let manifest = Manifest {
        media_type: stated.or_else(|| stated_type(&bytes)).unwrap_or_default(),
        bytes,
    };
    let digest = match reference {
        Reference::Digest(digest) => digest.clone(),
        Reference::Tag(_) => manifest.descriptor().digest,
    };
    if !cssc_registry::digest::matches(&digest, &manifest.bytes) {
        return Err(Refusal::wrong_digest(&digest));
    }
    let invalid = |message| Refusal::bad("MANIFEST_INVALID", message);
    let references = References::read(&manifest).map_err(invalid)?;
    check(asked, &references).await?;
    store(asked, &digest, manifest).await?;
    if let Reference::Tag(tag) = reference {
        let mut pushed = asked.login.pushed();
        pushed.tags.insert(tag.clone(), digest.clone());
    }
    let mut created = answer(StatusCode::CREATED, "");
    let location = format!("/v2/{}/manifests/{digest}", asked.name);
    set(&mut created, LOCATION, &location);
    set(&mut created, CONTENT_DIGEST, digest.as_str());
    Ok(created)
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Refusal> {
    let most = usize::try_from(MAX_MANIFEST_LEN).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    loop {
        let piece = read_piece(&mut body, PATIENCE).await;
        let piece = piece.map_err(|_| Refusal::bad("MANIFEST_INVALID", "it did not come"))?;
        let Some(piece) = piece else {
            return Ok(bytes);
        };
        if bytes.len().saturating_add(piece.len()) > most {
            let message = format!("a manifest of over {most} bytes");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(Refusal::new(status, "MANIFEST_INVALID", message));
        }
        bytes.extend_from_slice(&piece);
    }
}

/// What a manifest refers to must be there.
async fn check(asked: &Asked, references: &References) -> Result<(), Refusal> {
    let blobs = references.blobs().map(|blob| (false, &blob.digest));
    let manifests = references.manifests().map(|one| (true, &one.digest));
    let all: HashSet<(bool, &Digest)> = blobs.chain(manifests).collect();
    let mut questions: usize = 0;
    for (is_manifest, digest) in all {
        if is_here(asked, is_manifest, digest) {
            continue;
        }
        questions = questions.saturating_add(1);
        if questions > MAX_QUESTIONS {
            let message = "the manifest refers to too much that was not pushed";
            return Err(Refusal::bad("MANIFEST_INVALID", message));
        }
        if !is_elsewhere(asked, is_manifest, digest).await? {
            let message = format!("`{digest}` is not there");
            return Err(Refusal::bad("MANIFEST_BLOB_UNKNOWN", message));
        }
    }
    Ok(())
}

fn is_here(asked: &Asked, is_manifest: bool, digest: &Digest) -> bool {
    let pushed = asked.login.pushed();
    if pushed.elsewhere.contains(digest) {
        return true;
    }
    if is_manifest {
        pushed.manifests.contains(digest) || asked.place.has_manifest(digest)
    } else {
        pushed.blobs.contains(digest) || asked.place.blob(digest).is_some()
    }
}

/// Whether the login's repository in the registry has it; that does not make it readable.
pub(super) async fn is_elsewhere(
    asked: &Asked,
    is_manifest: bool,
    digest: &Digest,
) -> Result<bool, RegistryError> {
    let wanted = digest.clone();
    let there = asked
        .service
        .calls
        .ask(&asked.place.origin, move |client, repository| {
            if is_manifest {
                let found = client.resolve(repository, &Reference::Digest(wanted))?;
                return Ok(found.is_some());
            }
            client.has_blob(repository, &wanted)
        });
    let there = there.await?;
    if there {
        asked.login.pushed().elsewhere.insert(digest.clone());
    }
    Ok(there)
}

async fn store(asked: &Asked, digest: &Digest, manifest: Manifest) -> Result<(), Refusal> {
    let claim = {
        let mut pushed = asked.login.pushed();
        if pushed.manifests.len() >= MAX_MANIFESTS {
            return Err(Refusal::too_many("too many manifests"));
        }
        if pushed.manifests.insert(digest.clone()) {
            Claim::Login
        } else {
            Claim::None
        }
    };
    let (store, name) = (Arc::clone(&asked.service.store), digest.clone());
    let added = blocking(move || store.add_manifest(&name, &manifest, claim)).await;
    added.flatten().map_err(|error| {
        if claim == Claim::Login {
            asked.login.pushed().manifests.remove(digest);
        }
        error.into()
    })
}
