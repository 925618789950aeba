//! The version of stored documents.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version that is written. Version 0 had no such field, no count of interruptions, and
/// reasons as plain text.
const CURRENT: u32 = 1;

/// A field `version` that writes the current version and reads it and older ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(CURRENT)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            0..=CURRENT => Ok(Self),
            newer => Err(serde::de::Error::custom(format!(
                "version {newer} is newer than this program reads: it knows up to {CURRENT}"
            ))),
        }
    }
}
