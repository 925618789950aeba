//! Deleting a tag alone, also where the registry can only delete manifests.

use cssc_core::Tag;
use serde_json::json;

use super::fault::{code, refusal};
use super::wire::Answer;
use super::{OciRegistry, Reference};
use crate::registry::error::RegistryError;
use crate::registry::{Digest, Manifest};

impl OciRegistry {
    /// Deletes a tag, and what it points to only if nothing else does.
    ///
    /// A registry that deletes manifests by digest and no tags, such as distribution 2, would
    /// take all tags of the manifest along. There the tag is first pointed to a manifest made
    /// for this, which is then deleted.
    pub(super) fn untag(&self, name: &str, tag: &Tag) -> Result<(), RegistryError> {
        let reference = Reference::Tag(tag.clone());
        let answer = self.delete_reference(name, &reference)?;
        if answer.is_success() {
            return Ok(());
        }
        let wants_digest = answer.status == 400
            && matches!(
                code(&answer).as_deref(),
                None | Some("DIGEST_INVALID" | "UNSUPPORTED" | "TAG_INVALID" | "MANIFEST_INVALID")
            );
        if !wants_digest {
            return Err(cannot_delete(&answer));
        }
        let original = self.read_manifest(name, &reference)?;
        let decoy = self.decoy(name, tag, &original.descriptor().digest)?;
        self.write_manifest(name, &reference, &decoy)?;
        let by_digest = Reference::Digest(decoy.descriptor().digest);
        let deleted = match self.delete_reference(name, &by_digest) {
            Ok(answer) if answer.is_success() => return Ok(()),
            Ok(answer) => cannot_delete(&answer),
            Err(error) => error,
        };
        // Back to what it was; if that fails too, the first failure is the one to tell.
        drop(self.write_manifest(name, &reference, &original));
        Err(deleted)
    }

    /// A manifest that no other tag can point to.
    fn decoy(&self, name: &str, tag: &Tag, stands_for: &Digest) -> Result<Manifest, RegistryError> {
        const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
        let empty = b"{}";
        let digest = Digest::of(empty);
        self.store_blob(name, &digest, empty)?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let empty = json!({"mediaType": EMPTY_TYPE, "digest": digest, "size": 2});
        let decoy = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "artifactType": "application/vnd.cssc.deleted.v1",
            "config": empty,
            "layers": [empty],
            "annotations": {
                "dev.cssc.tag": tag,
                "dev.cssc.digest": stands_for,
                "dev.cssc.once": format!("{:016x}", fastrand::u64(..)),
            },
        });
        Ok(Manifest {
            media_type: media_type.to_owned(),
            bytes: decoy.to_string().into_bytes(),
        })
    }
}

/// Why something was not deleted.
pub(super) fn cannot_delete(answer: &Answer) -> RegistryError {
    let error = refusal(answer);
    if error.is_unsupported() {
        RegistryError::unsupported(format!(
            "{error}: the registry forbids deletion; allow it in its settings, or delete there"
        ))
    } else {
        error
    }
}
