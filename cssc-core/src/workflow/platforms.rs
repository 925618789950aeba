//! Which platforms a workflow takes care of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{Platform, PlatformError};

/// The word for all platforms.
const ALL: &str = "all";

/// Platforms to take care of; all by default. One without a variant stands for all variants.
///
/// ```
/// use cssc_core::workflow::PlatformSelection;
///
/// let selection: PlatformSelection = "linux/amd64,linux/arm".parse()?;
/// assert!(selection.takes(&"linux/arm/v7".parse()?));
/// assert!(!selection.takes(&"linux/arm64/v8".parse()?));
/// assert_eq!("all".parse(), Ok(PlatformSelection::default()));
/// # Ok::<(), cssc_core::name::PlatformError>(())
/// ```
///
/// # Errors
///
/// Parsing fails with the first of the comma-separated texts that is no platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlatformSelection(Vec<Platform>);

impl PlatformSelection {
    /// Whether it leaves no platform out.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds a platform, or all variants of it.
    pub fn takes(&self, platform: &Platform) -> bool {
        let is_taken = |one: &Platform| {
            one.os() == platform.os()
                && one.architecture() == platform.architecture()
                && (one.variant().is_none() || one.variant() == platform.variant())
        };
        self.is_all() || self.0.iter().any(is_taken)
    }
}

impl FromStr for PlatformSelection {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        if text == ALL {
            return Ok(Self::default());
        }
        text.split(',')
            .map(|one| one.trim().parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for PlatformSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.pad(ALL);
        }
        let platforms: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.pad(&platforms.join(","))
    }
}
