//! The version of stored documents.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version that is written and read.
const CURRENT: u32 = 1;

/// A field `version` that says in which format a document is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(CURRENT)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            CURRENT => Ok(Self),
            other => Err(serde::de::Error::custom(format!(
                "version {other} is not read by this program: it knows version {CURRENT}"
            ))),
        }
    }
}
