//! Reading an inventory file: `{"python": ["3.11", "3.11-1"], "ubuntu": []}`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::{Inventory, Listing};
use crate::name::Repository;
use crate::stream::{self, Each};
use crate::tags::TagSetBuilder;

impl Inventory {
    /// Reads an inventory file: a JSON object that gives each repository its tags.
    ///
    /// A repository that the file does not name is absent. Tags may come in any order. A file
    /// of a million tags is read in one pass, without a string for each tag.
    ///
    /// ```
    /// use cssc_core::{Inventory, Listing};
    ///
    /// let inventory = Inventory::from_json(br#"{"python": ["3.11", "3.11-1"], "ubuntu": []}"#)?;
    /// let python = "python".parse()?;
    /// assert!(matches!(inventory.listing(&python), Listing::Found(tags) if tags.len() == 2));
    ///
    /// let error = Inventory::from_json(br#"{"python": ["3.11", 3.12]}"#).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "line 1, column 24: invalid type: floating point `3.12`, \
    ///      expected a tag of `python` in double quotes",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails for what is not such an object, for an invalid repository name or tag, for a
    /// repository or a tag that is listed twice, and for a file that is not UTF-8.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InventoryError> {
        let mut inventory = Self::parse(bytes)?;
        inventory.compact();
        Ok(inventory)
    }

    /// Reads an inventory file that is not needed afterwards: as [`from_json`](Self::from_json),
    /// and frees the file before tags out of order are copied into order.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json).
    pub fn from_json_vec(bytes: Vec<u8>) -> Result<Self, InventoryError> {
        let mut inventory = Self::parse(&bytes)?;
        drop(bytes);
        inventory.compact();
        Ok(inventory)
    }

    fn compact(&mut self) {
        for listing in self.listings.values_mut() {
            if let Listing::Found(tags) = listing {
                tags.compact();
            }
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, InventoryError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            InventoryError {
                kind: InventoryErrorKind::Encoding,
                message: format!("the inventory is not UTF-8: byte {at}; save it as UTF-8"),
            }
        })?;
        if text.starts_with('\u{feff}') {
            let message = "the inventory begins with a byte order mark: save it without one";
            return Err(InventoryError {
                kind: InventoryErrorKind::Encoding,
                message: message.to_owned(),
            });
        }
        if text.trim_ascii().is_empty() {
            let message = "the inventory is empty: it must be a JSON object such as \
                           `{\"python\": [\"3.11\"]}`";
            return Err(InventoryError {
                kind: InventoryErrorKind::Empty,
                message: message.to_owned(),
            });
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let inventory = deserializer.deserialize_map(Repositories)?;
        deserializer.end()?;
        Ok(inventory)
    }
}

/// Why a file is no inventory, with line and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InventoryError {
    kind: InventoryErrorKind,
    message: String,
}

/// Of what kind an [`InventoryError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InventoryErrorKind {
    /// It is not UTF-8, or begins with a byte order mark.
    Encoding,
    /// It is empty.
    Empty,
    /// It is not JSON.
    Syntax,
    /// It is JSON and no inventory: a value of another type, or a name that is not valid.
    Content,
}

impl InventoryError {
    /// Of what kind the error is.
    pub fn kind(&self) -> InventoryErrorKind {
        self.kind
    }
}

impl From<serde_json::Error> for InventoryError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        let message = text.strip_suffix(&place).unwrap_or(&text);
        Self {
            kind: match error.classify() {
                serde_json::error::Category::Data => InventoryErrorKind::Content,
                _ => InventoryErrorKind::Syntax,
            },
            message: format!("line {line}, column {column}: {message}"),
        }
    }
}

/// The whole file.
struct Repositories;

impl<'de> Visitor<'de> for Repositories {
    type Value = Inventory;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object of repositories and their tags")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inventory, A::Error> {
        let mut inventory = Inventory::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let repository: Repository = name.parse().map_err(A::Error::custom)?;
            let mut tags = TagSetBuilder::default();
            let mut tag = stream::Text {
                expecting: format_args!("a tag of `{repository}` in double quotes"),
                take: |tag: &str| {
                    let pushed = tags.push(tag);
                    pushed.map_err(|error| format!("repository `{repository}`: {error}"))
                },
            };
            map.next_value_seed(Each {
                expecting: format_args!("a list with the tags of `{repository}`"),
                or_null: false,
                element: &mut tag,
            })?;
            let tags = tags.finish_distinct().map_err(|tag| {
                A::Error::custom(format_args!(
                    "the tag `{tag}` of `{repository}` is listed twice"
                ))
            })?;
            if inventory.listings.contains_key(&repository) {
                let message = format!("the repository `{repository}` is listed twice");
                return Err(A::Error::custom(message));
            }
            inventory.insert(repository, Listing::Found(tags));
        }
        Ok(inventory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &[u8]) -> String {
        Inventory::from_json(text).unwrap_err().to_string()
    }

    #[test]
    fn every_rejected_file_says_why_and_where() {
        for (text, message) in [
            (
                &b""[..],
                "the inventory is empty: it must be a JSON object such as `{\"python\": [\"3.11\"]}`",
            ),
            (
                b"\xef\xbb\xbf{}",
                "the inventory begins with a byte order mark: save it without one",
            ),
            (
                b"{\"a\": [\"\xff\"]}",
                "the inventory is not UTF-8: byte 8; save it as UTF-8",
            ),
            (
                b"[]",
                "line 1, column 0: invalid type: sequence, expected a JSON object of repositories and their tags",
            ),
            (
                b"{\"a\": null}",
                "line 1, column 10: invalid type: null, expected a list with the tags of `a`",
            ),
            (
                b"{\"a\":\n[\"x\", \"y z\"]}",
                "line 2, column 11: repository `a`: `y z` is not a valid tag: ` ` is not allowed, only letters, digits, `.`, `_` and `-`",
            ),
            (
                b"{\"a\": [\"x\", \"y\", \"x\"]}",
                "line 1, column 22: the tag `x` of `a` is listed twice",
            ),
            (
                b"{\"a\": [], \"a\": []}",
                "line 1, column 18: the repository `a` is listed twice",
            ),
            (
                b"{\"A\": []}",
                "line 1, column 4: `A` is not a valid repository name: it must be lower case (`a`)",
            ),
            (b"{\"a\": []} x", "line 1, column 11: trailing characters"),
            (
                b"{\"a\": [\"x\"",
                "line 1, column 10: EOF while parsing a list",
            ),
        ] {
            assert_eq!(error(text), message, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(error("[".repeat(1_000_000).as_bytes()).contains("invalid type: sequence"));
        let deep = format!("{{\"a\": {}", "[".repeat(1_000_000));
        assert!(error(deep.as_bytes()).contains("invalid type: sequence"));
    }
}
