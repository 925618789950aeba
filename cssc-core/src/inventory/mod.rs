//! What is known of a registry's tags: found, absent or unavailable.

mod error;
mod file;

use std::collections::BTreeMap;

use crate::name::Repository;
use crate::tags::TagSet;

pub use error::{ListingError, UnavailableKind};
pub use file::{InventoryError, InventoryErrorKind};

/// What asking for the tags of one repository came to.
///
/// Absent and unavailable are never confused: a registry that fails or forbids has not said
/// that a repository does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// The repository exists and has these tags, perhaps none.
    Found(TagSet),
    /// The registry says that there is no such repository.
    Absent,
    /// The tags could not be read; nothing is known of them.
    Unavailable(ListingError),
}

/// What is known of a registry: a listing for each repository asked about.
///
/// An inventory is a complete statement: a repository it does not name is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    listings: BTreeMap<Repository, Listing>,
}

impl Inventory {
    /// What is known of `repository`.
    pub fn listing(&self, repository: &Repository) -> &Listing {
        self.listings.get(repository).unwrap_or(&Listing::Absent)
    }

    /// States what is known of `repository`, in place of what was stated before.
    pub fn insert(&mut self, repository: Repository, listing: Listing) -> Option<Listing> {
        self.listings.insert(repository, listing)
    }

    /// The repositories and their listings, in byte order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Repository, &Listing)> {
        self.listings.iter()
    }
}

impl FromIterator<(Repository, Listing)> for Inventory {
    fn from_iter<I: IntoIterator<Item = (Repository, Listing)>>(listings: I) -> Self {
        Self {
            listings: listings.into_iter().collect(),
        }
    }
}
