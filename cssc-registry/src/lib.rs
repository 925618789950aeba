//! Registries of container images: list tags, read and write artifacts, find what refers to an
//! image, delete.
//!
//! Everything here works with any [`RegistryClient`]:
//!
//! - `OciRegistry` speaks the OCI distribution protocol (feature `http`, on by default);
//! - [`LayoutRegistry`] is a folder of OCI image layouts;
//! - [`InventoryRegistry`] knows the names of tags and nothing else;
//! - [`RegistryAddress`] is what a person writes to say which of them.
//!
//! [`list_all`] lists many repositories within a budget, [`Artifact`] stores what is no image,
//! [`attach`] makes it a referrer, and [`delete_tag`] removes a tag without harm to others.
//!
//! ```
//! use cssc_registry::{Artifact, LayoutRegistry, Reference, RegistryClient};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let client = LayoutRegistry::open(folder)?;
//! let repository = "team/notes".parse()?;
//! let v1 = Reference::Tag("v1".parse()?);
//! let stored = Artifact::new("application/vnd.example.note.v1")
//!     .file("note.txt", "text/plain", "clean since Monday")
//!     .push(&client, &repository, Some(&v1))?;
//! assert_eq!(client.resolve(&repository, &v1)?, Some(stored));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is read is bounded and, where a digest names it, verified. Calls block. Images are neither
//! built nor unpacked, and signatures neither made nor checked.
//!
//! # Credentials
//!
//! They are shown to the registry and to the token service that the registry names, which may be
//! another host; to no other, and over plain HTTP only on loopback or where that was asked for.
#![forbid(unsafe_code)]

mod artifact;
#[doc(hidden)]
pub mod atomic;
mod blob_reader;
#[cfg(feature = "http")]
mod bounded;
mod budget;
mod content;
pub mod digest;
mod error;
#[cfg(feature = "http")]
mod http;
mod image;
mod index_entry;
mod inventory;
mod layout;
mod list;
mod location;
pub mod media_type;
mod referrers;
mod tag_deletion;
#[cfg(feature = "testing")]
pub mod testing;

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

use std::path::Path;

use cssc_core::Listing;
use cssc_core::inventory::{ListingError, UnavailableKind};
pub use cssc_core::name::{Digest, Registry, Repository, Tag};
use cssc_core::tags::TagSet;

pub use artifact::Artifact;
pub use blob_reader::BlobReader;
pub use budget::{ListBudget, ListOptions};
pub use content::{Descriptor, MAX_MANIFEST_LEN, Manifest, Reference};
pub use error::{RegistryError, RegistryErrorKind};
#[cfg(feature = "http")]
pub use http::{Credential, OciOptions, OciRegistry, RequestEvent};
pub use image::{Image, ImageIndex, ImageManifest, NotAnImage};
pub use index_entry::{IndexEntry, NotCovered, NotCoveredReason};
pub use inventory::InventoryRegistry;
pub use layout::LayoutRegistry;
pub use list::{DEFAULT_CONCURRENCY, ListProgress, list_all};
pub use location::{InventorySource, RegistryAddress, RegistryAddressError};
pub use referrers::{Attachment, Referrer, ReferrersFallback, attach};
pub use tag_deletion::{TagDeletion, check_deletion, delete_tag};

/// A registry, whatever it is made of.
///
/// Calls block, and may come from many threads at once. Everywhere, a registry that cannot be
/// reached, refuses the credentials or answers nonsense is an error, and so is an operation it
/// does not have; see the predicates of [`RegistryError`].
pub trait RegistryClient: Send + Sync {
    /// All tags of a repository.
    fn list_tags(&self, repository: &Repository) -> Listing;

    /// All tags of a repository, as one of many that are listed within a budget.
    fn list_tags_within(&self, repository: &Repository, budget: &ListBudget) -> Listing {
        let _ = budget;
        self.list_tags(repository)
    }

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

    /// What a tag or digest stands for now, asked by one that is about to write there: a repository
    /// that the registry does not show before it is there holds nothing. Whether it may be written
    /// shows in the writing.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not say.
    fn resolve_to_write(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        self.resolve(repository, reference)
    }

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

    /// Whether this account may write blobs to a repository. Nothing is left behind where the
    /// registry has a way to try; otherwise it is the smallest blob.
    ///
    /// # Errors
    ///
    /// Fails when it may not, or the registry does not say.
    fn check_push(&self, repository: &Repository) -> Result<(), RegistryError> {
        self.put_blob(repository, b"{}").map(drop)
    }

    /// Whether a blob is there.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not say.
    fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError>;

    /// Opens a blob of any size, to be read as it comes; digest and size are verified on the way.
    ///
    /// # Errors
    ///
    /// Fails when it is absent. Reading fails when the connection breaks, nothing comes for too
    /// long, or the bytes are others than the digest says.
    fn open_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
    ) -> Result<BlobReader, RegistryError>;

    /// Stores a blob of any size from a file, which is not held in memory. Storing what is there
    /// already does nothing.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read or is not what `blob` says, and when the registry refuses
    /// it.
    fn put_blob_file(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        file: &Path,
    ) -> Result<(), RegistryError>;

    /// Asks the registry to delete a manifest with all tags that point to it, or, given a tag, that
    /// tag alone. Many cannot delete a tag alone: [`delete_tag`] knows what to do then.
    ///
    /// # Errors
    ///
    /// Fails when it is absent, or the registry forbids deletion.
    fn delete(&self, repository: &Repository, reference: &Reference) -> Result<(), RegistryError>;

    /// The manifests that name this one as their subject, of one artifact type or of all.
    ///
    /// Without an API for it, they are read from the tag that clients keep for it.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not say, or there are too many.
    fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>, RegistryError> {
        referrers::from_tag(self, repository, subject, artifact_type)
    }

    /// Whether the registry itself knows what refers to a manifest.
    ///
    /// # Errors
    ///
    /// Fails when it does not say.
    fn has_referrers_api(&self, repository: &Repository) -> Result<bool, RegistryError> {
        let _ = repository;
        Ok(false)
    }
}

/// What an attempt to list came to, with absent and unavailable kept apart.
fn listing(tags: Result<TagSet, RegistryError>) -> Listing {
    match tags {
        Ok(tags) => Listing::Found(tags),
        Err(error) if error.is_absent() => Listing::Absent,
        Err(error) => Listing::Unavailable(error.into()),
    }
}

impl From<ListingError> for RegistryError {
    fn from(error: ListingError) -> Self {
        let kind = match error.kind() {
            UnavailableKind::Unauthorized => RegistryErrorKind::Unauthorized,
            UnavailableKind::Transient => RegistryErrorKind::Unavailable,
            _ => RegistryErrorKind::Answer,
        };
        Self::new(kind, error.message())
    }
}

impl From<RegistryError> for ListingError {
    fn from(error: RegistryError) -> Self {
        let kind = if error.is_unauthorized() {
            UnavailableKind::Unauthorized
        } else if error.is_retryable() {
            UnavailableKind::Transient
        } else {
            UnavailableKind::Permanent
        };
        Self::new(kind, error.to_string())
    }
}
