//! Registries: list tags, read and write small artifacts, delete.
//!
//! Everything else depends on [`RegistryClient`] alone. An inventory file and a tree of OCI
//! layouts need no server.

mod content;
mod error;
mod inventory;
mod layout;
mod list;
mod location;
#[cfg(feature = "http")]
mod oci;

use cssc_core::{Listing, Repository, TagSet};

pub use content::{Descriptor, Digest, DigestError, MAX_MANIFEST_LEN, Manifest, Reference};
pub use error::RegistryError;
pub use inventory::InventoryRegistry;
pub use layout::LayoutRegistry;
pub use list::{DEFAULT_CONCURRENCY, ListProgress, list_all};
pub use location::{InventorySource, RegistryLocation, RegistryLocationError};
#[cfg(feature = "http")]
pub use oci::{Credential, OciOptions, OciRegistry, RequestEvent};

/// A registry, whatever it is made of.
///
/// Calls block, and may come from many threads at once. Everywhere, a registry that cannot be
/// reached, refuses the credentials or answers nonsense is an error, and so is an operation it
/// does not have; see the predicates of [`RegistryError`].
pub trait RegistryClient: Send + Sync {
    /// All tags of a repository.
    fn list_tags(&self, repository: &Repository) -> Listing;

    /// What a tag or digest stands for now; none when it does not exist.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not say.
    fn resolve(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError>;

    /// Reads a manifest, its digest verified.
    ///
    /// # Errors
    ///
    /// Fails when it is absent, over [`MAX_MANIFEST_LEN`] bytes, or other bytes than the digest
    /// says.
    fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Manifest, RegistryError>;

    /// Stores a manifest under a tag or its digest, in place of what the tag pointed to.
    /// What the manifest refers to must be there already.
    ///
    /// # Errors
    ///
    /// Fails when the registry refuses it, or `reference` is the digest of other bytes.
    fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), RegistryError>;

    /// Reads a blob, its digest and size verified.
    ///
    /// # Errors
    ///
    /// Fails when it is absent, over `limit` bytes, or other bytes than the digest says.
    fn get_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError>;

    /// Stores a small blob. Storing what is there already does nothing.
    ///
    /// # Errors
    ///
    /// Fails when the registry refuses it.
    fn put_blob(&self, repository: &Repository, bytes: &[u8]) -> Result<Digest, RegistryError>;

    /// Deletes a manifest with all tags that point to it, or, given a tag, that tag alone:
    /// the manifest and its other tags stay. A registry that cannot delete a tag alone says so;
    /// the manifest is never deleted instead.
    ///
    /// # Errors
    ///
    /// Fails when it is absent, or the registry forbids deletion.
    fn delete(&self, repository: &Repository, reference: &Reference) -> Result<(), RegistryError>;
}

/// What an attempt to list came to, with absent and unavailable kept apart.
fn listing(tags: Result<TagSet, RegistryError>) -> Listing {
    match tags {
        Ok(tags) => Listing::Found(tags),
        Err(error) if error.is_absent() => Listing::Absent,
        Err(error) => Listing::Unavailable(error.to_string()),
    }
}
