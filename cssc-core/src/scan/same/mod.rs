//! Whether a patched candidate is still the image that it was made from.

mod config;
mod config_key;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use config::{ImageConfig, ImageConfigError};
pub use config_key::{ConfigKey, ConfigKeyError};

use super::{ImageOs, PackageChanges, ScanReport};

/// What shows that a candidate is another image than the one it was made from. Prints as the
/// reason, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ImageMismatch {
    /// Its operating system is another one, or of another release line.
    #[error("its operating system is `{candidate}`, that of the original is `{before}`")]
    Os {
        /// Family and version before.
        before: Box<str>,
        /// Family and version now.
        candidate: Box<str>,
    },
    /// It is built for another processor architecture.
    #[error("its architecture is `{candidate}`, that of the original is `{before}`")]
    Architecture {
        /// The architecture before.
        before: Box<str>,
        /// The architecture now.
        candidate: Box<str>,
    },
    /// Its configuration says that it runs on something else.
    #[error("its `{field}` is `{candidate}`, that of the original is `{original}`")]
    Platform {
        /// The field of the configuration: `variant`.
        field: Box<str>,
        /// What the original has there.
        original: Box<str>,
        /// What the candidate has there.
        candidate: Box<str>,
    },
    /// It is run in another way: the field of the configuration, or the label.
    #[error("its `{0}` is not that of the original")]
    Config(Box<str>),
    /// The scanner finds no packages in it, but in the original.
    #[error("the scanner finds no packages in it")]
    NoPackages,
    /// Packages of the image before are gone.
    #[error("{} of the original {} gone, `{package}` first of all", Packages(*.count), if *.count == 1 { "is" } else { "are" })]
    PackagesGone {
        /// How many.
        count: usize,
        /// The first of them.
        package: Box<str>,
    },
    /// A package is there in a lower version than in the image before.
    #[error("its package `{package}`{} is `{to}`, that of the original is `{from}`, which is newer", Of(architecture.as_deref()))]
    PackageDowngraded {
        /// The first of those packages.
        package: Box<str>,
        /// The architecture it is built for, if the scans say so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        architecture: Option<Box<str>>,
        /// Its version before.
        from: Box<str>,
        /// Its version now.
        to: Box<str>,
    },
}

struct Of<'a>(Option<&'a str>);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(architecture) => write!(f, " for `{architecture}`"),
            None => Ok(()),
        }
    }
}

struct Packages(usize);

impl fmt::Display for Packages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} package{plural}", self.0)
    }
}

impl ImageMismatch {
    /// What shows in the scans that `candidate` was not made from the image of `before`.
    ///
    /// Compared are the family and the release line of the operating system, the architecture,
    /// and the packages by name and architecture: none may be gone, and none may be there in a
    /// lower version than before. What one of the reports does not say is not compared.
    pub fn between(before: &ScanReport, candidate: &ScanReport) -> Option<Self> {
        if let Some(was) = &before.os
            && !is_same_release(was, candidate.os.as_ref())
        {
            let is = candidate.os.as_ref();
            let (before, candidate) = (text(was), is.map_or("unknown".into(), text));
            return Some(Self::Os { before, candidate });
        }
        if let (Some(was), Some(is)) = (before.architecture(), candidate.architecture())
            && was != is
        {
            let (before, candidate) = (was.into(), is.into());
            return Some(Self::Architecture { before, candidate });
        }
        if candidate.packages.is_empty() && !before.packages.is_empty() {
            return Some(Self::NoPackages);
        }
        let changes = PackageChanges::between(before, candidate);
        if let Some(first) = changes.removed().first() {
            return Some(Self::PackagesGone {
                count: changes.removed().len(),
                package: first.name().into(),
            });
        }
        let down = changes.downgraded().first()?;
        Some(Self::PackageDowngraded {
            package: down.name().into(),
            architecture: down.architecture().map(Into::into),
            from: down.from().into(),
            to: down.to().into(),
        })
    }
}

/// Whether `is` can be what became of `was` by upgrades alone.
fn is_same_release(was: &ImageOs, is: Option<&ImageOs>) -> bool {
    let line = release_line(was);
    is.is_some_and(|is| was.family() == is.family() && (line.is_none() || line == release_line(is)))
}

fn text(os: &ImageOs) -> Box<str> {
    let (family, name) = (os.family(), os.name());
    [family, name]
        .map(Option::unwrap_or_default)
        .join(" ")
        .trim()
        .into()
}

/// What of an operating system's version stays the same when its packages are upgraded: Debian
/// `12`, Alpine `3.19`, Red Hat's family `9`, Amazon `2023`, and of others all. Rolling and
/// testing releases have none: the next version is the same release.
fn release_line(os: &ImageOs) -> Option<&str> {
    let name = os.name()?;
    match os.family()? {
        "debian" => starts_with_digit(name)?.split('.').next(),
        // Between two releases: `3.21.0_alpha20240807`.
        "alpine" if name.contains('_') => None,
        "alpine" | "azurelinux" | "cbl-mariner" | "photon" => {
            Some(two_parts(starts_with_digit(name)?))
        }
        // `2023.3.20240108 (Amazon Linux)`, `AMI release 2018.03`
        "amazon" => name
            .split(' ')
            .find_map(starts_with_digit)?
            .split('.')
            .next(),
        "alma" | "centos" | "centos-stream" | "oracle" | "redhat" | "rocky" => {
            name.split('.').next()
        }
        "chainguard" | "minimos" | "opensuse-tumbleweed" | "opensuse.tumbleweed" | "wolfi" => None,
        _ => Some(name),
    }
}

/// Releases that are tested or never finished have words instead: `trixie/sid`, `edge`.
fn starts_with_digit(name: &str) -> Option<&str> {
    name.starts_with(|first: char| first.is_ascii_digit())
        .then_some(name)
}

fn two_parts(name: &str) -> &str {
    let second_dot = name.match_indices('.').nth(1);
    let end = second_dot.map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or(name)
}
