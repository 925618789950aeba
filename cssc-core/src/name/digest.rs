//! Digests, which name content.

use std::str::FromStr;

use super::excerpt;

/// The name of content, made from its bytes: `sha256:` and 64 hexadecimal digits, or `sha512:`
/// and 128 ([OCI image specification, "Digests"][spec]).
///
/// Only the text is checked here: making a digest from bytes takes a hash function, see
/// `cssc_registry::digest`.
///
/// ```
/// use cssc_core::Digest;
///
/// let text = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
/// let digest: Digest = text.parse()?;
/// assert_eq!((digest.algorithm(), digest.as_str()), ("sha256", text));
/// # Ok::<(), cssc_core::name::DigestError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for `md5:…` (another algorithm), `sha256:ABC…` (upper case), and a wrong
/// number of digits.
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub(super) Box<str>);

impl Digest {
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

    fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or_default()
    }
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

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a digest: expected `sha256:` and 64 lower-case hexadecimal digits, \
     or `sha512:` and 128"
)]
pub struct DigestError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_checked() {
        for (algorithm, digits) in [("sha256", 64), ("sha512", 128)] {
            let text = format!("{algorithm}:{}", "0a".repeat(digits / 2));
            let digest: Digest = text.parse().unwrap();
            assert_eq!(digest.algorithm(), algorithm);
            assert_eq!(digest.hex().len(), digits);
            assert_eq!(digest.to_string(), text);
        }
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
}
