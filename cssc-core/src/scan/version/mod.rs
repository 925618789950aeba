//! The order of package versions, as the package managers themselves have it.

mod apk;
mod dpkg;
mod rpm;

use std::cmp::Ordering;

/// The packages of an operating system: which package manager installs them, and so which of two
/// versions is the newer one.
///
/// ```
/// use std::cmp::Ordering;
/// use cssc_core::scan::PackageKind;
///
/// let debian = PackageKind::of_family("debian").unwrap();
/// assert_eq!(debian.compare("3.0.15-1~deb12u1", "3.0.15-1"), Ordering::Less);
/// assert_eq!(PackageKind::Rpm.compare("1:1.0-1", "2.0-1"), Ordering::Greater);
/// assert_eq!(PackageKind::Apk.compare("1.2.4_rc1-r0", "1.2.4-r0"), Ordering::Less);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PackageKind {
    /// Those of `apk`: Alpine, Wolfi.
    Apk,
    /// Those of `dpkg`: Debian, Ubuntu.
    Dpkg,
    /// Those of `rpm`: Red Hat's family, Amazon, Azure Linux, Photon, SUSE.
    Rpm,
}

impl PackageKind {
    /// The packages of an operating system, by the family that Trivy gives; none for a family
    /// that is not known.
    pub fn of_family(family: &str) -> Option<Self> {
        Some(match family {
            "alpine" | "chainguard" | "minimos" | "wolfi" => Self::Apk,
            "debian" | "echo" | "ubuntu" => Self::Dpkg,
            "alma" | "amazon" | "azurelinux" | "cbl-mariner" | "centos" | "centos-stream"
            | "fedora" | "oracle" | "photon" | "redhat" | "rocky" | "slem" | "sles" => Self::Rpm,
            _ if family.starts_with("opensuse") || family.starts_with("suse linux") => Self::Rpm,
            _ => return None,
        })
    }

    /// Which of two versions is the newer one.
    ///
    /// A version is the whole text that the package manager shows: `1:2.36-9+deb12u4`,
    /// `1.2.4-r2`. Every text has a place in the order, also one that the package manager would
    /// refuse, and two texts can be the same version: `1.0` and `1.00`.
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Apk => apk::compare(a, b),
            Self::Dpkg => dpkg::compare(a, b),
            Self::Rpm => rpm::compare(a, b),
        }
    }
}

/// The first part of the upstream version: `3` of `1:3.0.15-1~deb12u1`.
///
/// Epoch and release are the distribution's own. Leading zeros do not count.
pub(super) fn first_part(version: &str) -> &str {
    let (_, upstream) = split_epoch(version);
    let upstream = upstream.trim_start_matches(['v', 'V']);
    let is_number = upstream.starts_with(|first: char| first.is_ascii_digit());
    let ends = |c: char| {
        if is_number {
            !c.is_ascii_digit()
        } else {
            !c.is_alphanumeric()
        }
    };
    let first = upstream.split(ends).next().unwrap_or_default();
    match first.trim_start_matches('0') {
        "" if is_number => "0",
        stripped => stripped,
    }
}

/// The epoch, and what follows it. Without digits and a colon there is none.
fn split_epoch(version: &str) -> (&str, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => (epoch, rest),
        _ => ("", version),
    }
}

/// The front of a text, and the rest.
type Split<'a> = (&'a [u8], &'a [u8]);

/// What a text begins with as long as `holds`, and the rest.
fn split_while(text: &[u8], holds: impl Fn(u8) -> bool) -> Split<'_> {
    let end = text.iter().position(|byte| !holds(*byte));
    text.split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or((text, &[]))
}

fn split_digits(text: &[u8]) -> Split<'_> {
    split_while(text, |byte| byte.is_ascii_digit())
}

/// Compares numbers of any length. Without a digit a number is zero.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let [(_, a), (_, b)] = [a, b].map(|digits| split_while(digits, |digit| digit == b'0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_their_package_manager() {
        for (families, kind) in [
            ("alpine chainguard minimos wolfi", Some(PackageKind::Apk)),
            ("debian echo ubuntu", Some(PackageKind::Dpkg)),
            (
                "alma amazon azurelinux cbl-mariner centos centos-stream fedora opensuse \
                 opensuse-leap opensuse-tumbleweed opensuse.leap oracle photon redhat rocky slem \
                 sles",
                Some(PackageKind::Rpm),
            ),
            ("activestate bottlerocket coreos none windows", None),
        ] {
            for family in families.split_whitespace() {
                assert_eq!(PackageKind::of_family(family), kind, "{family}");
            }
        }
        let sles = PackageKind::of_family("suse linux enterprise server");
        assert_eq!(sles, Some(PackageKind::Rpm));
    }

    #[test]
    fn the_first_part_is_of_the_upstream_version() {
        for (version, first) in [
            ("3.0.15-1~deb12u1", "3"),
            ("1:9.18.28-1", "9"),
            ("2024a-0+deb12u1", "2024"),
            ("12.4+deb12u5", "12"),
            ("007-r1", "7"),
            ("0.188-2.1", "0"),
            ("v2.1", "2"),
            ("git20240101.1", "git20240101"),
            ("abc:1.0", "abc"),
            ("", ""),
            ("-", ""),
        ] {
            assert_eq!(first_part(version), first, "{version}");
        }
    }
}
