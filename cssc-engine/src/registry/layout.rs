//! A tree of OCI image layouts: `DIR/<repository>` is a layout, a tag is a reference name in it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use cssc_core::{Listing, Repository, TagSet, TagSetBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::RegistryError;
use super::{Descriptor, Digest, MAX_MANIFEST_LEN, Manifest, Reference, RegistryClient, listing};
use crate::atomic;

/// The most bytes of an `index.json` that are read: more than a million tags.
const MAX_INDEX_LEN: u64 = 512 << 20;

/// The annotation that holds the tag
/// ([OCI image specification, "Pre-Defined Annotation Keys"][spec]).
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A folder in which every repository is a folder with an OCI image layout, as
/// `skopeo copy docker://python:3.11 oci:DIR/python:3.11` makes it.
///
/// Tags are the `org.opencontainers.image.ref.name` annotations of `index.json`; a name there
/// that is no tag is passed over. Links may point anywhere inside the folder and nowhere
/// else. Writes replace files as a whole, one process at a time.
#[derive(Debug, Clone)]
pub struct LayoutRegistry {
    /// Absolute, without links.
    root: PathBuf,
}

/// `index.json`, as far as reading needs it.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Deserialize, Serialize, Default)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    ref_name: Option<String>,
}

/// The names alone, which is all that listing needs of a large index.
#[derive(Deserialize)]
struct NameIndex {
    #[serde(default)]
    manifests: Vec<NameEntry>,
}

#[derive(Deserialize)]
struct NameEntry {
    #[serde(default)]
    annotations: Annotations,
}

