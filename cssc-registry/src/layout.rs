//! A tree of OCI image layouts: `DIR/<repository>` is a layout, a tag is a reference name in it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cssc_core::stream::{self, Each};
use cssc_core::tags::{TagSet, TagSetBuilder};
use cssc_core::{Listing, Repository};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::error::RegistryError;
use super::{
    Descriptor, Digest, ListBudget, MAX_MANIFEST_LEN, Manifest, Reference, Referrer,
    RegistryClient, listing, referrers,
};
use crate::atomic;

/// The most bytes of an `index.json` that are read: some half a million tags. It is read entry by
/// entry and never held.
const MAX_INDEX_LEN: u64 = 128 << 20;
/// The most bytes of an `index.json` that is changed, and held as a whole for that.
const MAX_CHANGED_INDEX_LEN: u64 = 16 << 20;
/// After how many entries the memory of their tags is counted.
const RESERVE_EVERY: usize = 4096;

/// How long a write waits for another writer of the same layout.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
const LOCK_POLL: Duration = Duration::from_millis(20);

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

/// An entry of `index.json`, as far as reading needs it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Deserialize, Default)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    ref_name: Option<String>,
}

/// The name alone, which is all that listing needs of a large index.
#[derive(Deserialize)]
struct NameEntry {
    #[serde(default)]
    annotations: Annotations,
}

/// `index.json`, whose entries go to `entry` one by one.
struct Index<E> {
    entry: E,
}

impl<'de, E> Visitor<'de> for Index<E>
where
    for<'a> &'a mut E: DeserializeSeed<'de, Value = ()>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `manifests`")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "manifests" {
                map.next_value_seed(Each {
                    expecting: "a list of manifests",
                    or_null: false,
                    element: &mut self.entry,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
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

    /// Opens `index.json`, of at most `limit` bytes.
    fn open_index(
        &self,
        repository: &Repository,
        limit: u64,
    ) -> Result<(PathBuf, BufReader<io::Take<File>>), RegistryError> {
        let directory = self.find(repository, "")?;
        let (path, file) = match self.open_file(repository, "index.json", limit) {
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
        mut take: impl FnMut(T) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let (path, file) = self.open_index(repository, MAX_INDEX_LEN)?;
        let mut failed = None;
        let entry = stream::Value::new(|entry: T| {
            let taken = take(entry);
            failed = taken.clone().err();
            taken
        });
        let mut json = serde_json::Deserializer::from_reader(file);
        let read = json.deserialize_map(Index { entry });
        let read = read.and_then(|()| json.end());
        match failed {
            Some(error) => Err(error),
            None => read.map_err(|error| broken(&path, &error)),
        }
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
        // A link that leads nowhere would have its target created.
        if marker.is_symlink() {
            self.refuse_outside(&marker)?;
        }
        let lock = lock(&marker, LOCK_TIMEOUT)?;
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
            self.refuse_outside(&directory)?;
        }
        Ok(directory)
    }

    /// Refuses a path that leads out of the tree, or nowhere.
    fn refuse_outside(&self, path: &Path) -> Result<(), RegistryError> {
        let found = path
            .canonicalize()
            .map_err(|error| cannot_write(path, &error))?;
        if found.starts_with(&self.root) {
            return Ok(());
        }
        Err(RegistryError::answer(format!(
            "`{}` is a link that leads out of `{}`",
            path.display(),
            self.root.display()
        )))
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
        let mut descriptor = manifest.descriptor();
        if let Reference::Digest(digest) = reference {
            if !crate::digest::matches(digest, &manifest.bytes) {
                return Err(RegistryError::input(format!(
                    "the manifest to write does not match `{digest}`"
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

fn broken(path: &Path, why: &dyn fmt::Display) -> RegistryError {
    RegistryError::answer(format!("`{}` is broken: {why}", path.display()))
}

fn cannot_read(path: &Path, error: &io::Error) -> RegistryError {
    RegistryError::unavailable(format!("cannot read `{}`: {error}", path.display()))
}

/// Opens a file, creates it if need be, and locks it until what is returned is dropped.
fn lock(path: &Path, timeout: Duration) -> Result<File, RegistryError> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| cannot_write(path, &error))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < timeout => {
                thread::sleep(LOCK_POLL);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(RegistryError::unavailable(format!(
                    "`{}` is locked by another writer, for more than {} s",
                    path.display(),
                    timeout.as_secs()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(cannot_write(path, &error)),
        }
    }
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
            Listing::Unavailable(reason) => reason
                .to_string()
                .replace(&registry.root.display().to_string(), "DIR"),
            listing => panic!("{listing:?}"),
        }
    }

    #[test]
    fn reads_what_skopeo_writes() {
        let (directory, registry) = layouts();
        let entry = |name: &str| {
            json!({"mediaType": MANIFEST, "digest": crate::digest::of(b"{}"), "size": 2,
                   "annotations": {REF_NAME: name}})
        };
        let index = json!({"schemaVersion": 2, "manifests": [
            entry("3.11-1"), entry("3.11"), entry("not a tag"),
            {"mediaType": MANIFEST, "digest": crate::digest::of(b"untagged"), "size": 8}]});
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
    fn nothing_is_created_or_written_through_a_link_out_of_the_tree() {
        use std::os::unix::fs::symlink;
        let elsewhere = tempfile::tempdir().unwrap();
        write(&elsewhere, "there", "");
        let (directory, registry) = layouts();
        let marker = directory.path().join("a/oci-layout");
        fs::create_dir(directory.path().join("a")).unwrap();
        for (name, reason) in [("there", "leads out of"), ("not-there", "cannot write")] {
            symlink(elsewhere.path().join(name), &marker).unwrap();
            let error = registry.begin_write(&repository("a")).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
            fs::remove_file(&marker).unwrap();
        }
        assert_eq!(fs::read(elsewhere.path().join("there")).unwrap(), b"");
        assert!(!elsewhere.path().join("not-there").exists());
    }

    #[test]
    fn a_lock_that_is_held_is_not_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("oci-layout");
        let held = lock(&path, Duration::ZERO).unwrap();
        let error = lock(&path, Duration::from_millis(50)).unwrap_err();
        let message = format!(
            "`{}` is locked by another writer, for more than 0 s",
            path.display()
        );
        assert_eq!(error.to_string(), message);
        assert!(error.is_unavailable());
        drop(held);
        lock(&path, Duration::ZERO).unwrap();
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
        let digest = Reference::Digest(crate::digest::of(b"{}"));
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
            format!("the content of `a@{digest}` does not match its digest")
        );
    }
}
