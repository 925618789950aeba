//! What goes wrong on this side of the relay.

use std::io;

use cssc_registry::RegistryError;

/// Why something was not stored in the relay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// There is no room, and nothing that may go.
    #[error("the relay is full: it may hold {space} bytes")]
    Full {
        /// How many bytes it may hold.
        space: u64,
    },
    /// The disk failed.
    #[error("the relay cannot use its folder: {0}")]
    Disk(#[from] io::Error),
}

/// What went wrong on the side of the relay while it served a login: it explains what the tool
/// says of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayFailure {
    /// The registry did not give what is in it.
    #[error("{0}")]
    Registry(RegistryError),
    /// There is no room, and nothing that may go.
    #[error("the relay is full: it may hold {space} bytes")]
    Full {
        /// How many bytes it may hold.
        space: u64,
    },
    /// The disk failed.
    #[error("the relay cannot use its folder: {0}")]
    Disk(String),
}

impl RelayFailure {
    /// Whether there was no room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

impl From<RegistryError> for RelayFailure {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<RelayError> for RelayFailure {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Full { space } => Self::Full { space },
            RelayError::Disk(error) => Self::Disk(error.to_string()),
        }
    }
}
