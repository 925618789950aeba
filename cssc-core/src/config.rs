//! The policy, as far as planning needs it.

use serde::Deserialize;

use crate::convention::TagConvention;
use crate::inventory::{Inventory, Listing};
use crate::name::Repository;
use crate::pattern::Selector;
use crate::tag_set::TagSet;

/// A policy: which tags are patched, and how patches are tagged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    #[serde(rename = "tag-convention", default)]
    convention: TagConvention,
    repositories: Vec<Rule>,
}

/// One entry of a policy's `repositories`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rule {
    repository: Repository,
    tags: Vec<Selector>,
    #[serde(default = "enabled")]
    enabled: bool,
}

fn enabled() -> bool {
    true
}

impl Config {
    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.repositories
    }

    /// How patches are tagged.
    pub fn tag_convention(&self) -> TagConvention {
        self.convention
    }
}

impl Rule {
    /// The repository the rule is about.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The entries of the rule's `tags`.
    pub fn selectors(&self) -> &[Selector] {
        &self.tags
    }

    /// Whether the rule selects anything.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }
}

impl std::str::FromStr for Config {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

impl Inventory {
    /// Reads an inventory file.
    ///
    /// # Errors
    ///
    /// Fails for what is no object of repositories with lists of tags.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        use serde::de::Error;
        let listings: std::collections::BTreeMap<Repository, Vec<String>> =
            serde_json::from_slice(bytes)?;
        listings
            .into_iter()
            .map(|(repository, tags)| match TagSet::new(tags) {
                Ok(tags) => Ok((repository, Listing::Found(tags))),
                Err(error) => Err(serde_json::Error::custom(error)),
            })
            .collect()
    }
}
