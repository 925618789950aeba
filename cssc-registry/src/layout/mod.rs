//! A tree of OCI image layouts: `DIR/<repository>` is a layout, a tag is a reference name in it.

mod index;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use cssc_core::tags::{TagSet, TagSetBuilder};
use cssc_core::{Listing, Repository};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::index::{Entry, NameEntry, REF_NAME, has_digest, ref_name};
use self::tree::{Tree, cannot_write};
use super::error::RegistryError;
use super::{
    BlobReader, Descriptor, Digest, ListBudget, MAX_MANIFEST_LEN, Manifest, Reference, Referrer,
    RegistryClient, listing, referrers,
};
use crate::atomic;
use crate::blob_reader::{file_error, open_file};

/// The most bytes of an `index.json` that are read: some half a million tags. It is read entry by
/// entry and never held.
const MAX_INDEX_LEN: u64 = 128 << 20;
/// The most bytes of an `index.json` that is changed, and held as a whole for that.
const MAX_CHANGED_INDEX_LEN: u64 = 16 << 20;
/// After how many entries the memory of their tags is counted.
const RESERVE_EVERY: usize = 4096;

/// A folder in which every repository is a folder with an OCI image layout, as
/// `skopeo copy docker://python:3.11 oci:DIR/python:3.11` makes it.
///
/// Tags are the `org.opencontainers.image.ref.name` annotations of `index.json`; a name there
/// that is no tag is passed over. Links may point anywhere inside the folder and nowhere
/// else. Writes replace files as a whole, one process at a time.
#[derive(Debug, Clone)]
pub struct LayoutRegistry {
    tree: Tree,
}