impl LayoutRegistry {
    /// Opens a folder of layouts.
    ///
    /// # Errors
    ///
    /// Fails when the folder does not exist or cannot be entered.
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        let cannot_open = |error: io::Error| {
            RegistryError::unavailable(format!(
                "cannot open the layouts in `{}`: {error}",
                root.display()
            ))
        };
        let path = root.canonicalize().map_err(cannot_open)?;
        if path.is_dir() {
            Ok(Self { root: path })
        } else {
            Err(cannot_open(io::ErrorKind::NotADirectory.into()))
        }
    }

    /// The path of `name` in the layout of `repository`, links followed and checked.
    /// Nothing there is absent.
    fn find(&self, repository: &Repository, name: &str) -> Result<PathBuf, RegistryError> {
        let mut path = self.root.join(repository.as_str());
        if !name.is_empty() {
            path.push(name);
        }
        let found = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                RegistryError::absent(format!("`{}` does not exist", path.display()))
            }
            _ => cannot_read(&path, &error),
        })?;
        if found.starts_with(&self.root) {
            Ok(found)
        } else {
            Err(RegistryError::answer(format!(
                "`{}` is a link that leads out of `{}`",
                path.display(),
                self.root.display()
            )))
        }
    }

    /// Opens a file of at most `limit` bytes.
    fn open_file(
        &self,
        repository: &Repository,
        name: &str,
        limit: u64,
    ) -> Result<(PathBuf, File), RegistryError> {
        let path = self.find(repository, name)?;
        // Asked before opening: opening a pipe would wait for a writer.
        let metadata = fs::metadata(&path).map_err(|error| cannot_read(&path, &error))?;
        if !metadata.is_file() {
            return Err(RegistryError::answer(format!(
                "`{}` is not a file",
                path.display()
            )));
        }
        if metadata.len() > limit {
            return Err(too_large(&path, limit));
        }
        let file = File::open(&path).map_err(|error| cannot_read(&path, &error))?;
        Ok((path, file))
    }

    fn read_file(
        &self,
        repository: &Repository,
        name: &str,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let (path, file) = self.open_file(repository, name, limit)?;
        let mut bytes = Vec::new();
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| cannot_read(&path, &error))?;
        Ok(bytes)
    }

    fn read_index<T: for<'de> Deserialize<'de>>(
        &self,
        repository: &Repository,
    ) -> Result<T, RegistryError> {
        let directory = self.find(repository, "")?;
        let index = self.open_file(repository, "index.json", MAX_INDEX_LEN);
        let (path, file) = match index {
            Err(error) if error.is_absent() && is_mere_parent(&directory) => return Err(error),
            Err(error) if error.is_absent() => {
                return Err(RegistryError::answer(format!(
                    "`{}` is not an OCI image layout: it has no `index.json`",
                    directory.display()
                )));
            }
            index => index?,
        };
        serde_json::from_reader(BufReader::new(file.take(MAX_INDEX_LEN))).map_err(|error| {
            RegistryError::answer(format!("`{}` is broken: {error}", path.display()))
        })
    }

    fn tags(&self, repository: &Repository) -> Result<TagSet, RegistryError> {
        let index: NameIndex = self.read_index(repository)?;
        let mut tags = TagSetBuilder::default();
        for entry in index.manifests {
            if let Some(name) = entry.annotations.ref_name {
                // Any text may stand there; what is no tag cannot be pulled by it either.
                drop(tags.push(&name));
            }
        }
        Ok(tags.finish())
    }

    fn entry(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Descriptor, RegistryError> {
        let index: Index = self.read_index(repository)?;
        let is_it = |entry: &Entry| match reference {
            Reference::Tag(tag) => entry.annotations.ref_name.as_deref() == Some(tag.as_str()),
            Reference::Digest(digest) => entry.descriptor.digest == *digest,
        };
        if let Some(entry) = index.manifests.into_iter().find(is_it) {
            return Ok(entry.descriptor);
        }
        // A manifest without a tag, or one that another manifest refers to.
        if let Reference::Digest(digest) = reference {
            let bytes = self.read_file(repository, &blob_name(digest), MAX_MANIFEST_LEN)?;
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
        let directory = self.writable_directory(repository.as_str())?;
        let marker = directory.join("oci-layout");
        let lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&marker)
            .and_then(|lock| lock.lock().map(|()| lock))
            .map_err(|error| cannot_write(&marker, &error))?;
        if lock.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            // In place, since a file put in its stead would not be the one that is locked.
            io::Write::write_all(&mut &lock, br#"{"imageLayoutVersion":"1.0.0"}"#)
                .map_err(|error| cannot_write(&marker, &error))?;
        }
        Ok((directory, lock))
    }

    /// A folder in the tree, created if need be, each step checked for where it leads.
    fn writable_directory(&self, name: &str) -> Result<PathBuf, RegistryError> {
        let mut directory = self.root.clone();
        for component in name.split('/') {
            directory.push(component);
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(cannot_write(&directory, &error));
                }
                _ => {}
            }
            let found = directory
                .canonicalize()
                .map_err(|error| cannot_write(&directory, &error))?;
            if !found.starts_with(&self.root) {
                return Err(RegistryError::answer(format!(
                    "`{}` is a link that leads out of `{}`",
                    directory.display(),
                    self.root.display()
                )));
            }
        }
        Ok(directory)
    }

    fn store(
        &self,
        repository: &Repository,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let name = blob_name(digest);
        match self.find(repository, &name) {
            Ok(_) => return Ok(()),
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
        let directory = format!("{repository}/blobs/{}", digest.algorithm());
        let path = self.writable_directory(&directory)?.join(digest.hex());
        atomic::write(&path, bytes).map_err(|error| cannot_write(&path, &error))
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
            self.read_index(repository)?
        } else {
            Map::from_iter([("schemaVersion".to_owned(), json!(2))])
        };
        let broken = || RegistryError::answer(format!("`{}` is broken", path.display()));
        let manifests = index
            .entry("manifests")
            .or_insert_with(|| json!([]))
            .as_array_mut()
            .ok_or_else(broken)?;
        edit(manifests);
        let bytes = serde_json::to_vec(&index).map_err(|_| broken())?;
        atomic::write(&path, &bytes).map_err(|error| cannot_write(&path, &error))
    }
}

impl RegistryClient for LayoutRegistry {
    fn list_tags(&self, repository: &Repository) -> Listing {
        listing(self.tags(repository))
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
        let mut descriptor = manifest.descriptor();
        if let Reference::Digest(digest) = reference {
            if !digest.matches(&manifest.bytes) {
                return Err(RegistryError::input(format!(
                    "the manifest to write is not what `{digest}` names"
                )));
            }
            descriptor.digest = digest.clone();
        }
        self.store(repository, &descriptor.digest, &manifest.bytes)?;
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
        let bytes = self.read_file(repository, &blob_name(&blob.digest), limit)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len == blob.size)
            && blob.digest.matches(&bytes)
        {
            Ok(bytes)
        } else {
            Err(RegistryError::answer(format!(
                "the content of `{repository}@{}` is not what its digest says",
                blob.digest
            )))
        }
    }

    fn put_blob(&self, repository: &Repository, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = Digest::of(bytes);
        self.store(repository, &digest, bytes)?;
        Ok(digest)
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
                match self.find(repository, &blob_name(digest)) {
                    Ok(path) => fs::remove_file(&path).map_err(|error| cannot_write(&path, &error)),
                    Err(error) if error.is_absent() => Ok(()),
                    Err(error) => Err(error),
                }
            }
        }
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

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

