//! An inventory file as a registry that can be listed and nothing else.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use cssc_core::{Inventory, Listing, Repository};

use super::error::RegistryError;
use super::{BlobReader, Descriptor, Digest, Manifest, Reference, RegistryClient};

/// The most bytes of an inventory that are read.
const MAX_INVENTORY_LEN: u64 = 1 << 30;

/// An inventory as a registry: it can be listed and is otherwise read-only and empty-handed,
/// since it holds names only.
#[derive(Debug, Clone)]
pub struct InventoryRegistry {
    inventory: Inventory,
}

impl InventoryRegistry {
    /// Reads an inventory file: JSON such as `{"python": ["3.11", "3.11-1"], "ubuntu": []}`.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, is larger than 1 GiB, or is no inventory: not JSON, an
    /// invalid name, a value of another type.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        let cannot_read = |error| {
            RegistryError::unavailable(format!(
                "cannot read the inventory `{}`: {error}",
                path.display()
            ))
        };
        let file = File::open(path).map_err(cannot_read)?;
        // A folder can be opened but not read, with an error that does not say so everywhere.
        let metadata = file.metadata().map_err(cannot_read)?;
        if metadata.is_dir() {
            return Err(cannot_read(std::io::ErrorKind::IsADirectory.into()));
        }
        // Room for all of it at once: growing would take up to twice as much.
        let room = metadata.len().min(MAX_INVENTORY_LEN).saturating_add(1);
        let json = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
        Self::read(file, json, &path.display().to_string())
    }

    /// Reads an inventory from any source, such as standard input; `name` names it in messages.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_reader(reader: impl Read, name: &str) -> Result<Self, RegistryError> {
        Self::read(reader, Vec::new(), name)
    }

    fn read(reader: impl Read, mut json: Vec<u8>, name: &str) -> Result<Self, RegistryError> {
        let mut reader = reader.take(MAX_INVENTORY_LEN.saturating_add(1));
        let read = reader.read_to_end(&mut json).map_err(|error| {
            RegistryError::unavailable(format!("cannot read the inventory `{name}`: {error}"))
        })?;
        if u64::try_from(read).is_ok_and(|read| read > MAX_INVENTORY_LEN) {
            return Err(RegistryError::answer(format!(
                "the inventory `{name}` is too large: at most 1 GiB is read"
            )));
        }
        let inventory = Inventory::from_json_vec(json).map_err(|error| {
            RegistryError::answer(format!("cannot read the inventory `{name}`: {error}"))
        })?;
        Ok(Self { inventory })
    }

    /// The inventory itself.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The inventory itself, for a caller who needs no registry.
    pub fn into_inventory(self) -> Inventory {
        self.inventory
    }
}

impl From<Inventory> for InventoryRegistry {
    fn from(inventory: Inventory) -> Self {
        Self { inventory }
    }
}

fn names_only<T>(doing: &str) -> Result<T, RegistryError> {
    Err(RegistryError::unsupported(format!(
        "cannot {doing}: an inventory holds the names of tags only; \
         give a registry or `layout:DIR`"
    )))
}

impl RegistryClient for InventoryRegistry {
    fn list_tags(&self, repository: &Repository) -> Listing {
        self.inventory.listing(repository).clone()
    }

    fn resolve(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        names_only(&format!("resolve `{repository}{reference}`"))
    }

    fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Manifest, RegistryError> {
        names_only(&format!("read `{repository}{reference}`"))
    }

    fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        _: &Manifest,
    ) -> Result<(), RegistryError> {
        names_only(&format!("write `{repository}{reference}`"))
    }

    fn get_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        _: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        names_only(&format!("read `{repository}@{}`", blob.digest))
    }

    fn put_blob(&self, repository: &Repository, _: &[u8]) -> Result<Digest, RegistryError> {
        names_only(&format!("write to `{repository}`"))
    }

    fn has_blob(&self, repository: &Repository, _: &Digest) -> Result<bool, RegistryError> {
        names_only(&format!("look for a blob in `{repository}`"))
    }

    fn open_blob(
        &self,
        repository: &Repository,
        _: &Descriptor,
    ) -> Result<BlobReader, RegistryError> {
        names_only(&format!("read a blob of `{repository}`"))
    }

    fn put_blob_file(
        &self,
        repository: &Repository,
        _: &Descriptor,
        _: &Path,
    ) -> Result<(), RegistryError> {
        names_only(&format!("write to `{repository}`"))
    }

    fn delete(&self, repository: &Repository, reference: &Reference) -> Result<(), RegistryError> {
        names_only(&format!("delete `{repository}{reference}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_nothing_else() {
        let json = br#"{"python": ["3.11", "3.11-1"], "ubuntu": []}"#;
        let registry = InventoryRegistry::from_reader(json.as_slice(), "standard input").unwrap();
        let python: Repository = "python".parse().unwrap();
        assert!(matches!(registry.list_tags(&python), Listing::Found(tags) if tags.len() == 2));
        let redis: Repository = "redis".parse().unwrap();
        assert_eq!(registry.list_tags(&redis), Listing::Absent);
        let tag = Reference::Tag("3.11".parse().unwrap());
        let error = registry.resolve(&python, &tag).unwrap_err();
        assert!(error.is_unsupported());
        assert_eq!(
            error.to_string(),
            "cannot resolve `python:3.11`: an inventory holds the names of tags only; \
             give a registry or `layout:DIR`"
        );
    }

    #[test]
    fn what_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let error = InventoryRegistry::open(directory.path()).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the inventory `"));
        let error = InventoryRegistry::open(&directory.path().join("none")).unwrap_err();
        assert!(error.is_unavailable());
        let error = InventoryRegistry::from_reader(&b"[]"[..], "a").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot read the inventory `a`: ")
        );
    }
}