impl LayoutRegistry {
    /// Opens a folder of layouts.
    ///
    /// # Errors
    ///
    /// Fails when the folder does not exist or cannot be entered.
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        let tree = Tree::open(root)?;
        Ok(Self { tree })
    }

    /// Opens `index.json`, of at most `limit` bytes.
    fn open_index(
        &self,
        repository: &Repository,
        limit: u64,
    ) -> Result<(PathBuf, BufReader<io::Take<File>>), RegistryError> {
        let directory = self.tree.find(repository.as_str())?;
        let path = format!("{repository}/index.json");
        let (path, file) = match self.tree.open_file(&path, limit) {
            Err(error) if error.is_absent() && is_mere_parent(&directory) => return Err(error),
            Err(error) if error.is_absent() => {
                return Err(RegistryError::answer(format!(
                    "`{}` is not an OCI image layout: it has no `index.json`",
                    directory.display()
                )));
            }
            index => index?,
        };
        Ok((path, BufReader::new(file.take(limit))))
    }

    /// Gives each entry of `index.json` to `take`, until it fails.
    fn each_entry<T: for<'de> Deserialize<'de>>(
        &self,
        repository: &Repository,
        take: impl FnMut(T) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let (path, file) = self.open_index(repository, MAX_INDEX_LEN)?;
        index::each_entry(file, |why| broken(&path, why), take)
    }

    fn tags(&self, repository: &Repository, budget: &ListBudget) -> Result<TagSet, RegistryError> {
        let mut tags = TagSetBuilder::default();
        let mut memory = budget.reservation();
        self.each_entry(repository, |entry: NameEntry| {
            if let Some(name) = entry.annotations.ref_name {
                // Any text may stand there; what is no tag cannot be pulled by it either.
                drop(tags.push(&name));
                if tags.len().is_multiple_of(RESERVE_EVERY) {
                    memory.resize(tags.memory())?;
                }
            }
            Ok(())
        })?;
        let tags = tags.finish();
        memory.resize(tags.memory())?;
        memory.keep();
        budget.count_page(tags.len());
        Ok(tags)
    }

    fn entry(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Descriptor, RegistryError> {
        let mut found = None;
        self.each_entry(repository, |entry: Entry| {
            let is_it = match reference {
                Reference::Tag(tag) => entry.annotations.ref_name.as_deref() == Some(tag.as_str()),
                Reference::Digest(digest) => entry.digest == *digest,
            };
            if is_it && found.is_none() {
                found = Some(Descriptor {
                    media_type: entry.media_type,
                    digest: entry.digest,
                    size: entry.size,
                });
            }
            Ok(())
        })?;
        if let Some(descriptor) = found {
            return Ok(descriptor);
        }
        // A manifest without a tag, or one that another manifest refers to.
        if let Reference::Digest(digest) = reference {
            let bytes = self
                .tree
                .read_file(&blob_path(repository, digest), MAX_MANIFEST_LEN)?;
            return Ok(Descriptor {
                media_type: media_type(&bytes),
                digest: digest.clone(),
                size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            });
        }
        Err(RegistryError::absent(format!(
            "`{repository}{reference}` does not exist"
        )))
    }

    /// Creates the layout of `repository` if need be, and makes this the only writer to it
    /// until the file returned is dropped.
    fn begin_write(&self, repository: &Repository) -> Result<(PathBuf, File), RegistryError> {
        let directory = self.tree.writable_directory(repository.as_str())?;
        let marker = directory.join("oci-layout");
        let lock = self.tree.lock(&marker)?;
        if lock.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            // In place, since a file put in its stead would not be the one that is locked.
            io::Write::write_all(&mut &lock, br#"{"imageLayoutVersion":"1.0.0"}"#)
                .map_err(|error| cannot_write(&marker, &error))?;
        }
        Ok((directory, lock))
    }

    fn store(
        &self,
        repository: &Repository,
        digest: &Digest,
        content: impl Read,
        on_bad_content: impl FnOnce(&io::Error) -> RegistryError,
    ) -> Result<(), RegistryError> {
        if self.has_blob(repository, digest)? {
            return Ok(());
        }
        let directory = format!("{repository}/blobs/{}", digest.algorithm());
        let path = self.tree.writable_directory(&directory)?.join(digest.hex());
        atomic::copy(&path, content).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => on_bad_content(&error),
            _ => cannot_write(&path, &error),
        })
    }

    /// Stores what is in memory.
    fn store_bytes(
        &self,
        repository: &Repository,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        self.store(repository, digest, bytes, |error| {
            RegistryError::input(error.to_string())
        })
    }

    /// Changes `index.json`; whatever else stands there stays.
    fn edit_index(
        &self,
        repository: &Repository,
        edit: impl FnOnce(&mut Vec<Value>),
    ) -> Result<(), RegistryError> {
        let (directory, _lock) = self.begin_write(repository)?;
        let path = directory.join("index.json");
        let mut index: Map<String, Value> = if path.exists() {
            let (path, file) = self.open_index(repository, MAX_CHANGED_INDEX_LEN)?;
            serde_json::from_reader(file).map_err(|error| broken(&path, &error))?
        } else {
            Map::from_iter([("schemaVersion".to_owned(), json!(2))])
        };
        let manifests = index
            .entry("manifests")
            .or_insert_with(|| json!([]))
            .as_array_mut()
            .ok_or_else(|| broken(&path, &"`manifests` is not a list"))?;
        edit(manifests);
        let bytes = serde_json::to_vec(&index).map_err(|error| broken(&path, &error))?;
        atomic::write(&path, &bytes).map_err(|error| cannot_write(&path, &error))
    }
}

impl RegistryClient for LayoutRegistry {
    fn list_tags(&self, repository: &Repository) -> Listing {
        self.list_tags_within(repository, &ListBudget::default())
    }

    fn list_tags_within(&self, repository: &Repository, budget: &ListBudget) -> Listing {
        listing(self.tags(repository, budget))
    }

