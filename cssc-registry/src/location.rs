//! What a person may write to say which registry.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use cssc_core::Registry;
use cssc_core::name::NameError;

/// Where a registry is: a host, perhaps with a namespace, a tree of OCI layouts, or an inventory
/// file.
///
/// ```
/// use cssc_registry::{InventorySource, RegistryAddress};
///
/// let location: RegistryAddress = "layout:images".parse()?;
/// assert_eq!(location, RegistryAddress::Layout("images".into()));
/// let location: RegistryAddress = "inventory:-".parse()?;
/// assert_eq!(location, RegistryAddress::Inventory(InventorySource::StandardInput));
/// let location: RegistryAddress = "myregistry".parse()?;
/// assert_eq!(location.to_string(), "myregistry.azurecr.io");
/// # Ok::<(), cssc_registry::RegistryAddressError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for `layout:` and `inventory:` (nothing behind the colon), and for all that
/// [`Registry`] refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryAddress {
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

impl FromStr for RegistryAddress {
    type Err = RegistryAddressError;

    fn from_str(text: &str) -> Result<Self, RegistryAddressError> {
        let refuse = |kind| Err(RegistryAddressError(kind));
        match text.split_once(':') {
            Some(("layout", "")) => refuse(AddressErrorKind::NoDirectory),
            Some(("inventory", "")) => refuse(AddressErrorKind::NoFile),
            Some(("layout", path)) => Ok(Self::Layout(path.into())),
            Some(("inventory", "-")) => Ok(Self::Inventory(InventorySource::StandardInput)),
            Some(("inventory", path)) => Ok(Self::Inventory(InventorySource::File(path.into()))),
            _ => match text.parse() {
                Ok(registry) => Ok(Self::Registry(registry)),
                Err(error) => refuse(AddressErrorKind::Registry(error)),
            },
        }
    }
}

impl RegistryAddress {
    /// What belongs to a registry is kept under this text, the same however it is named: see
    /// [`Registry::key`].
    pub fn key(&self) -> String {
        match self {
            Self::Registry(registry) => registry.key(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for RegistryAddress {
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
pub struct RegistryAddressError(AddressErrorKind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum AddressErrorKind {
    NoDirectory,
    NoFile,
    Registry(NameError),
}

impl std::error::Error for RegistryAddressError {}

impl fmt::Display for RegistryAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            AddressErrorKind::NoDirectory => {
                f.write_str("`layout:` needs a directory, as in `layout:images`")
            }
            AddressErrorKind::NoFile => f.write_str(
                "`inventory:` needs a file, as in `inventory:tags.json`, \
                 or `-` for standard input",
            ),
            AddressErrorKind::Registry(error) => error.fmt(f),
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
            "ghcr.io/acme",
            "layout:a/b",
            "inventory:tags.json",
            "inventory:-",
            "layout:C:\\images",
        ] {
            assert_eq!(text.parse::<RegistryAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refusals() {
        let error = |text: &str| text.parse::<RegistryAddress>().unwrap_err().to_string();
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
