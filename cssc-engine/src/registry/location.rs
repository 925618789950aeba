//! What a person may write to say which registry.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use cssc_core::{NameError, Registry};

/// Where a registry is: a host, a tree of OCI layouts, or an inventory file.
///
/// ```
/// use cssc_engine::registry::{InventorySource, RegistryLocation};
///
/// let location: RegistryLocation = "layout:images".parse()?;
/// assert_eq!(location, RegistryLocation::Layout("images".into()));
/// let location: RegistryLocation = "inventory:-".parse()?;
/// assert_eq!(location, RegistryLocation::Inventory(InventorySource::StandardInput));
/// let location: RegistryLocation = "myregistry".parse()?;
/// assert_eq!(location.to_string(), "myregistry.azurecr.io");
/// # Ok::<(), cssc_engine::registry::RegistryLocationError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for `layout:` and `inventory:` (nothing behind the colon), and for all that
/// [`Registry`] refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryLocation {
    /// A registry that speaks the OCI distribution protocol.
    Registry(Registry),
    /// A folder in which every repository is a folder with an OCI image layout.
    Layout(PathBuf),
    /// The tags of a registry, written down.
    Inventory(InventorySource),
}

/// Where an inventory is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventorySource {
    /// A file.
    File(PathBuf),
    /// Standard input, written `-`; the caller reads it.
    StandardInput,
}

impl FromStr for RegistryLocation {
    type Err = RegistryLocationError;

    fn from_str(text: &str) -> Result<Self, RegistryLocationError> {
        let fault = |fault| Err(RegistryLocationError(fault));
        match text.split_once(':') {
            Some(("layout", "")) => fault(LocationFault::NoDirectory),
            Some(("inventory", "")) => fault(LocationFault::NoFile),
            Some(("layout", path)) => Ok(Self::Layout(path.into())),
            Some(("inventory", "-")) => Ok(Self::Inventory(InventorySource::StandardInput)),
            Some(("inventory", path)) => Ok(Self::Inventory(InventorySource::File(path.into()))),
            _ => match text.parse() {
                Ok(registry) => Ok(Self::Registry(registry)),
                Err(error) => fault(LocationFault::Registry(error)),
            },
        }
    }
}

impl fmt::Display for RegistryLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(registry) => registry.fmt(f),
            Self::Layout(path) => write!(f, "layout:{}", path.display()),
            Self::Inventory(InventorySource::File(path)) => {
                write!(f, "inventory:{}", path.display())
            }
            Self::Inventory(InventorySource::StandardInput) => f.write_str("inventory:-"),
        }
    }
}

/// A text that says no registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLocationError(LocationFault);

#[derive(Debug, Clone, PartialEq, Eq)]
enum LocationFault {
    NoDirectory,
    NoFile,
    Registry(NameError),
}

impl std::error::Error for RegistryLocationError {}

impl fmt::Display for RegistryLocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            LocationFault::NoDirectory => {
                f.write_str("`layout:` needs a directory, as in `layout:images`")
            }
            LocationFault::NoFile => f.write_str(
                "`inventory:` needs a file, as in `inventory:tags.json`, \
                 or `-` for standard input",
            ),
            LocationFault::Registry(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in [
            "myregistry.azurecr.io",
            "localhost:5000",
            "layout:a/b",
            "inventory:tags.json",
            "inventory:-",
            "layout:C:\\images",
        ] {
            assert_eq!(text.parse::<RegistryLocation>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refusals() {
        let error = |text: &str| text.parse::<RegistryLocation>().unwrap_err().to_string();
        assert_eq!(
            error("layout:"),
            "`layout:` needs a directory, as in `layout:images`"
        );
        assert_eq!(
            error("inventory:"),
            "`inventory:` needs a file, as in `inventory:tags.json`, or `-` for standard input"
        );
        assert_eq!(
            error("https://example.com"),
            "`https://example.com` is not a valid registry: leave out the scheme, \
             as in `myregistry.azurecr.io`"
        );
    }
}
