//! What an image is called in a cycle.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{NameError, Repository, Tag};

/// Repository and tag of an image: prints and is stored as `python:3.11`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// The repository.
    pub repository: Repository,
    /// The tag; of what was left out, what the policy says in its place: a glob, or `*`.
    pub tag: Box<str>,
}

impl ImageName {
    /// The name of an image.
    pub fn of(repository: &Repository, tag: &Tag) -> Self {
        Self {
            repository: repository.clone(),
            tag: tag.as_str().into(),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.repository, self.tag))
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (repository, tag) = text.rsplit_once(':').unwrap_or((text, ""));
        Ok(Self {
            repository: repository.parse()?,
            tag: tag.into(),
        })
    }
}

impl Serialize for ImageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "an image such as `python:3.11`")
    }
}
