//! Why work was ended from outside.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why work was ended from outside before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Interrupt {
    /// Whoever does the work stops; somebody else goes on with it later.
    Stopped,
    /// The work is not wanted any more.
    Canceled,
    /// The time for it is over.
    Overdue,
}

impl fmt::Display for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "stopped",
            Self::Canceled => "canceled",
            Self::Overdue => "overdue",
        })
    }
}
