//! Removing the tags of candidates without removing what they stand for.

use cssc_core::{Repository, Tag};
use serde_json::json;

use crate::registry::{Manifest, Reference, RegistryClient, RegistryError};

const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Removes the tag of a candidate.
///
/// The image stays: it may be published under another tag. Where the registry deletes nothing,
/// the tag is pointed to an empty manifest, so that at least the layers of a candidate without
/// another tag can be collected, and nobody pulls it by mistake.
pub(super) fn bury(
    registry: &dyn RegistryClient,
    repository: &Repository,
    tag: &Tag,
) -> Result<(), RegistryError> {
    let reference = Reference::Tag(tag.clone());
    let empty = tombstone(tag);
    match registry.resolve(repository, &reference)? {
        None => return Ok(()),
        Some(there) if there.digest == empty.descriptor().digest => return Ok(()),
        Some(_) => {}
    }
    match registry.delete(repository, &reference) {
        Ok(()) => Ok(()),
        Err(error) if error.is_absent() => Ok(()),
        Err(error) if error.is_retryable() => Err(error),
        Err(_) => {
            registry.put_blob(repository, b"{}")?;
            registry.put_manifest(repository, &reference, &empty)
        }
    }
}

/// What a buried candidate stands for: nothing. The same each time, so that it is known again.
fn tombstone(tag: &Tag) -> Manifest {
    let empty = json!({
        "mediaType": EMPTY_TYPE,
        "digest": crate::registry::Digest::of(b"{}"),
        "size": 2,
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": "application/vnd.cssc.candidate.v1",
        "config": empty,
        "layers": [empty],
        "annotations": {"dev.cssc.tag": tag},
    });
    Manifest {
        media_type: MANIFEST_TYPE.to_owned(),
        bytes: manifest.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Descriptor, Digest, LayoutRegistry};
    use cssc_core::Listing;

    /// A registry that deletes nothing.
    struct Keeps(LayoutRegistry);

    impl RegistryClient for Keeps {
        fn list_tags(&self, repository: &Repository) -> Listing {
            self.0.list_tags(repository)
        }

        fn resolve(
            &self,
            repository: &Repository,
            reference: &Reference,
        ) -> Result<Option<Descriptor>, RegistryError> {
            self.0.resolve(repository, reference)
        }

        fn get_manifest(
            &self,
            repository: &Repository,
            reference: &Reference,
        ) -> Result<Manifest, RegistryError> {
            self.0.get_manifest(repository, reference)
        }

        fn put_manifest(
            &self,
            repository: &Repository,
            reference: &Reference,
            manifest: &Manifest,
        ) -> Result<(), RegistryError> {
            self.0.put_manifest(repository, reference, manifest)
        }

        fn get_blob(
            &self,
            repository: &Repository,
            blob: &Descriptor,
            limit: u64,
        ) -> Result<Vec<u8>, RegistryError> {
            self.0.get_blob(repository, blob, limit)
        }

        fn put_blob(&self, repository: &Repository, bytes: &[u8]) -> Result<Digest, RegistryError> {
            self.0.put_blob(repository, bytes)
        }

        fn delete(&self, _: &Repository, _: &Reference) -> Result<(), RegistryError> {
            crate::registry::InventoryRegistry::from(cssc_core::Inventory::default())
                .delete(&"a".parse().unwrap(), &Reference::Digest(Digest::of(b"")))
        }
    }

    #[test]
    fn what_a_candidate_stands_for_stays() {
        let folder = tempfile::tempdir().unwrap();
        let registry = LayoutRegistry::open(folder.path()).unwrap();
        let repository: Repository = "python".parse().unwrap();
        let candidate: Tag = "cssc-candidate-00000007.1-patched".parse().unwrap();
        let published = Reference::Tag("3.11-1".parse().unwrap());
        let image = Manifest {
            media_type: MANIFEST_TYPE.to_owned(),
            bytes: b"{\"schemaVersion\":2}".to_vec(),
        };
        let reference = Reference::Tag(candidate.clone());
        for keeps in [false, true] {
            registry
                .put_manifest(&repository, &reference, &image)
                .unwrap();
            registry
                .put_manifest(&repository, &published, &image)
                .unwrap();
            let keeping = Keeps(LayoutRegistry::open(folder.path()).unwrap());
            let client: &dyn RegistryClient = if keeps { &keeping } else { &registry };
            for _ in 0..2 {
                bury(client, &repository, &candidate).unwrap();
            }
            let digest = image.descriptor().digest;
            let there = client.resolve(&repository, &published).unwrap().unwrap();
            assert_eq!(there.digest, digest);
            let left = client.resolve(&repository, &reference).unwrap();
            assert_eq!(left.is_some(), keeps);
            assert!(left.is_none_or(|left| left.digest != digest));
        }
    }
}
