//! The policy as it is kept in the registry itself: the artifact `csscpolicies/patchpolicy:v1`.
//!
//! One layer, the JSON, so that Azure's `acr cssc` can read it; what `az` or `oras` pushed is
//! read too, whatever they call its layer.

use std::collections::BTreeMap;

use cssc_core::name::NameError;
use cssc_core::policy::MAX_POLICY_LEN;
use cssc_core::{Listing, Repository, Tag, TagRef};
use serde::Deserialize;

use cssc_registry::{
    Artifact, Descriptor, Digest, Reference, RegistryClient, RegistryError, TagDeletion, delete_tag,
};

/// The repository that holds the policy.
pub const POLICY_REPOSITORY: &str = "csscpolicies/patchpolicy";
/// The tag of the policy.
pub const POLICY_TAG: &str = "v1";
/// What the artifact says it is, when this crate pushed it.
pub const POLICY_ARTIFACT_TYPE: &str = "application/vnd.cssc.policy.v1+json";

const TITLE: &str = "org.opencontainers.image.title";
/// How many other tags are looked at before one is taken to share the policy's manifest.
const MAX_OTHER_TAGS: usize = 100;

/// A stored policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyArtifact {
    /// The policy, JSON; not validated.
    pub policy: Vec<u8>,
    /// The annotations of the manifest, such as the schedule.
    pub annotations: BTreeMap<String, String>,
    /// The digest of the manifest, which changes with the policy and the annotations.
    pub digest: Digest,
}

/// What deleting a policy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyDeletion {
    /// Its tag is gone, and no other pointed to it: it is the registry's to clear away.
    Deleted,
    /// Its tag is gone, and it stays: other tags point to the same manifest.
    Untagged {
        /// The other tags, or some of them when they are many.
        shared_with: Vec<Tag>,
    },
}

