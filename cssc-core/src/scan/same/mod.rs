//! Whether a patched candidate is still the image that it was made from.

mod config;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use config::{ImageConfig, ImageConfigError};

use super::{ImageOs, Package, ScanReport};

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
    /// Its lowest layers are not those of the original.
    #[error("it does not begin with the layers of the original")]
    Layers,
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
    /// and the packages by name and architecture: none may be gone. What one of the reports does
    /// not say is not compared.
    pub fn between(before: &ScanReport, candidate: &ScanReport) -> Option<Self> {
        if let Some(was) = &before.os
            && candidate.os.as_ref().map(release_line) != Some(release_line(was))
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
        let is_gone = |package: &&Package| candidate.packages.binary_search(package).is_err();
        let mut gone = before.packages.iter().filter(is_gone);
        let first = gone.next()?;
        Some(Self::PackagesGone {
            count: gone.count().saturating_add(1),
            package: first.name().into(),
        })
    }
}

fn text(os: &ImageOs) -> Box<str> {
    let (family, name) = (os.family(), os.name());
    [family, name]
        .map(Option::unwrap_or_default)
        .join(" ")
        .trim()
        .into()
}

/// What of an operating system stays the same when its packages are upgraded: Debian `12`, Alpine
/// `3.19`, Red Hat's family `9`, and of others all.
fn release_line(os: &ImageOs) -> (Option<&str>, Option<&str>) {
    let dots_before = match os.family() {
        Some("debian" | "redhat" | "centos" | "rocky" | "alma" | "oracle") => 0,
        Some("alpine") => 1,
        _ => return (os.family(), os.name()),
    };
    let line = os.name().map(|name| {
        let mut dots = name.match_indices('.').map(|(at, _)| at);
        let end = dots.nth(dots_before).unwrap_or(name.len());
        name.get(..end).unwrap_or(name)
    });
    (os.family(), line)
}
