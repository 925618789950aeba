//! The packages of an image, and what an upgrade changes of them.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::ScanReport;
use super::version::{PackageKind, first_part};

/// Keys that rpm lists among its packages.
const NO_PACKAGE: &str = "gpg-pubkey";

/// An installed OS package. Ordered by name, architecture and text of the version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    pub(super) name: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) architecture: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<Box<str>>,
}

impl Package {
    /// Its name: `libc6`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The architecture it is built for, if the report says so: `amd64`, `noarch`.
    pub fn architecture(&self) -> Option<&str> {
        self.architecture.as_deref()
    }

    /// Its version with epoch and release, if the report says so: `1:2.36-9+deb12u4`.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// What stays when it is upgraded.
    fn identity(&self) -> (&str, Option<&str>) {
        (self.name(), self.architecture())
    }
}

/// A package that is there in another version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageChange {
    name: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    architecture: Option<Box<str>>,
    from: Box<str>,
    to: Box<str>,
    major: bool,
}

impl PackageChange {
    /// Its name: `libc6`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The architecture it is built for, if the reports say so.
    pub fn architecture(&self) -> Option<&str> {
        self.architecture.as_deref()
    }

    /// Its version before.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Its version now.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Whether the first part of the upstream version is another one: `6` of `6.0.13-1`.
    pub fn is_major(&self) -> bool {
        self.major
    }
}

/// What of an image's OS packages a patch changed. Each list is in order.
///
/// A package is known again by its name and architecture, and where it is installed in several
/// versions counts by the highest. Which of two versions is higher the package manager's order
/// says; where the operating system is not known another version counts as an upgrade. The keys
/// that rpm lists as `gpg-pubkey` are no packages.
///
/// ```
/// use cssc_core::ScanReport;
/// use cssc_core::scan::PackageChanges;
///
/// let report = |packages: &str| ScanReport::from_slice(format!(
///     r#"{{"SchemaVersion": 2, "Metadata": {{"OS": {{"Family": "alpine", "Name": "3.19.1"}}}},
///         "Results": [{{"Class": "os-pkgs", "Packages": [{packages}]}}]}}"#
/// ).as_bytes());
/// let before = report(r#"{"Name": "libssl3", "Version": "3.1.4-r2"}"#)?;
/// let after = report(r#"{"Name": "libssl3", "Version": "3.1.4-r5"}"#)?;
/// let changes = PackageChanges::between(&before, &after);
/// let [upgrade] = changes.upgraded() else { panic!() };
/// assert_eq!((upgrade.from(), upgrade.to()), ("3.1.4-r2", "3.1.4-r5"));
/// # Ok::<(), cssc_core::scan::ScanError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageChanges {
    upgraded: Vec<PackageChange>,
    downgraded: Vec<PackageChange>,
    added: Vec<Package>,
    removed: Vec<Package>,
}

impl PackageChanges {
    /// What changed from the image of one scan to that of another.
    pub fn between(before: &ScanReport, after: &ScanReport) -> Self {
        let family = before.os_family().or(after.os_family());
        let kind = family.and_then(PackageKind::of_family);
        let (mut was, mut is) = (
            Installed::new(before, kind).peekable(),
            Installed::new(after, kind).peekable(),
        );
        let mut changes = Self::default();
        loop {
            let order = match (was.peek(), is.peek()) {
                (Some(was), Some(is)) => was.identity().cmp(&is.identity()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return changes,
            };
            let was = was.next_if(|_| order.is_le());
            let is = is.next_if(|_| order.is_ge());
            match (was, is) {
                (Some(was), Some(is)) => changes.compare(kind, was, is),
                (Some(was), None) => changes.removed.push(was.clone()),
                (None, Some(is)) => changes.added.push(is.clone()),
                (None, None) => return changes,
            }
        }
    }

    fn compare(&mut self, kind: Option<PackageKind>, was: &Package, is: &Package) {
        let (Some(from), Some(to)) = (was.version(), is.version()) else {
            return;
        };
        let list = match compare(kind, from, to) {
            Ordering::Less => &mut self.upgraded,
            Ordering::Greater => &mut self.downgraded,
            Ordering::Equal => return,
        };
        list.push(PackageChange {
            name: is.name.clone(),
            architecture: is.architecture.clone(),
            from: from.into(),
            to: to.into(),
            major: first_part(from) != first_part(to),
        });
    }

    /// Packages that are there in a higher version.
    pub fn upgraded(&self) -> &[PackageChange] {
        &self.upgraded
    }

    /// Packages that are there in a lower version.
    pub fn downgraded(&self) -> &[PackageChange] {
        &self.downgraded
    }

    /// Packages that are new.
    pub fn added(&self) -> &[Package] {
        &self.added
    }

    /// Packages that are gone.
    pub fn removed(&self) -> &[Package] {
        &self.removed
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        let changed = self.upgraded.is_empty() && self.downgraded.is_empty();
        changed && self.added.is_empty() && self.removed.is_empty()
    }
}

/// Without an order every other version counts as a higher one.
fn compare(kind: Option<PackageKind>, from: &str, to: &str) -> Ordering {
    match kind {
        Some(kind) => kind.compare(from, to),
        None if from == to => Ordering::Equal,
        None => Ordering::Less,
    }
}

/// The packages of a report in order, each once, in its highest version.
struct Installed<'a> {
    packages: std::slice::ChunkBy<'a, Package, fn(&Package, &Package) -> bool>,
    kind: Option<PackageKind>,
}

impl<'a> Installed<'a> {
    fn new(report: &'a ScanReport, kind: Option<PackageKind>) -> Self {
        let same: fn(&Package, &Package) -> bool = |a, b| a.identity() == b.identity();
        let packages = report.packages().chunk_by(same);
        Self { packages, kind }
    }
}

impl<'a> Iterator for Installed<'a> {
    type Item = &'a Package;

    fn next(&mut self) -> Option<&'a Package> {
        let is_package = |versions: &&[Package]| {
            let name = versions.first().map(Package::name);
            name.is_some_and(|name| name != NO_PACKAGE)
        };
        let versions = self.packages.find(is_package)?;
        let kind = self.kind;
        versions.iter().max_by(|a, b| {
            let (a, b) = (a.version(), b.version());
            match (a, b, kind) {
                (Some(a), Some(b), Some(kind)) => kind.compare(a, b),
                _ => a.cmp(&b),
            }
        })
    }
}
