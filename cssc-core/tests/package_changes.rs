//! What a patch changes of an image's packages.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use cssc_core::ScanReport;
use cssc_core::scan::PackageChanges;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A scan of an image with these packages: name, architecture and version, and where the version
/// has an epoch or a release of its own these too.
fn scan(family: &str, packages: &[Value]) -> ScanReport {
    let report = json!({
        "SchemaVersion": 2,
        "Metadata": {"OS": {"Family": family, "Name": "1"}},
        "Results": [{"Class": "os-pkgs", "Packages": packages}],
    });
    ScanReport::from_slice(report.to_string().as_bytes()).unwrap()
}

fn package(name: &str, architecture: &str, version: &str) -> Value {
    json!({"Name": name, "Arch": architecture, "Version": version})
}

#[test]
fn the_version_has_epoch_and_release() {
    let packages = [
        json!({"Name": "a", "Version": "1.0"}),
        json!({"Name": "b", "Version": "1.0", "Release": "2"}),
        json!({"Name": "c", "Version": "1.0", "Release": "2", "Epoch": 3}),
        json!({"Name": "d", "Version": "1.0", "Release": "", "Epoch": 3}),
        json!({"Name": "e", "Version": "1.0", "Release": null, "Epoch": 0}),
        json!({"Name": "f", "Release": "1", "Epoch": 1}),
    ];
    let report = scan("debian", &packages);
    let versions: Vec<_> = report.packages().iter().map(|of| of.version()).collect();
    let expected = [
        Some("1.0"),
        Some("1.0-2"),
        Some("3:1.0-2"),
        Some("3:1.0"),
        Some("1.0"),
        None,
    ];
    assert_eq!(versions, expected);
}

#[test]
fn changes_are_listed_in_order() {
    let before = scan(
        "debian",
        &[
            package("varnish", "amd64", "6.0.13-1"),
            package("openssl", "amd64", "3.0.15-1"),
            package("libc6", "amd64", "2.36-9+deb12u9"),
            package("libc6", "i386", "2.36-9+deb12u9"),
            package("gone", "amd64", "1"),
            package("unknown", "amd64", ""),
        ],
    );
    let after = scan(
        "debian",
        &[
            package("varnish", "amd64", "7.1.1-1"),
            package("openssl", "amd64", "3.0.2-1"),
            package("libc6", "amd64", "2.36-9+deb12u10"),
            package("libc6", "i386", "2.36-9+deb12u9"),
            package("new", "arm64", "1"),
            package("unknown", "amd64", "1"),
        ],
    );
    let changes = PackageChanges::between(&before, &after);
    let expected = json!({
        "upgraded": [
            {"name": "libc6", "architecture": "amd64", "from": "2.36-9+deb12u9",
             "to": "2.36-9+deb12u10", "major": false},
            {"name": "varnish", "architecture": "amd64", "from": "6.0.13-1", "to": "7.1.1-1",
             "major": true},
        ],
        "downgraded": [
            {"name": "openssl", "architecture": "amd64", "from": "3.0.15-1", "to": "3.0.2-1",
             "major": false},
        ],
        "added": [{"name": "new", "architecture": "arm64", "version": "1"}],
        "removed": [{"name": "gone", "architecture": "amd64", "version": "1"}],
    });
    assert_eq!(serde_json::to_value(&changes).unwrap(), expected);
    assert_eq!(
        serde_json::from_value::<PackageChanges>(expected).unwrap(),
        changes
    );
    assert!(PackageChanges::between(&before, &before).is_empty());
}

#[test]
fn the_highest_of_several_versions_counts() {
    let kernel = |version| package("kernel", "x86_64", version);
    let key = |version| json!({"Name": "gpg-pubkey", "Version": version});
    let before = [
        kernel("5.14.0-362.el9"),
        kernel("5.14.0-70.el9"),
        key("5a6340b3"),
    ];
    let after = [
        kernel("5.14.0-362.el9"),
        kernel("5.14.0-427.el9"),
        key("fd431d51"),
        key("1ff6a2171d997668"),
    ];
    let changes = PackageChanges::between(&scan("rocky", &before), &scan("rocky", &after));
    assert!(changes.added().is_empty() && changes.removed().is_empty());
    assert!(changes.downgraded().is_empty());
    let [upgrade] = changes.upgraded() else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (upgrade.from(), upgrade.to()),
        ("5.14.0-362.el9", "5.14.0-427.el9")
    );
    let without = PackageChanges::between(&scan("rocky", &before), &scan("rocky", &after[..2]));
    assert_eq!(without, changes, "keys are no packages");
}

#[test]
fn the_package_manager_says_which_version_is_higher() {
    let change = |family| {
        let [before, after] = ["1.0~1-1", "1.0-1"].map(|version| {
            let package = package("a", "noarch", version);
            scan(family, &[package])
        });
        let changes = PackageChanges::between(&before, &after);
        (changes.upgraded().len(), changes.downgraded().len())
    };
    assert_eq!(change("debian"), (1, 0));
    assert_eq!(change("redhat"), (1, 0));
    // Nothing is said of an order that is not known.
    assert_eq!(change("plan9"), (1, 0));
    let unknown = |a, b| {
        let [a, b] = [a, b].map(|version| scan("plan9", &[package("a", "", version)]));
        PackageChanges::between(&a, &b)
    };
    assert_eq!(unknown("2", "1").upgraded().len(), 1);
    assert!(unknown("1", "1").is_empty());
    // Another text of the same version.
    let same = |a, b| {
        let [a, b] = [a, b].map(|version| scan("debian", &[package("a", "", version)]));
        PackageChanges::between(&a, &b)
    };
    assert!(same("1.0", "1.00").is_empty());
}

fn packages() -> impl Strategy<Value = Vec<Value>> {
    let package = (0_u8..4, 0_u8..2, 0_u8..4).prop_map(|(name, architecture, version)| {
        package(
            &format!("p{name}"),
            &format!("a{architecture}"),
            &version.to_string(),
        )
    });
    prop::collection::vec(package, 0..8)
}

proptest! {
    /// Seen from the other side an upgrade is a downgrade, and what is new is gone.
    #[test]
    fn changes_have_two_sides(before in packages(), after in packages()) {
        let (before, after) = (scan("wolfi", &before), scan("wolfi", &after));
        let there = PackageChanges::between(&before, &after);
        let back = PackageChanges::between(&after, &before);
        let pairs = |changes: &PackageChanges| {
            let upgraded = changes.upgraded().iter();
            let upgraded: Vec<_> = upgraded
                .map(|of| (of.name().to_owned(), of.from().to_owned(), of.to().to_owned()))
                .collect();
            let downgraded = changes.downgraded().iter();
            let downgraded: Vec<_> = downgraded
                .map(|of| (of.name().to_owned(), of.to().to_owned(), of.from().to_owned()))
                .collect();
            (upgraded, downgraded)
        };
        let (upgraded, downgraded) = pairs(&there);
        prop_assert_eq!(pairs(&back), (downgraded, upgraded));
        prop_assert_eq!(there.added(), back.removed());
        prop_assert_eq!(there.removed(), back.added());
    }
}
