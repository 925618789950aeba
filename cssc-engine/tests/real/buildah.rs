//! Buildah itself.

use cssc_core::cycle::Interrupt;
use cssc_core::scan::{Evidence, ImageMismatch, PublishVerdict, ScanSkip, ScanVerdict};
use cssc_engine::tool::{Buildah, ImageRef, Patcher};
use serde_json::{Value, json};

use crate::leftovers::Leftovers;
use crate::setting::{Setting, buildah_says, host, push_changed, repository, trivy};

const OWN: &str = "linux/amd64";

fn buildah() -> Buildah {
    Buildah::default().isolation("chroot")
}

/// A tag of Buildah's tests with the one named, if it is there.
fn inspect(tag: &str) -> Value {
    let name = format!("docker://{}/{}:{tag}", host(), repository());
    let output = std::process::Command::new("skopeo")
        .args(["inspect", "--config", "--raw", "--tls-verify=false", &name])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_trivy_finds_is_gone_after_the_patch_and_the_rest_stays() {
    let Some(setting) = Setting::get() else {
        return;
    };
    assert!(setting.job(|job| buildah().check(job)).unwrap().is_some());
    let original = setting.image("12");
    let (before, report) = setting.scan(&trivy(&setting), &original);
    let there = Leftovers::look();
    let patched = setting.patch(&buildah(), (&original, OWN), &report, "12-b1");
    patched.unwrap_or_else(|error| setting.fail(&error));
    assert_eq!(there.new_ones(), [""; 0]);

    let (after, _) = setting.scan(&trivy(&setting), &setting.image("12-b1"));
    let clean = ScanVerdict::Skip(ScanSkip::NoVulnerability);
    assert_eq!(after.verdict(), clean);
    let evidence = Evidence::compare(&before, &after);
    assert_eq!(evidence.decides(), PublishVerdict::Publish);
    let [config, patched] = ["12", "12-b1"].map(|tag| setting.manifest(tag).unwrap().1);
    let mismatch = ImageMismatch::between_configs(&config, &patched, true);
    assert_eq!(mismatch, None);
    assert_eq!(patched.diff_ids().len(), 2, "one layer more");
}

#[test]
fn a_docker_image_stays_one_with_its_health_check() {
    let Some(setting) = Setting::get() else {
        return;
    };
    push_changed("docker", &["--healthcheck", "CMD true"]);
    let original = setting.image("docker");
    let (_, report) = setting.scan(&trivy(&setting), &original);
    let patched = setting.patch(&buildah(), (&original, OWN), &report, "docker-1");
    patched.unwrap_or_else(|error| setting.fail(&error));
    assert!(setting.manifest("docker-1").unwrap().0.is_docker());
    let [before, after] = ["docker", "docker-1"].map(inspect);
    assert_eq!(
        after["config"]["Healthcheck"]["Test"],
        json!(["CMD", "true"])
    );
    for key in ["Healthcheck", "Labels"] {
        assert_eq!(after["config"][key], before["config"][key]);
    }
}

#[test]
fn an_image_with_triggers_is_refused_and_they_are_not_run() {
    let Some(setting) = Setting::get() else {
        return;
    };
    push_changed("trigger", &["--onbuild", "RUN false"]);
    let original = setting.image("trigger");
    let there = Leftovers::look();
    let error = setting.patch(&buildah(), (&original, OWN), "none".as_ref(), "trigger-1");
    let error = error.unwrap_err();
    assert!(!error.is_retryable());
    assert_eq!(
        error.to_string(),
        "`buildah` cannot patch an image with ONBUILD triggers, which it would run and drop"
    );
    assert_eq!(setting.digest("trigger-1"), None);
    assert_eq!(there.new_ones(), [""; 0]);
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
    let error = setting.patch(&buildah(), (&original, OWN), "none".as_ref(), "empty-1");
    let error = error.unwrap_err();
    assert!(
        !error.is_retryable(),
        "{error}\n{}",
        setting.log.lock().unwrap()
    );
    assert_eq!(setting.digest("empty-1"), None);
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
    let error = setting.patch(&buildah(), (&original, OWN), "none".as_ref(), "12-b2");
    let error = error.unwrap_err();
    assert!(error.interrupt() == Some(Interrupt::Canceled), "{error}");
    assert_eq!(setting.digest("12-b2"), None);
    assert_eq!(there.new_ones(), [""; 0]);
}

#[test]
fn an_original_that_is_not_there_is_told() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let missing = ImageRef::new(host(), repository(), "13".parse().unwrap());
    let error = setting.patch(&buildah(), (&missing, OWN), "none".as_ref(), "13-1");
    let text = error.unwrap_err().to_string();
    assert!(text.contains("manifest unknown"), "{text}");
}
