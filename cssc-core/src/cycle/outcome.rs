//! How an image ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an image, or one platform of it, ended. The order is that of how bad it is: an image ends
/// as its worst platform does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ImageOutcome {
    /// Nothing in it can be fixed.
    Clean,
    /// It was patched, and nothing that can be fixed is left.
    Patched,
    /// The policy names or matches it, and the cycle does not take care of it.
    LeftOut,
    /// Nobody can say whether it is vulnerable.
    Unsupported,
    /// Its operating system is out of service.
    EndOfLife,
    /// Something that can be fixed is left in it, and no patch took it away.
    Vulnerable,
    /// It was not scanned, not patched or not published, though it should have been.
    Failed,
    /// It was canceled before it was done.
    Canceled,
}

impl ImageOutcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Patched,
        Self::Clean,
        Self::Vulnerable,
        Self::EndOfLife,
        Self::Unsupported,
        Self::Failed,
        Self::Canceled,
        Self::LeftOut,
    ];

    /// The word for it: `end-of-life`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::Clean => "clean",
            Self::LeftOut => "left-out",
            Self::Unsupported => "unsupported",
            Self::EndOfLife => "end-of-life",
            Self::Vulnerable => "vulnerable",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

impl fmt::Display for ImageOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