fn ref_name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

fn has_digest(entry: &Value, digest: &Digest) -> bool {
    entry.get("digest").and_then(Value::as_str) == Some(digest.as_str())
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

fn cannot_read(path: &Path, error: &io::Error) -> RegistryError {
    RegistryError::unavailable(format!("cannot read `{}`: {error}", path.display()))
}

fn cannot_write(path: &Path, error: &io::Error) -> RegistryError {
    RegistryError::unavailable(format!("cannot write `{}`: {error}", path.display()))
}

fn too_large(path: &Path, limit: u64) -> RegistryError {
    RegistryError::answer(format!(
        "`{}` is too large: at most {limit} bytes are read",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cssc_core::TagRef;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    fn layouts() -> (tempfile::TempDir, LayoutRegistry) {
        let directory = tempfile::tempdir().unwrap();
        let registry = LayoutRegistry::open(directory.path()).unwrap();
        (directory, registry)
    }

    fn repository(name: &str) -> Repository {
        name.parse().unwrap()
    }

    fn tag(name: &str) -> Reference {
        Reference::Tag(name.parse().unwrap())
    }

    fn write(directory: &tempfile::TempDir, name: &str, text: &str) {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn unavailable(registry: &LayoutRegistry, name: &str) -> String {
        match registry.list_tags(&repository(name)) {
            Listing::Unavailable(reason) => {
                reason.replace(&registry.root.display().to_string(), "DIR")
            }
            listing => panic!("{listing:?}"),
        }
    }

    #[test]
    fn reads_what_skopeo_writes() {
        let (directory, registry) = layouts();
        let entry = |name: &str| {
            json!({"mediaType": MANIFEST, "digest": Digest::of(b"{}"), "size": 2,
                   "annotations": {REF_NAME: name}})
        };
        let index = json!({"schemaVersion": 2, "manifests": [
            entry("3.11-1"), entry("3.11"), entry("not a tag"),
            {"mediaType": MANIFEST, "digest": Digest::of(b"untagged"), "size": 8}]});
        write(&directory, "a/b/index.json", &index.to_string());
        let name = repository("a/b");
        let Listing::Found(tags) = registry.list_tags(&name) else {
            panic!()
        };
        let tags: Vec<&str> = tags.iter().map(TagRef::as_str).collect();
        assert_eq!(tags, ["3.11", "3.11-1"]);
        let found = registry.resolve(&name, &tag("3.11")).unwrap().unwrap();
        assert_eq!(found, Descriptor::of(MANIFEST, b"{}"));
        assert_eq!(registry.resolve(&name, &tag("3.12")), Ok(None));
        // A folder on the way to a repository is none itself.
        assert_eq!(registry.list_tags(&repository("a")), Listing::Absent);
    }

    #[test]
    fn what_is_not_there_and_what_is_broken() {
        let (directory, registry) = layouts();
        assert_eq!(registry.list_tags(&repository("python")), Listing::Absent);
        fs::create_dir(directory.path().join("empty")).unwrap();
        assert_eq!(
            unavailable(&registry, "empty"),
            "`DIR/empty` is not an OCI image layout: it has no `index.json`"
        );
        write(&directory, "cut/index.json", "{\"manifests\": [");
        assert_eq!(
            unavailable(&registry, "cut"),
            "`DIR/cut/index.json` is broken: EOF while parsing a list at line 1 column 15"
        );
        fs::create_dir_all(directory.path().join("folder/index.json")).unwrap();
        assert_eq!(
            unavailable(&registry, "folder"),
            "`DIR/folder/index.json` is not a file"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere_else() {
        use std::os::unix::fs::symlink;
        let elsewhere = tempfile::tempdir().unwrap();
        write(&elsewhere, "index.json", "{}");
        let (directory, registry) = layouts();
        symlink(elsewhere.path(), directory.path().join("out")).unwrap();
        assert_eq!(
            unavailable(&registry, "out"),
            "`DIR/out` is a link that leads out of `DIR`"
        );
        write(&directory, "in/index.json", "{}");
        symlink(directory.path().join("in"), directory.path().join("link")).unwrap();
        assert_eq!(
            registry.list_tags(&repository("link")),
            Listing::Found(TagSet::default())
        );
        let manifest = Manifest {
            media_type: MANIFEST.to_owned(),
            bytes: b"{}".to_vec(),
        };
        let error = registry
            .put_manifest(&repository("out/deep"), &tag("a"), &manifest)
            .unwrap_err();
        assert!(error.is_invalid_answer(), "{error}");
        fs::create_dir(directory.path().join("blobs-out")).unwrap();
        symlink(elsewhere.path(), directory.path().join("blobs-out/blobs")).unwrap();
        assert!(registry.put_blob(&repository("blobs-out"), b"x").is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
        // A loop of links ends too.
        symlink(directory.path().join("loop"), directory.path().join("loop")).unwrap();
        assert!(unavailable(&registry, "loop").starts_with("cannot read `DIR/loop`: "));
    }

    #[test]
    fn written_read_and_deleted() {
        let (_directory, registry) = layouts();
        let name = repository("csscpolicies/patchpolicy");
        let blob = registry.put_blob(&name, b"layer").unwrap();
        assert_eq!(registry.put_blob(&name, b"layer"), Ok(blob.clone()));
        let layer = Descriptor::of("text/plain", b"layer");
        assert_eq!(registry.get_blob(&name, &layer, 5).unwrap(), b"layer");
        assert!(registry.get_blob(&name, &layer, 4).is_err());
        let manifest = Manifest {
            media_type: MANIFEST.to_owned(),
            bytes: b"{}".to_vec(),
        };
        for reference in [tag("v1"), tag("v2")] {
            registry.put_manifest(&name, &reference, &manifest).unwrap();
            assert_eq!(registry.get_manifest(&name, &reference).unwrap(), manifest);
        }
        registry.delete(&name, &tag("v1")).unwrap();
        assert_eq!(registry.resolve(&name, &tag("v1")), Ok(None));
        assert!(registry.delete(&name, &tag("v1")).unwrap_err().is_absent());
        assert!(registry.resolve(&name, &tag("v2")).unwrap().is_some());
        let digest = Reference::Digest(Digest::of(b"{}"));
        registry.delete(&name, &digest).unwrap();
        assert_eq!(registry.resolve(&name, &tag("v2")), Ok(None));
        assert_eq!(registry.resolve(&name, &digest), Ok(None));
        assert_eq!(registry.list_tags(&name), Listing::Found(TagSet::default()));
    }

    #[test]
    fn many_may_write_at_once() {
        let (directory, registry) = layouts();
        let name = repository("a");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (name, directory) = (&name, directory.path());
                scope.spawn(move || {
                    // As another process would: nothing is shared but the files.
                    let registry = LayoutRegistry::open(directory).unwrap();
                    for number in 0..10 {
                        let manifest = Manifest {
                            media_type: MANIFEST.to_owned(),
                            bytes: format!("{{\"{writer}\": {number}}}").into_bytes(),
                        };
                        let tag = tag(&format!("{writer}.{number}"));
                        registry.put_manifest(name, &tag, &manifest).unwrap();
                    }
                });
            }
        });
        let listing = registry.list_tags(&name);
        assert!(matches!(listing, Listing::Found(tags) if tags.len() == 80));
        // No temporary file is left behind.
        let left = fs::read_dir(directory.path().join("a")).unwrap().count();
        assert_eq!(left, 3, "blobs, index.json, oci-layout");
    }

    #[test]
    fn content_is_checked() {
        let (directory, registry) = layouts();
        let name = repository("a");
        let digest = registry.put_blob(&name, b"layer").unwrap();
        write(&directory, &format!("a/{}", blob_name(&digest)), "other");
        let layer = Descriptor::of("", b"layer");
        let error = registry.get_blob(&name, &layer, 5).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the content of `a@{digest}` is not what its digest says")
        );
    }
}
