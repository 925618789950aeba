//! What registries hold: content named by its digest.

use std::fmt;
use std::str::FromStr;

use cssc_core::Tag;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use super::error::excerpt;

/// The most bytes of a manifest that are read: what registries accept at most.
pub const MAX_MANIFEST_LEN: u64 = 4 << 20;

/// The name of content, made from its bytes: `sha256:` and 64 hexadecimal digits, or `sha512:`
/// and 128 ([OCI image specification, "Digests"][spec]).
///
/// ```
/// use cssc_engine::registry::Digest;
///
/// let digest = Digest::of(b"{}");
/// assert_eq!(
///     digest.as_str(),
///     "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
/// );
/// assert!(digest.matches(b"{}") && !digest.matches(b"[]"));
/// ```
///
/// # Errors
///
/// Parsing fails for `md5:…` (another algorithm), `sha256:ABC…` (upper case), and a wrong
/// number of digits.
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Box<str>);

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex(&Sha256::digest(bytes))).into())
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.parts().0
    }

    /// The hexadecimal digits.
    pub fn hex(&self) -> &str {
        self.parts().1
    }

    /// Whether `bytes` are what this digest names.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let digits = match self.algorithm() {
            "sha512" => hex(&Sha512::digest(bytes)),
            _ => hex(&Sha256::digest(bytes)),
        };
        digits == self.hex()
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or_default()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let digit = |half| char::from_digit(u32::from(half), 16).unwrap_or('0');
        digits.push(digit(byte >> 4));
        digits.push(digit(byte & 15));
        digits
    })
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let length = match text.split_once(':') {
            Some(("sha256", digits)) => (digits, 64),
            Some(("sha512", digits)) => (digits, 128),
            _ => return Err(DigestError(excerpt(text))),
        };
        let (digits, length) = length;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() == length && digits.bytes().all(is_hex) {
            Ok(Self(text.into()))
        } else {
            Err(DigestError(excerpt(text)))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a digest: expected `sha256:` and 64 lower-case hexadecimal digits, \
     or `sha512:` and 128"
)]
pub struct DigestError(String);

/// What content is, how long, and its digest
/// ([OCI image specification, "Descriptors"][spec]).
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type; empty where the registry did not say.
    #[serde(default)]
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
    /// The length in bytes.
    pub size: u64,
}

impl Descriptor {
    /// Describes `bytes`.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.into(),
            digest: Digest::of(bytes),
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
    fn digests_are_checked() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string().parse(), Ok(digest.clone()));
        assert_eq!(digest.algorithm(), "sha256");
        let long = format!("sha512:{}", hex(&Sha512::digest(b"a")));
        assert!(long.parse::<Digest>().unwrap().matches(b"a"));
        for text in [
            "",
            "sha256",
            "sha256:",
            "md5:44136fa355b3678a1146ad16f7e8649e",
            "sha256:44136FA355B3678A1146AD16F7E8649E94FB4FC21FE77E8310C060F61CAAFF8A",
            "sha256:../../../../etc/passwd",
        ] {
            assert_eq!(
                text.parse::<Digest>().unwrap_err().to_string(),
                format!(
                    "`{text}` is not a digest: expected `sha256:` and 64 lower-case \
                     hexadecimal digits, or `sha512:` and 128"
                )
            );
        }
    }

    #[test]
    fn references_print_as_people_write_them() {
        let tag: Tag = "3.11".parse().unwrap();
        assert_eq!(Reference::from(tag).to_string(), ":3.11");
        let digest = Digest::of(b"");
        assert_eq!(
            Reference::from(digest.clone()).to_string(),
            format!("@{digest}")
        );
    }
}
