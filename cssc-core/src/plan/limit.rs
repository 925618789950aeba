//! How many images a workflow may run.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many images a workflow may run: a number, or any number. By default 100, as in Azure.
///
/// Is written `100` or `none`.
///
/// ```
/// use cssc_core::plan::ImageLimit;
///
/// let limit = ImageLimit::default();
/// assert!(limit.check(100).is_ok());
/// assert!(limit.check(101).is_err());
/// assert_eq!("none".parse(), Ok(ImageLimit::NONE));
/// ```
///
/// # Errors
///
/// Parsing fails for all but ASCII digits and `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageLimit(Option<u64>);

impl ImageLimit {
    /// No limit.
    pub const NONE: Self = Self(None);

    /// At most so many images.
    pub const fn at_most(images: u64) -> Self {
        Self(Some(images))
    }

    /// The number; none without a limit.
    pub const fn get(self) -> Option<u64> {
        self.0
    }

    /// Compares a number of images with the limit.
    ///
    /// # Errors
    ///
    /// Fails when there are more than there may be.
    pub fn check(self, matches: u64) -> Result<(), LimitExceeded> {
        match self.0 {
            Some(limit) if matches > limit => Err(LimitExceeded { matches, limit }),
            _ => Ok(()),
        }
    }
}

impl Default for ImageLimit {
    fn default() -> Self {
        Self::at_most(100)
    }
}

impl From<Option<u64>> for ImageLimit {
    fn from(limit: Option<u64>) -> Self {
        Self(limit)
    }
}

impl fmt::Display for ImageLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => limit.fmt(f),
            None => f.pad("none"),
        }
    }
}

impl FromStr for ImageLimit {
    type Err = ImageLimitError;

    fn from_str(text: &str) -> Result<Self, ImageLimitError> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(limit) if is_number => Ok(Self::at_most(limit)),
            _ => Err(ImageLimitError),
        }
    }
}

/// A number, or `"none"`.
impl Serialize for ImageLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(limit) => serializer.serialize_u64(limit),
            None => serializer.serialize_str("none"),
        }
    }
}

impl<'de> Deserialize<'de> for ImageLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Limit;

        impl Visitor<'_> for Limit {
            type Value = ImageLimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of images, or `none`")
            }

            fn visit_u64<E>(self, limit: u64) -> Result<ImageLimit, E> {
                Ok(ImageLimit::at_most(limit))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ImageLimit, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer
            .deserialize_any(Limit)
            .map_err(D::Error::custom)
    }
}

/// A text that is no limit of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of images, or `none`")]
pub struct ImageLimitError;

/// More images than a workflow may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "the policy selects {matches} images and a workflow may run {limit}: narrow the policy or \
     raise the limit"
)]
#[serde(rename_all = "camelCase")]
pub struct LimitExceeded {
    /// How many there are.
    pub matches: u64,
    /// How many there may be.
    pub limit: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_and_back() {
        for (text, json, limit) in [
            ("0", "0", ImageLimit::at_most(0)),
            ("100", "100", ImageLimit::default()),
            ("none", r#""none""#, ImageLimit::NONE),
        ] {
            assert_eq!(text.parse(), Ok(limit));
            assert_eq!(limit.to_string(), text);
            assert_eq!(serde_json::to_string(&limit).unwrap(), json);
            assert_eq!(serde_json::from_str::<ImageLimit>(json).unwrap(), limit);
        }
        for text in ["", "-1", "+5", "1.5", "None", "99999999999999999999"] {
            assert_eq!(text.parse::<ImageLimit>(), Err(ImageLimitError), "{text}");
        }
        for json in ["null", "-1", "1.5", r#""many""#] {
            let error = serde_json::from_str::<ImageLimit>(json).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("a number of images, or `none`"), "{error}");
        }
    }
}
