//! Removing a tag and nothing else, whatever the registry can delete.

use cssc_core::{Repository, Tag};

use crate::{Artifact, Descriptor, Reference, RegistryClient, RegistryError, digest};

/// What became of a tag that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TagDeletion {
    /// It is not there any more, or never was.
    Removed,
    /// The registry deletes nothing. The tag is still there and stands for an empty manifest, so
    /// that nobody pulls what it stood for, and layers without another tag can be collected.
    Emptied,
    /// The tag is still there and stands for what it did, for this reason: the registry deletes
    /// nothing and does not let the tag be moved, or somebody else moved it meanwhile.
    Kept(RegistryError),
}

/// Removes a tag. What it points to stays, and so do all other tags of that manifest.
///
/// Registries differ: some delete a tag, some only a manifest with all its tags, some neither.
/// So the tag is deleted if it can be; else it is pointed to an empty manifest that no other tag
/// has, and that is deleted by its digest. Answers are not believed, since some registries answer
/// 202 and keep the tag, or 404 although it is there: after each step the tag is asked for.
///
/// # Errors
///
/// Fails when the registry does not answer; trying again finishes what was begun.
pub fn delete_tag(
    client: &dyn RegistryClient,
    repository: &Repository,
    tag: &Tag,
) -> Result<TagDeletion, RegistryError> {
    let reference = Reference::Tag(tag.clone());
    let Some(before) = client.resolve(repository, &reference)? else {
        return Ok(TagDeletion::Removed);
    };
    // Whether the answer is yes or no, it is not believed.
    drop(answered(client.delete(repository, &reference))?);
    let kept = |why: &str| {
        let message = format!("`{repository}:{tag}` {why}");
        Ok(TagDeletion::Kept(RegistryError::answer(message)))
    };
    let placeholder = placeholder(tag);
    let digest = match client.resolve(repository, &reference)? {
        None => return Ok(TagDeletion::Removed),
        // From an attempt before.
        Some(there) if is_form_of(&placeholder, &there) => there.digest,
        Some(there) if there.digest != before.digest => return kept(MOVED),
        Some(_) => {
            let pushed = placeholder.push(client, repository, Some(&reference));
            match answered(pushed)? {
                Ok(pushed) => pushed.digest,
                Err(refusal) => return Ok(TagDeletion::Kept(refusal)),
            }
        }
    };
    drop(answered(
        client.delete(repository, &Reference::Digest(digest.clone())),
    )?);
    match client.resolve(repository, &reference)? {
        None => Ok(TagDeletion::Removed),
        Some(there) if there.digest == digest => Ok(TagDeletion::Emptied),
        Some(there) if there.digest == before.digest => {
            kept("stays as it was, although the registry said that it had written another manifest")
        }
        Some(_) => kept(MOVED),
    }
}

/// Whether this account may delete manifests of a repository, as far as the registry says so: it
/// is asked to delete one that does not exist.
///
/// # Errors
///
/// Fails when the registry deletes nothing, forbids it, or does not answer.
pub fn check_deletion(
    client: &dyn RegistryClient,
    repository: &Repository,
) -> Result<(), RegistryError> {
    let nothing = digest::of(b"cssc: there is no such manifest");
    match client.delete(repository, &Reference::Digest(nothing)) {
        Err(error) if !error.is_absent() => Err(error),
        _ => Ok(()),
    }
}

const MOVED: &str = "was moved while it was being deleted";

/// What the registry answered, be it yes or no; fails when it did not answer.
fn answered<T>(
    result: Result<T, RegistryError>,
) -> Result<Result<T, RegistryError>, RegistryError> {
    match result {
        Err(error) if error.is_retryable() => Err(error),
        answer => Ok(answer),
    }
}

/// Whether an artifact was stored as this, in the form that the registry takes.
fn is_form_of(artifact: &Artifact, stored: &Descriptor) -> bool {
    let forms = [artifact.manifest(), artifact.image_manifest()];
    forms
        .iter()
        .any(|form| form.descriptor().digest == stored.digest)
}

/// An empty manifest that no other tag points to, since it names its own.
fn placeholder(tag: &Tag) -> Artifact {
    Artifact::new("application/vnd.cssc.deleted.v1").annotation("dev.cssc.tag", tag.as_str())
}
