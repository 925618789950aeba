//! Digests of bytes.

use base16ct::lower::encode_string;
use cssc_core::Digest;
use sha2::{Digest as _, Sha256, Sha512};

/// A digest that is made piece by piece, in the algorithm of the one it is to be compared with.
#[derive(Debug, Clone)]
pub enum Hasher {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher of the algorithm that `digest` is made with.
    pub fn new(digest: &Digest) -> Self {
        match digest.algorithm() {
            "sha512" => Self::Sha512(Sha512::new()),
            _ => Self::Sha256(Sha256::new()),
        }
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Whether all bytes together are what `digest` names.
    pub fn is(self, digest: &Digest) -> bool {
        let digits = match self {
            Self::Sha256(hasher) => encode_string(&hasher.finalize()),
            Self::Sha512(hasher) => encode_string(&hasher.finalize()),
        };
        digits == digest.hex()
    }
}

/// The SHA-256 digest of `bytes`.
///
/// ```
/// let digest = cssc_registry::digest::of(b"{}");
/// assert_eq!(
///     digest.as_str(),
///     "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
/// );
/// assert!(cssc_registry::digest::matches(&digest, b"{}"));
/// assert!(!cssc_registry::digest::matches(&digest, b"[]"));
/// ```
#[expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "a hash prints as a digest"
)]
pub fn of(bytes: &[u8]) -> Digest {
    format!("sha256:{}", encode_string(&Sha256::digest(bytes)))
        .parse()
        .expect("a digest")
}

/// Whether `bytes` are what `digest` names.
pub fn matches(digest: &Digest, bytes: &[u8]) -> bool {
    let mut hasher = Hasher::new(digest);
    hasher.update(bytes);
    hasher.is(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_algorithms_are_verified() {
        let long = format!("sha512:{}", encode_string(&Sha512::digest(b"a")));
        let long: Digest = long.parse().unwrap();
        assert!(matches(&long, b"a") && !matches(&long, b"b"));
    }
}
