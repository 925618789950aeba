//! `index.json` of a layout: its entries, read one by one.

use std::fmt;
use std::io::Read;

use cssc_core::Digest;
use cssc_core::stream::{self, Each};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::RegistryError;

/// The annotation that holds the tag
/// ([OCI image specification, "Pre-Defined Annotation Keys"][spec]).
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An entry of `index.json`, as far as reading needs it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) annotations: Annotations,
}

#[derive(Deserialize, Default)]
pub(super) struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    pub(super) ref_name: Option<String>,
}

/// The name alone, which is all that listing needs of a large index.
#[derive(Deserialize)]
pub(super) struct NameEntry {
    #[serde(default)]
    pub(super) annotations: Annotations,
}

/// `index.json`, whose entries go to `entry` one by one.
struct Index<E> {
    entry: E,
}

impl<'de, E> Visitor<'de> for Index<E>
where
    for<'a> &'a mut E: DeserializeSeed<'de, Value = ()>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `manifests`")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "manifests" {
                map.next_value_seed(Each {
                    expecting: "a list of manifests",
                    or_null: false,
                    element: &mut self.entry,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Gives each entry to `take`, until it fails.
pub(super) fn each_entry<T: for<'de> Deserialize<'de>>(
    file: impl Read,
    broken: impl Fn(&dyn fmt::Display) -> RegistryError,
    mut take: impl FnMut(T) -> Result<(), RegistryError>,
) -> Result<(), RegistryError> {
    let mut failed = None;
    let entry = stream::Value::new(|entry: T| {
        let taken = take(entry);
        failed = taken.clone().err();
        taken
    });
    let mut json = serde_json::Deserializer::from_reader(file);
    let read = json.deserialize_map(Index { entry });
    let read = read.and_then(|()| json.end());
    match failed {
        Some(error) => Err(error),
        None => read.map_err(|error| broken(&error)),
    }
}

pub(super) fn ref_name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

pub(super) fn has_digest(entry: &Value, digest: &Digest) -> bool {
    entry.get("digest").and_then(Value::as_str) == Some(digest.as_str())
}
