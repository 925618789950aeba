//! A cycle that several workers do: what each is told, what each reports, and what that makes
//! together.

mod assign;
mod document;
mod error;
mod merge;
mod result;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::excerpt;

pub use document::CycleDocument;
pub use error::{DocumentError, DocumentErrorKind};
pub use merge::Merge;
pub use result::ShardResult;

/// The JSON Schema of a [`CycleDocument`].
pub const CYCLE_SCHEMA: &str = include_str!("cycle.schema.json");
/// The JSON Schema of a [`ShardResult`].
pub const RESULT_SCHEMA: &str = include_str!("result.schema.json");

/// Which part of a cycle a worker does: prints and is read as `2/8`, the second of eight.
///
/// ```
/// use cssc_core::cycle::Shard;
///
/// let shard: Shard = "2/8".parse()?;
/// assert_eq!((shard.number().get(), shard.count().get()), (2, 8));
/// assert!("9/8".parse::<Shard>().is_err());
/// # Ok::<(), cssc_core::cycle::ShardError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard {
    number: NonZeroU32,
    count: NonZeroU32,
}

impl Shard {
    /// Shard `number`, from 1, of `count`; none when there are not so many.
    pub fn new(number: NonZeroU32, count: NonZeroU32) -> Option<Self> {
        (number <= count).then_some(Self { number, count })
    }

    /// Which it is, from 1.
    pub fn number(self) -> NonZeroU32 {
        self.number
    }

    /// How many there are.
    pub fn count(self) -> NonZeroU32 {
        self.count
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.number, self.count))
    }
}

/// A text that names no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a shard: expected its number, from 1, and how many there are: `2/8`")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let parse = || {
            let (number, count) = text.split_once('/')?;
            Self::new(number.parse().ok()?, count.parse().ok()?)
        };
        parse().ok_or_else(|| ShardError(excerpt(text)))
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Shard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "a shard such as `2/8`")
    }
}