    fn resolve(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        match self.entry(repository, reference) {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Manifest, RegistryError> {
        let descriptor = self.entry(repository, reference)?;
        let bytes = self.get_blob(repository, &descriptor, MAX_MANIFEST_LEN)?;
        let media_type = match descriptor.media_type {
            unknown if unknown.is_empty() => media_type(&bytes),
            known => known,
        };
        Ok(Manifest { media_type, bytes })
    }

    fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        manifest.check(reference)?;
        let mut descriptor = manifest.descriptor();
        if let Reference::Digest(digest) = reference {
            descriptor.digest = digest.clone();
        }
        self.store_bytes(repository, &descriptor.digest, &manifest.bytes)?;
        let mut entry = json!(descriptor);
        self.edit_index(repository, |manifests| match reference {
            Reference::Tag(tag) => {
                manifests.retain(|entry| ref_name(entry) != Some(tag.as_str()));
                if let Some(entry) = entry.as_object_mut() {
                    entry.insert("annotations".to_owned(), json!({ REF_NAME: tag }));
                }
                manifests.push(entry);
            }
            Reference::Digest(digest) => {
                if !manifests.iter().any(|entry| has_digest(entry, digest)) {
                    manifests.push(entry);
                }
            }
        })
    }

    fn get_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let bytes = self
            .tree
            .read_file(&blob_path(repository, &blob.digest), limit)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len == blob.size)
            && crate::digest::matches(&blob.digest, &bytes)
        {
            Ok(bytes)
        } else {
            Err(RegistryError::answer(format!(
                "the content of `{repository}@{}` does not match its digest",
                blob.digest
            )))
        }
    }

    fn put_blob(&self, repository: &Repository, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = crate::digest::of(bytes);
        self.store_bytes(repository, &digest, bytes)?;
        Ok(digest)
    }

    fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError> {
        match self.tree.find(&blob_path(repository, digest)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn open_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
    ) -> Result<BlobReader, RegistryError> {
        let path = blob_path(repository, &blob.digest);
        let (_, file) = self.tree.open_file(&path, blob.size)?;
        Ok(BlobReader::new(blob, file))
    }

    fn put_blob_file(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        file: &Path,
    ) -> Result<(), RegistryError> {
        let source = open_file(file, blob)?;
        self.store(repository, &blob.digest, source, |error| {
            file_error(file, blob, error)
        })
    }

    fn delete(&self, repository: &Repository, reference: &Reference) -> Result<(), RegistryError> {
        self.entry(repository, reference)?;
        match reference {
            Reference::Tag(tag) => self.edit_index(repository, |manifests| {
                manifests.retain(|entry| ref_name(entry) != Some(tag.as_str()));
            }),
            Reference::Digest(digest) => {
                self.edit_index(repository, |manifests| {
                    manifests.retain(|entry| !has_digest(entry, digest));
                })?;
                match self.tree.find(&blob_path(repository, digest)) {
                    Ok(path) => fs::remove_file(&path).map_err(|error| cannot_write(&path, &error)),
                    Err(error) if error.is_absent() => Ok(()),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Read from the manifests that `index.json` names, and from the tag that some clients keep
    /// for referrers in layouts too.
    fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>, RegistryError> {
        let mut manifests = BTreeSet::new();
        let read = self.each_entry(repository, |entry: Entry| {
            manifests.insert(entry.digest);
            Ok(())
        });
        match read {
            Err(error) if error.is_absent() => return Ok(Vec::new()),
            read => read?,
        }
        let mut found = referrers::from_tag(self, repository, subject, None)?;
        for digest in manifests {
            let manifest = match self.get_manifest(repository, &digest.into()) {
                // Named, and removed since or never copied.
                Err(error) if error.is_absent() => continue,
                manifest => manifest?,
            };
            let refers = referrers::subject_of(&manifest.bytes).as_ref() == Some(subject);
            let digest = manifest.descriptor().digest;
            if refers && !found.iter().any(|known| known.descriptor.digest == digest) {
                found.push(referrers::referrer_of(&manifest)?);
            }
        }
        referrers::checked(found, artifact_type)
    }

    fn has_referrers_api(&self, _: &Repository) -> Result<bool, RegistryError> {
        Ok(true)
    }
}

/// Whether a folder without `index.json` only leads to repositories, as `library` does to
/// `library/python`. One that is empty, or holds anything of a layout, is a broken layout.
fn is_mere_parent(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    let names: Result<BTreeSet<_>, _> = entries
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), entry.file_type()?.is_file()))
        })
        .collect::<Result<_, io::Error>>();
    names.is_ok_and(|names| {
        !names.is_empty()
            && names
                .iter()
                .all(|(name, is_file)| !is_file && name != "blobs")
    })
}

fn blob_path(repository: &Repository, digest: &Digest) -> String {
    format!("{repository}/blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// The media type a manifest states of itself.
fn media_type(manifest: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: String,
    }
    match serde_json::from_slice(manifest) {
        Ok(Typed { media_type }) => media_type,
        Err(_) => "application/vnd.oci.image.manifest.v1+json".to_owned(),
    }
}

fn broken(path: &Path, why: &dyn fmt::Display) -> RegistryError {
    RegistryError::answer(format!("`{}` is broken: {why}", path.display()))
}
