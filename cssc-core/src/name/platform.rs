//! Platforms that images are built for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::excerpt;

/// The most bytes of one part of a platform.
const MAX_PART_LEN: usize = 64;

/// A platform that an image is built for: operating system, architecture and, where the
/// architecture has them, a variant ([OCI image index, "platform"][spec]).
///
/// ```
/// use cssc_core::name::Platform;
///
/// let platform: Platform = "linux/arm64/v8".parse()?;
/// assert_eq!(platform.os(), "linux");
/// assert_eq!(platform.architecture(), "arm64");
/// assert_eq!(platform.variant(), Some("v8"));
/// # Ok::<(), cssc_core::name::PlatformError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for `linux` (no architecture), `linux/arm64/v8/x` (a fourth part), and for parts
/// that are empty, longer than 64 bytes, or hold anything but lower-case letters, digits, `_` and
/// `.`.
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: Box<str>,
    architecture: Box<str>,
    variant: Option<Box<str>>,
}

impl Platform {
    /// The operating system: `linux`.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture: `arm64`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant of the architecture: `v8`.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let is_part = |part: &str| {
            (1..=MAX_PART_LEN).contains(&part.len())
                && part.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte)
                })
        };
        let mut parts = text.split('/');
        let mut part = || parts.next().map(Box::from);
        let platform = match (part(), part(), part(), part()) {
            (Some(os), Some(architecture), variant, None) => Self {
                os,
                architecture,
                variant,
            },
            _ => return Err(PlatformError(excerpt(text))),
        };
        let variant = platform.variant().unwrap_or("v1");
        if [platform.os(), platform.architecture(), variant]
            .into_iter()
            .all(is_part)
        {
            Ok(platform)
        } else {
            Err(PlatformError(excerpt(text)))
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "a platform such as `linux/amd64`")
    }
}

/// A text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform: expected the form `linux/amd64` or `linux/arm64/v8`")]
pub struct PlatformError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_checked() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm64/v8/x",
            "Linux/amd64",
            "linux/a-b",
        ] {
            assert_eq!(
                text.parse::<Platform>().unwrap_err().to_string(),
                format!(
                    "`{text}` is not a platform: expected the form `linux/amd64` or \
                     `linux/arm64/v8`"
                )
            );
        }
    }
}