/// The manifest of an artifact, in the shapes that clients push.
#[derive(Deserialize)]
struct StoredManifest {
    #[serde(default, alias = "blobs")]
    layers: Option<Vec<Layer>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Layer {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Layer {
    fn is_json(&self) -> bool {
        let title = self.annotations.as_ref().and_then(|all| all.get(TITLE));
        let has_json_title = title.and_then(|title| title.rsplit('.').next()) == Some("json");
        has_json_title || self.descriptor.media_type.ends_with("json")
    }
}

impl PolicyArtifact {
    /// Reads the stored policy; none when there is none.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not say, or what it holds under that name is no policy: an
    /// image of several layers, a layer over 10 MiB, other bytes than their digest says.
    pub fn pull(client: &dyn RegistryClient) -> Result<Option<Self>, RegistryError> {
        let (repository, tag) = place()?;
        let manifest = match client.get_manifest(&repository, &tag) {
            Ok(manifest) => manifest,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error),
        };
        let refuse = |why: &str| {
            RegistryError::answer(format!("`{repository}{tag}` is not a policy: {why}"))
        };
        let artifact: StoredManifest = serde_json::from_slice(&manifest.bytes)
            .map_err(|_| refuse("its manifest is not one of an artifact"))?;
        let layers = artifact.layers.unwrap_or_default();
        let layer = match layers.as_slice() {
            [] => return Err(refuse("it has no layer")),
            [layer] => layer,
            several => {
                let mut json = several.iter().filter(|layer| layer.is_json());
                match (json.next(), json.next()) {
                    (Some(layer), None) => layer,
                    _ => return Err(refuse("it has several layers and not just one of JSON")),
                }
            }
        };
        let limit = u64::try_from(MAX_POLICY_LEN).unwrap_or(u64::MAX);
        Ok(Some(Self {
            policy: client
                .get_blob(&repository, &layer.descriptor, limit)
                .map_err(RegistryError::lost)?,
            annotations: artifact.annotations.unwrap_or_default(),
            digest: manifest.descriptor().digest,
        }))
    }

    /// The annotations of the stored policy, which need not be one that can be used; none when
    /// there is none.
    ///
    /// # Errors
    ///
    /// Fails when the registry does not say.
    pub fn annotations(
        client: &dyn RegistryClient,
    ) -> Result<Option<BTreeMap<String, String>>, RegistryError> {
        let (repository, tag) = place()?;
        match client.get_manifest(&repository, &tag) {
            Ok(manifest) => {
                let artifact = serde_json::from_slice::<StoredManifest>(&manifest.bytes).ok();
                Ok(Some(
                    artifact.and_then(|it| it.annotations).unwrap_or_default(),
                ))
            }
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores a policy in place of the one there.
    ///
    /// # Errors
    ///
    /// Fails when the policy is over 10 MiB, or the registry refuses it.
    pub fn push(
        client: &dyn RegistryClient,
        policy: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Digest, RegistryError> {
        let (repository, tag) = place()?;
        if policy.len() > MAX_POLICY_LEN {
            return Err(RegistryError::input(format!(
                "the policy is too large to store: {} bytes, at most {MAX_POLICY_LEN}",
                policy.len()
            )));
        }
        let stored = Artifact::new(POLICY_ARTIFACT_TYPE)
            .file("patchpolicy.json", "application/json", policy)
            .annotations(annotations.clone())
            .push(client, &repository, Some(&tag))?;
        Ok(stored.digest)
    }

    /// Deletes the stored policy, and nothing that other tags point to.
    ///
    /// # Errors
    ///
    /// Fails when there is none, which [is absent](RegistryError::is_absent), and when the
    /// registry forbids deletion, which [is unsupported](RegistryError::is_unsupported).
    pub fn delete(client: &dyn RegistryClient) -> Result<PolicyDeletion, RegistryError> {
        let (repository, reference) = place()?;
        let manifest = match client.get_manifest(&repository, &reference) {
            Err(error) if error.is_absent() => {
                return Err(RegistryError::absent(format!(
                    "no policy is stored: `{repository}{reference}` does not exist"
                )));
            }
            manifest => manifest?,
        };
        let shared_with = sharing(client, &repository, &manifest.descriptor().digest)?;
        match delete_tag(client, &repository, &tag()?)? {
            TagDeletion::Removed if shared_with.is_empty() => Ok(PolicyDeletion::Deleted),
            TagDeletion::Removed => Ok(PolicyDeletion::Untagged { shared_with }),
            TagDeletion::Kept(error) => Err(error),
            _ => {
                // Nothing half-done: the tag stands for the policy again.
                client.put_manifest(&repository, &reference, &manifest)?;
                Err(not_deleted(&repository, &reference))
            }
        }
    }
}

fn not_deleted(repository: &Repository, reference: &Reference) -> RegistryError {
    RegistryError::unsupported(format!(
        "the registry does not delete `{repository}{reference}`: allow it in its settings, or \
         delete there"
    ))
}

fn tag() -> Result<Tag, RegistryError> {
    POLICY_TAG
        .parse()
        .map_err(|error: NameError| RegistryError::input(error.to_string()))
}

fn place() -> Result<(Repository, Reference), RegistryError> {
    let invalid = |error: NameError| RegistryError::input(error.to_string());
    let repository = POLICY_REPOSITORY.parse().map_err(invalid)?;
    Ok((repository, Reference::Tag(tag()?)))
}

/// The other tags that point to the same manifest. Of too many to ask about, all.
fn sharing(
    client: &dyn RegistryClient,
    repository: &Repository,
    digest: &Digest,
) -> Result<Vec<Tag>, RegistryError> {
    let tags = match client.list_tags(repository) {
        Listing::Found(tags) => tags,
        Listing::Absent => return Ok(Vec::new()),
        Listing::Unavailable(reason) => {
            return Err(RegistryError::unavailable(format!(
                "cannot tell whether other tags share the policy's manifest: {reason}"
            )));
        }
    };
    let others = tags.iter().filter(|tag| tag.as_str() != POLICY_TAG);
    let others: Vec<Tag> = others.take(MAX_OTHER_TAGS).map(TagRef::to_tag).collect();
    if others.len() == MAX_OTHER_TAGS {
        return Ok(others);
    }
    let mut sharing = Vec::new();
    for other in others {
        let found = client.resolve(repository, &Reference::Tag(other.clone()))?;
        if found.is_some_and(|found| found.digest == *digest) {
            sharing.push(other);
        }
    }
    Ok(sharing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cssc_registry::media_type::IMAGE_MANIFEST;
    use cssc_registry::{BlobReader, LayoutRegistry, Manifest};
    use serde_json::{Value, json};
    use std::path::Path;

    fn registry() -> (tempfile::TempDir, LayoutRegistry) {
        let directory = tempfile::tempdir().unwrap();
        let registry = LayoutRegistry::open(directory.path()).unwrap();
        (directory, registry)
    }

    fn schedule() -> BTreeMap<String, String> {
        BTreeMap::from([("dev.cssc.schedule".to_owned(), "7d".to_owned())])
    }

    /// Puts an artifact there as another client would.
    fn put(registry: &LayoutRegistry, manifest: &Value) {
        let (repository, tag) = place().unwrap();
        let manifest = Manifest {
            media_type: IMAGE_MANIFEST.to_owned(),
            bytes: manifest.to_string().into_bytes(),
        };
        registry.put_manifest(&repository, &tag, &manifest).unwrap();
    }

    #[test]
    fn stored_read_and_deleted() {
        let (_directory, registry) = registry();
        assert_eq!(PolicyArtifact::pull(&registry), Ok(None));
        let error = PolicyArtifact::delete(&registry).unwrap_err();
        assert!(error.is_absent());
        assert_eq!(
            error.to_string(),
            "no policy is stored: `csscpolicies/patchpolicy:v1` does not exist"
        );
        for policy in [&b"{}"[..], b"{\"version\": \"v1\"}"] {
            let digest = PolicyArtifact::push(&registry, policy, &schedule()).unwrap();
            let stored = PolicyArtifact::pull(&registry).unwrap().unwrap();
            assert_eq!(stored.policy, policy);
            assert_eq!(stored.annotations, schedule());
            assert_eq!(stored.digest, digest);
        }
        assert_eq!(
            PolicyArtifact::delete(&registry),
            Ok(PolicyDeletion::Deleted)
        );
        assert_eq!(PolicyArtifact::pull(&registry), Ok(None));
    }

    #[test]
    fn a_shared_manifest_stays() {
        let (_directory, registry) = registry();
        PolicyArtifact::push(&registry, b"{}", &schedule()).unwrap();
        let (repository, tag) = place().unwrap();
        let manifest = registry.get_manifest(&repository, &tag).unwrap();
        let backup: Tag = "backup".parse().unwrap();
        let reference = Reference::Tag(backup.clone());
        registry
            .put_manifest(&repository, &reference, &manifest)
            .unwrap();
        assert_eq!(
            PolicyArtifact::delete(&registry),
            Ok(PolicyDeletion::Untagged {
                shared_with: vec![backup]
            })
        );
        assert_eq!(PolicyArtifact::pull(&registry), Ok(None));
        assert!(registry.resolve(&repository, &reference).unwrap().is_some());
    }

    /// A registry that does something else than it says.
    struct Odd {
        registry: LayoutRegistry,
        oddity: Oddity,
    }

    #[derive(PartialEq)]
    enum Oddity {
        /// Another tag appears just after its tags were listed.
        SharesMeanwhile,
        /// It says that it has deleted something, and has not.
        Keeps,
    }

    impl RegistryClient for Odd {
        fn list_tags(&self, repository: &Repository) -> Listing {
            let listing = self.registry.list_tags(repository);
            if self.oddity != Oddity::SharesMeanwhile {
                return listing;
            }
            let (repository, tag) = place().unwrap();
            let manifest = self.registry.get_manifest(&repository, &tag).unwrap();
            self.put_manifest(&repository, &backup(), &manifest)
                .unwrap();
            listing
        }

        fn resolve(
            &self,
            repository: &Repository,
            reference: &Reference,
        ) -> Result<Option<Descriptor>, RegistryError> {
            self.registry.resolve(repository, reference)
        }

        fn get_manifest(
            &self,
            repository: &Repository,
            reference: &Reference,
        ) -> Result<Manifest, RegistryError> {
            self.registry.get_manifest(repository, reference)
        }

        fn put_manifest(
            &self,
            repository: &Repository,
            reference: &Reference,
            manifest: &Manifest,
        ) -> Result<(), RegistryError> {
            self.registry.put_manifest(repository, reference, manifest)
        }

        fn get_blob(
            &self,
            repository: &Repository,
            blob: &Descriptor,
            limit: u64,
        ) -> Result<Vec<u8>, RegistryError> {
            self.registry.get_blob(repository, blob, limit)
        }

        fn put_blob(&self, repository: &Repository, bytes: &[u8]) -> Result<Digest, RegistryError> {
            self.registry.put_blob(repository, bytes)
        }

        fn has_blob(
            &self,
            repository: &Repository,
            digest: &Digest,
        ) -> Result<bool, RegistryError> {
            self.registry.has_blob(repository, digest)
        }

        fn open_blob(
            &self,
            repository: &Repository,
            blob: &Descriptor,
        ) -> Result<BlobReader, RegistryError> {
            self.registry.open_blob(repository, blob)
        }

        fn put_blob_file(
            &self,
            repository: &Repository,
            blob: &Descriptor,
            file: &Path,
        ) -> Result<(), RegistryError> {
            self.registry.put_blob_file(repository, blob, file)
        }

        fn delete(
            &self,
            repository: &Repository,
            reference: &Reference,
        ) -> Result<(), RegistryError> {
            if self.oddity == Oddity::Keeps {
                return Ok(());
            }
            self.registry.delete(repository, reference)
        }
    }

    fn backup() -> Reference {
        Reference::Tag("backup".parse().unwrap())
    }

    #[test]
    fn a_manifest_that_is_shared_meanwhile_stays() {
        let (_directory, registry) = registry();
        PolicyArtifact::push(&registry, b"{}", &schedule()).unwrap();
        let registry = Odd {
            registry,
            oddity: Oddity::SharesMeanwhile,
        };
        PolicyArtifact::delete(&registry).unwrap();
        let (repository, tag) = place().unwrap();
        assert_eq!(registry.resolve(&repository, &tag), Ok(None));
        assert!(registry.get_manifest(&repository, &backup()).is_ok());
    }

    #[test]
    fn a_registry_that_only_says_that_it_deletes_is_told_of_and_keeps_the_policy() {
        let (_directory, registry) = registry();
        PolicyArtifact::push(&registry, b"{}", &schedule()).unwrap();
        let before = PolicyArtifact::pull(&registry).unwrap();
        let registry = Odd {
            registry,
            oddity: Oddity::Keeps,
        };
        let error = PolicyArtifact::delete(&registry).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the registry does not delete `csscpolicies/patchpolicy:v1`: allow it in its settings, \
             or delete there"
        );
        assert_eq!(PolicyArtifact::pull(&registry).unwrap(), before);
    }

    #[test]
    fn what_others_push() {
        let (_directory, registry) = registry();
        let (repository, _) = place().unwrap();
        let policy = b"{\"version\": \"v1\"}";
        registry.put_blob(&repository, policy).unwrap();
        let layer = |media_type: &str, title: &str| {
            let mut layer = json!(Descriptor::of(media_type, policy));
            layer["annotations"] = json!({TITLE: title});
            layer
        };
        let unknown = json!({"mediaType": "application/vnd.unknown.config.v1+json"});
        let tar = "application/vnd.oci.image.layer.v1.tar";
        for manifest in [
            // As `az` does, by way of `oras`.
            json!({"schemaVersion": 2, "config": unknown,
                   "layers": [layer(tar, "continuouspatch.json")]}),
            json!({"schemaVersion": 2, "annotations": null,
                   "layers": [layer("application/json", "x")]}),
            json!({"mediaType": "application/vnd.oci.artifact.manifest.v1+json",
                   "blobs": [layer("text/plain", "x")]}),
            json!({"layers": [layer(tar, "README.md"), layer(tar, "policy.json")]}),
        ] {
            put(&registry, &manifest);
            let stored = PolicyArtifact::pull(&registry).unwrap().unwrap();
            assert_eq!(stored.policy, policy, "{manifest}");
        }
        for (manifest, reason) in [
            (json!({"layers": []}), "it has no layer"),
            (json!({"manifests": []}), "it has no layer"),
            (json!("text"), "its manifest is not one of an artifact"),
            (
                json!({"layers": [{}]}),
                "its manifest is not one of an artifact",
            ),
            (
                json!({"layers": [layer(tar, "a"), layer(tar, "b")]}),
                "it has several layers and not just one of JSON",
            ),
        ] {
            put(&registry, &manifest);
            assert_eq!(
                PolicyArtifact::pull(&registry).unwrap_err().to_string(),
                format!("`csscpolicies/patchpolicy:v1` is not a policy: {reason}")
            );
            assert_eq!(
                PolicyArtifact::annotations(&registry),
                Ok(Some(BTreeMap::new()))
            );
        }
        PolicyArtifact::delete(&registry).unwrap();
        assert_eq!(PolicyArtifact::annotations(&registry), Ok(None));
    }

    #[test]
    fn sizes_are_bounded() {
        let (_directory, registry) = registry();
        let large = vec![b' '; MAX_POLICY_LEN + 1];
        let error = PolicyArtifact::push(&registry, &large, &schedule()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the policy is too large to store: 10485761 bytes, at most 10485760"
        );
        let (repository, _) = place().unwrap();
        registry.put_blob(&repository, &large).unwrap();
        put(
            &registry,
            &json!({"layers": [Descriptor::of("application/json", &large)]}),
        );
        let error = PolicyArtifact::pull(&registry).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
    }
}
