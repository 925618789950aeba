//! Which platforms a workflow takes care of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{Platform, PlatformError};

/// Platforms to take care of, at least one. One without a variant stands for all variants.
///
/// ```
/// use cssc_core::workflow::PlatformSelection;
///
/// let selection: PlatformSelection = "linux/amd64,linux/arm".parse()?;
/// assert!(selection.takes(&"linux/arm/v7".parse()?));
/// assert!(!selection.takes(&"linux/arm64/v8".parse()?));
/// # Ok::<(), cssc_core::name::PlatformError>(())
/// ```
///
/// # Errors
///
/// Parsing fails with the first of the comma-separated texts that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Platform>")]
pub struct PlatformSelection(Vec<Platform>);

impl PlatformSelection {
    /// These platforms; none when there is none.
    pub fn new(platforms: impl IntoIterator<Item = Platform>) -> Option<Self> {
        let platforms = in_order(platforms.into_iter().collect());
        (!platforms.is_empty()).then_some(Self(platforms))
    }

    /// Whether it holds a platform, or all variants of it.
    pub fn takes(&self, platform: &Platform) -> bool {
        self.0.iter().any(|one| {
            one.os() == platform.os()
                && one.architecture() == platform.architecture()
                && (one.variant().is_none() || one.variant() == platform.variant())
        })
    }
}

fn in_order(mut platforms: Vec<Platform>) -> Vec<Platform> {
    platforms.sort_unstable();
    platforms.dedup();
    platforms
}

impl FromStr for PlatformSelection {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let platforms = text.split(',').map(|text| text.trim().parse());
        let platforms: Vec<Platform> = platforms.collect::<Result<_, _>>()?;
        Ok(Self(in_order(platforms)))
    }
}

impl fmt::Display for PlatformSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        self.0.iter().try_for_each(|platform| {
            write!(f, "{separator}{platform}")?;
            separator = ",";
            Ok(())
        })
    }
}

impl TryFrom<Vec<Platform>> for PlatformSelection {
    type Error = NoPlatform;

    fn try_from(platforms: Vec<Platform>) -> Result<Self, NoPlatform> {
        Self::new(platforms).ok_or(NoPlatform)
    }
}

/// A selection of no platform at all, with which nothing could be patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected at least one platform such as `linux/amd64`")]
pub struct NoPlatform;
