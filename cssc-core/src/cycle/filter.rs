//! Which images of a workflow a cycle takes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{NameError, Repository, Tag};

/// A repository, or one image of it: `python`, `python:3.11`.
///
/// ```
/// use cssc_core::cycle::ImageFilter;
///
/// let filter: ImageFilter = "team/python:3.11".parse()?;
/// assert!(filter.matches(&"team/python".parse()?, "3.11"));
/// assert!(!filter.matches(&"team/python".parse()?, "3.12"));
/// # Ok::<(), cssc_core::name::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageFilter {
    /// The repository.
    pub repository: Repository,
    /// The original tag; all of the repository when there is none.
    pub tag: Option<Tag>,
}

impl ImageFilter {
    /// Whether an image is taken where these are named: by one of them, or because none is.
    pub fn take(filters: &[Self], repository: &Repository, tag: &str) -> bool {
        let mut any = filters.iter();
        filters.is_empty() || any.any(|filter| filter.matches(repository, tag))
    }

    /// Whether it names this image.
    pub fn matches(&self, repository: &Repository, tag: &str) -> bool {
        self.repository == *repository && self.tag.as_ref().is_none_or(|own| own.as_str() == tag)
    }
}

impl FromStr for ImageFilter {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (repository, tag) = match text.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag.parse()?)),
            None => (text, None),
        };
        let repository = repository.parse()?;
        Ok(Self { repository, tag })
    }
}

impl fmt::Display for ImageFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => f.pad(&format!("{}:{tag}", self.repository)),
            None => f.pad(self.repository.as_str()),
        }
    }
}

impl Serialize for ImageFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(
            deserializer,
            "a repository or an image such as `python:3.11`",
        )
    }
}
