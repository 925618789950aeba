//! Buildah itself.

use std::path::Path;

use cssc_core::Digest;
use cssc_core::cycle::Interrupt;
use cssc_core::scan::{Evidence, PublishVerdict, ScanSkip, ScanVerdict};
use cssc_engine::tool::{Buildah, Patcher};

use crate::leftovers::Leftovers;
use crate::setting::{Setting, buildah_says, host, repository, trivy};

const OWN: &str = "linux/amd64";

fn buildah() -> Buildah {
    Buildah::default().isolation("chroot")
}

fn no_report() -> &'static Path {
    Path::new("none")
}

#[test]
fn what_trivy_finds_is_gone_after_the_patch_and_the_rest_stays() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let version = setting.job(None, |job| buildah().check(job));
    assert!(version.unwrap().is_some());
    let original = setting.image("12");
    let (before, report) = setting.scan(&trivy(&setting), &original);
    let there = Leftovers::look();
    let made = setting.patch(&buildah(), (&original, OWN), &report);
    let patched = made.image(&setting);
    assert_eq!(there.new_ones(), [""; 0]);

    let (after, _) = setting.scan(&trivy(&setting), &patched);
    let clean = ScanVerdict::Skip(ScanSkip::NoVulnerability);
    assert_eq!(after.verdict(), clean);
    let evidence = Evidence::compare(&before, &after);
    assert_eq!(evidence.decides(), PublishVerdict::Publish);
    let [was, is] = [&original, &patched].map(|image| setting.read(image).1);
    assert!(is.begins_with(&was));
    assert_eq!(is.diff_ids().len(), 2, "one layer more");
}

#[test]
fn an_image_without_a_package_manager_is_not_tried_again() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let container = buildah_says(&["from", "scratch"]);
    let container = container.trim();
    let tls = "--tls-verify=false";
    let target = format!("docker://{}/{}:empty", host(), repository());
    buildah_says(&["config", "--cmd", "/none", container]);
    buildah_says(&["commit", "--rm", tls, container, &target]);
    buildah_says(&["rmi", "--all"]);
    let original = setting.image("empty");
    // Now and then Buildah loses what its child says, and with it the reason.
    let mut errors = (0..5).map(|_| {
        let made = setting.patch(&buildah(), (&original, OWN), no_report());
        made.error()
    });
    let error = errors.find(|error| !error.is_retryable()).unwrap();
    assert!(error.to_string().contains("no shell"), "{error}");
}

#[test]
fn a_patch_that_is_canceled_in_the_middle_leaves_nothing() {
    let Some(mut setting) = Setting::get() else {
        return;
    };
    // What apt says when it fetches; the upgrade is going on.
    setting.cancel_at = "Get:";
    let original = setting.image("12");
    let there = Leftovers::look();
    let made = setting.patch(&buildah(), (&original, OWN), no_report());
    let error = made.error();
    assert!(error.interrupt() == Some(Interrupt::Canceled), "{error}");
    assert_eq!(there.new_ones(), [""; 0]);
}

#[test]
fn what_its_login_may_not_read_is_not_there() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let missing: Digest = format!("sha256:{:064}", 7).parse().unwrap();
    let other = setting.image("12-arm64").descriptor().digest;
    let original = setting.image("12");
    for asked in [missing, other] {
        let asked = (&original, Some(asked), OWN);
        let made = setting.patch_asked(&buildah(), asked, no_report());
        let text = made.error().to_string();
        assert!(text.contains("manifest unknown"), "{text}");
    }
}
