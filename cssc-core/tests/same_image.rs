//! What scans show of an image that is not the one it was made from.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use cssc_core::ScanReport;
use cssc_core::scan::ImageMismatch;
use serde_json::{Value, json};

fn scan(family: &str, name: &str, packages: &[Value]) -> ScanReport {
    let report = json!({
        "SchemaVersion": 2,
        "Metadata": {"OS": {"Family": family, "Name": name}},
        "Results": [{"Class": "os-pkgs", "Packages": packages}],
    });
    ScanReport::from_slice(report.to_string().as_bytes()).unwrap()
}

fn package(name: &str, architecture: &str, version: &str) -> Value {
    json!({"Name": name, "Arch": architecture, "Version": version})
}

fn mismatch(before: &[Value], after: &[Value]) -> Option<ImageMismatch> {
    ImageMismatch::between(&scan("debian", "12", before), &scan("debian", "12", after))
}

#[test]
fn a_downgraded_package_makes_another_image() {
    let openssl = |version| package("openssl", "amd64", version);
    let found = mismatch(&[openssl("3.0.15-1")], &[openssl("3.0.2-1")]).unwrap();
    assert_eq!(
        found.to_string(),
        "its package `openssl` for `amd64` is `3.0.2-1`, that of the original is `3.0.15-1`, \
         which is newer"
    );
    let text = json!({"package-downgraded": {
        "package": "openssl", "architecture": "amd64", "from": "3.0.15-1", "to": "3.0.2-1",
    }});
    assert_eq!(serde_json::to_value(&found).unwrap(), text);
    assert_eq!(
        serde_json::from_value::<ImageMismatch>(text).unwrap(),
        found
    );
    let bare = |version| json!({"Name": "a", "Version": version});
    assert_eq!(
        mismatch(&[bare("2")], &[bare("1")]).unwrap().to_string(),
        "its package `a` is `1`, that of the original is `2`, which is newer"
    );
    for (before, after) in [
        ("3.0.2-1", "3.0.15-1"),
        ("1.0", "1.00"),
        ("1", ""),
        ("", "1"),
    ] {
        assert_eq!(mismatch(&[openssl(before)], &[openssl(after)]), None);
    }
}

#[test]
fn of_several_versions_only_the_highest_may_not_fall() {
    let kernel = |version| package("linux-image", "amd64", version);
    let before = [kernel("6.1.1"), kernel("6.1.9")];
    assert_eq!(mismatch(&before, &[kernel("6.1.9")]), None);
    assert_eq!(
        mismatch(&before, &[kernel("6.1.10"), kernel("6.1.0")]),
        None
    );
    assert!(mismatch(&before, &[kernel("6.1.8"), kernel("6.1.1")]).is_some());
}

#[test]
fn keys_of_rpm_may_go_and_packages_may_not() {
    let key = json!({"Name": "gpg-pubkey", "Version": "5a6340b3"});
    let bash = package("bash", "x86_64", "5.1");
    assert_eq!(
        mismatch(&[key.clone(), bash.clone()], std::slice::from_ref(&bash)),
        None
    );
    let gone = mismatch(&[key, bash], &[package("sed", "x86_64", "1")]).unwrap();
    assert_eq!(
        gone.to_string(),
        "1 package of the original is gone, `bash` first of all"
    );
}

/// Whether an upgrade may lead from one release to the other, by the names that Trivy gives them.
#[test]
fn an_upgrade_stays_in_the_release_line() {
    let cases = [
        ("alma", "8.4", "8.10", true),
        ("alma", "8.10", "9.4", false),
        ("alpine", "3.19.1", "3.19.7", true),
        ("alpine", "3.19.7", "3.20.0", false),
        ("alpine", "3.15.4", "3.15.4", true),
        (
            "alpine",
            "3.21.0_alpha20240807",
            "3.22.0_alpha20250108",
            true,
        ),
        ("alpine", "3.22.0_alpha20250108", "3.22.1", true),
        ("alpine", "3.21.3", "3.22.0_alpha20250108", false),
        ("alpine", "edge", "3.22.0_alpha20250108", true),
        ("amazon", "2 (Karoo)", "2 (Karoo)", true),
        (
            "amazon",
            "2 (Karoo)",
            "2023.6.20241010 (Amazon Linux)",
            false,
        ),
        (
            "amazon",
            "2023 (Amazon Linux)",
            "2023.6.20241010 (Amazon Linux)",
            true,
        ),
        (
            "amazon",
            "2023.3.20240108 (Amazon Linux)",
            "2023.6.20241010 (Amazon Linux)",
            true,
        ),
        ("amazon", "AMI release 2018.03", "AMI release 2018.03", true),
        ("amazon", "AMI release 2018.03", "2 (Karoo)", false),
        ("azurelinux", "3.0.20240727", "3.0.20241203", true),
        ("azurelinux", "3.0", "3.0.20241203", true),
        ("azurelinux", "3.0.20241203", "4.0.20260101", false),
        ("cbl-mariner", "2.0.20240123", "2.0.20241006", true),
        ("cbl-mariner", "1.0.20240123", "2.0.20241006", false),
        ("centos", "7.6.1810", "7.9.2009", true),
        ("centos", "7.9.2009", "8.5.2111", false),
        ("centos-stream", "8", "9", false),
        ("chainguard", "20230214", "20240501", true),
        ("debian", "9.8", "9.13", true),
        ("debian", "12.5", "13.0", false),
        ("debian", "buster/sid", "bullseye/sid", true),
        ("debian", "trixie/sid", "13.0", true),
        ("debian", "12.5", "trixie/sid", false),
        ("echo", "1", "2", false),
        ("fedora", "39", "40", false),
        ("fedora", "40", "40", true),
        ("minimos", "20241031", "20250101", true),
        ("opensuse-leap", "15.5", "15.6", false),
        ("opensuse-tumbleweed", "20220412", "20240101", true),
        ("opensuse.tumbleweed", "20220412", "20240101", true),
        ("oracle", "7.6", "7.9", true),
        ("photon", "5.0", "5.0", true),
        ("photon", "4.0", "5.0", false),
        ("redhat", "9.3", "9.4", true),
        ("redhat", "8", "8.10", true),
        ("redhat", "8.10", "9.4", false),
        ("rocky", "8.4", "8.10", true),
        ("slem", "5.3", "5.4", false),
        ("sles", "15.3", "15.3", true),
        ("sles", "15.3", "15.4", false),
        ("ubuntu", "22.04", "22.04", true),
        ("ubuntu", "22.04", "24.04", false),
        ("wolfi", "20230201", "20240101", true),
    ];
    for (family, before, after, same) in cases {
        let [was, is] = [before, after].map(|name| scan(family, name, &[package("a", "", "1")]));
        let mismatch = ImageMismatch::between(&was, &is);
        assert_eq!(
            mismatch.is_none(),
            same,
            "{family} {before} to {after}: {mismatch:?}"
        );
    }
}

#[test]
fn another_family_is_another_image() {
    let [debian, ubuntu] = [("debian", "trixie/sid"), ("ubuntu", "24.04")]
        .map(|(family, name)| scan(family, name, &[]));
    assert_eq!(
        ImageMismatch::between(&debian, &ubuntu)
            .unwrap()
            .to_string(),
        "its operating system is `ubuntu 24.04`, that of the original is `debian trixie/sid`"
    );
    let wolfi = scan("wolfi", "20230201", &[]);
    let chainguard = scan("chainguard", "20230201", &[]);
    assert!(ImageMismatch::between(&wolfi, &chainguard).is_some());
}
