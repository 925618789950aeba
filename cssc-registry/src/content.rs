//! What registries hold: content named by its digest.

use std::fmt;

use cssc_core::{Digest, Tag};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::RegistryError;

/// The most bytes of a manifest that are read: what registries accept at most.
pub const MAX_MANIFEST_LEN: u64 = 4 << 20;

/// What content is, how long, and its digest
/// ([OCI image specification, "Descriptors"][spec]).
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type; empty where the registry did not say.
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
    /// The length in bytes.
    pub size: u64,
}

/// `null` is nothing said.
fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Descriptor {
    /// Describes `bytes`.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.into(),
            digest: crate::digest::of(bytes),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        }
    }
}

/// A manifest as the registry holds it: its digest is that of exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The media type.
    pub media_type: String,
    /// The bytes, JSON.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// The media type, length and SHA-256 digest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(self.media_type.clone(), &self.bytes)
    }

    /// Refuses to be written under a digest that is not its own.
    pub(crate) fn check(&self, reference: &Reference) -> Result<(), RegistryError> {
        match reference {
            Reference::Digest(digest) if !crate::digest::matches(digest, &self.bytes) => Err(
                RegistryError::input(format!("the manifest to write does not match `{digest}`")),
            ),
            _ => Ok(()),
        }
    }
}

/// Which manifest of a repository: the one a tag points to, or the one with a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// The manifest a tag points to now.
    Tag(Tag),
    /// The manifest with this digest.
    Digest(Digest),
}

impl Reference {
    /// The reference as it stands in an address.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

/// Prints as it is appended to the name of a repository: `:3.11`, `@sha256:…`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if matches!(self, Self::Tag(_)) {
            ':'
        } else {
            '@'
        };
        write!(f, "{mark}{}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_print_as_people_write_them() {
        let tag: Tag = "3.11".parse().unwrap();
        assert_eq!(Reference::from(tag).to_string(), ":3.11");
        let digest = crate::digest::of(b"");
        assert_eq!(
            Reference::from(digest.clone()).to_string(),
            format!("@{digest}")
        );
    }
}
