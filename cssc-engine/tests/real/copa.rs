//! Copa itself, and that the stand-in behaves as it does where a caller may be misled.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cssc_core::Digest;
use cssc_core::cycle::{Interrupt, ScanOutcome};
use cssc_engine::tool::{Copa, ToolErrorKind, ToolOptions, Trivy};
use cssc_registry::{Descriptor, Image, Manifest, Reference, RegistryClient};
use serde_json::{Value, json};

use crate::buildkit::BuildKit;
use crate::leftovers::Leftovers;
use crate::setting::{Setting, repository, trivy};

const OWN: &str = "linux/amd64";
const ARM: &str = "linux/arm64/v8";

fn copa() -> Copa {
    Copa::default()
}

/// Images with something to fix, for Copa or the stand-in, and what finds it.
struct Images {
    own: Manifest,
    arm: Manifest,
    scanner: Trivy,
}

#[test]
fn copa_does_what_is_relied_upon() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let images = Images {
        own: setting.image("12"),
        arm: setting.image("12-arm64"),
        scanner: trivy(&setting),
    };
    relied_upon(&setting, &copa(), &images);
}

#[test]
fn the_stand_in_does_what_copa_does() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standin");
    let images = Images {
        own: push_small(&setting, "small", json!({"architecture": "amd64"})),
        arm: push_small(
            &setting,
            "small-arm64",
            json!({"architecture": "arm64", "variant": "v8"}),
        ),
        scanner: Trivy::new(ToolOptions::new(folder.join("trivy"))),
    };
    let copa = Copa::new(ToolOptions::new(folder.join("copa")));
    relied_upon(&setting, &copa, &images);
}

/// An image in which the stand-ins find something that can be fixed, and something that cannot.
fn push_small(setting: &Setting, tag: &str, mut config: Value) -> Manifest {
    let registry = &setting.registry;
    let layer = registry.put_blob(&repository(), b"a layer").unwrap();
    config["os"] = "linux".into();
    config["rootfs"] = json!({"type": "layers", "diff_ids": [layer]});
    config["config"] = json!({"Cmd": ["sh"], "Env": ["STANDIN=CVE-1=2.0 CVE-2="]});
    let config = config.to_string();
    registry.put_blob(&repository(), config.as_bytes()).unwrap();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": Descriptor::of("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [Descriptor::of("application/vnd.oci.image.layer.v1.tar", b"a layer")],
    });
    let manifest = Manifest {
        media_type: media_type.to_owned(),
        bytes: manifest.to_string().into_bytes(),
    };
    let reference = Reference::Tag(tag.parse().unwrap());
    registry
        .put_manifest(&repository(), &reference, &manifest)
        .unwrap();
    manifest
}

/// The same report without a version that fixes anything.
fn without_fixes(setting: &Setting, report: &Path) -> PathBuf {
    let text = fs::read_to_string(report).unwrap();
    let path = setting.folder.path().join("without-fixes.json");
    fs::write(
        &path,
        text.replace("\"FixedVersion\"", "\"ElsewhereFixed\""),
    )
    .unwrap();
    path
}

/// What the step that patches is built upon.
fn relied_upon(setting: &Setting, copa: &Copa, images: &Images) {
    let (_, report) = setting.scan(&images.scanner, &images.own);
    nothing_to_do(setting, copa, images, &report);
    errors(setting, copa, images, &report);
    own_platform(setting, copa, images);
    another_platform(setting, copa, images);
}

/// Nothing can be fixed: it ends well, and nothing was pushed.
fn nothing_to_do(setting: &Setting, copa: &Copa, images: &Images, report: &Path) {
    let empty = setting.folder.path().join("empty.json");
    fs::write(&empty, "{}").unwrap();
    for report in [without_fixes(setting, report), empty] {
        let made = setting.patch(copa, (&images.own, OWN), &report);
        made.ended.unwrap_or_else(|error| setting.fail(&error));
        assert_eq!(made.pushed, None);
    }
}

/// What is no report, and what is not there, are errors.
fn errors(setting: &Setting, copa: &Copa, images: &Images, report: &Path) {
    let empty = setting.folder.path().join("empty.json");
    fs::write(&empty, "").unwrap();
    setting.patch(copa, (&images.own, OWN), &empty).error();
    let missing: Digest = format!("sha256:{:064}", 7).parse().unwrap();
    let asked = (&images.own, Some(missing), OWN);
    setting.patch_asked(copa, asked, report).error();
}

/// The log has errors though all went well; the original's layers come first; and Copa's own label
/// is beside the others.
fn own_platform(setting: &Setting, copa: &Copa, images: &Images) {
    let (before, report) = setting.scan(&images.scanner, &images.own);
    setting.log.lock().unwrap().clear();
    let made = setting.patch(copa, (&images.own, OWN), &report);
    let pushed = made.image(setting);
    let said = setting.log.lock().unwrap().clone();
    assert!(said.contains("ERROR"), "{said}");
    let ((_, config), (manifest, patched)) = (setting.read(&images.own), setting.read(&pushed));
    assert!(manifest.annotations().contains_key("sh.copa.image.patched"));
    assert!(patched.begins_with(&config));
    assert_eq!(patched.platform(), config.platform());
    let base = patched.label("BaseImage").unwrap();
    let digest = images.own.descriptor().digest;
    assert!(base.ends_with(digest.as_str()), "{base}");
    let (after, _) = setting.scan(&images.scanner, &pushed);
    let [before, after] = [before, after].map(|report| ScanOutcome::from(&report));
    assert!(!before.fixable.is_empty());
    assert_eq!((after.fixable.len(), after.unfixed), (0, before.unfixed));
}

/// An index of one without the variant.
fn another_platform(setting: &Setting, copa: &Copa, images: &Images) {
    let (_, report) = setting.scan(&images.scanner, &images.arm);
    let made = setting.patch(copa, (&images.arm, ARM), &report);
    let pushed = made.image(setting);
    let Image::Index(index) = Image::read(&pushed).unwrap() else {
        panic!("no index")
    };
    let [one] = index.platforms() else {
        panic!("{:?}", index.platforms())
    };
    assert_eq!(one.platform.to_string(), "linux/arm64");
    let (_, patched) = setting.read(&setting.pushed(&one.digest));
    assert_eq!(patched.platform().unwrap().to_string(), "linux/arm64");
    let (_, original) = setting.read(&images.arm);
    assert!(patched.begins_with(&original));
}

#[test]
fn an_exit_code_of_1_may_come_with_a_push() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let mut options = ToolOptions::new("copa");
    let vex = [
        "--format",
        "openvex",
        "--output",
        "/no/such/folder/vex.json",
    ];
    options.extra = vex.map(str::to_owned).into();
    let copa = Copa::new(options);
    let original = setting.image("12");
    let (_, report) = setting.scan(&trivy(&setting), &original);
    let made = setting.patch(&copa, (&original, OWN), &report);
    assert!(made.pushed.is_some());
    let text = made.ended.unwrap_err().to_string();
    assert!(text.contains("ended with exit code 1"), "{text}");
}

#[test]
fn what_cancels_a_patch_or_ends_its_time_leaves_nothing() {
    let Some(mut setting) = Setting::get() else {
        return;
    };
    let original = setting.image("12");
    let (_, report) = setting.scan(&trivy(&setting), &original);
    let there = Leftovers::look();
    let mut options = ToolOptions::new("copa");
    options.time_limit = Duration::from_secs(2);
    let slow = Copa::new(options);
    let error = setting.patch(&slow, (&original, OWN), &report).error();
    assert_eq!(error.kind(), ToolErrorKind::TimedOut, "{error}");
    assert_eq!(there.new_ones(), [""; 0]);

    // What apt says when it fetches, in the container of BuildKit.
    setting.cancel_at = "Get:";
    let error = setting.patch(&copa(), (&original, OWN), &report).error();
    assert_eq!(error.interrupt(), Some(Interrupt::Canceled), "{error}");
    assert_eq!(there.new_ones(), [""; 0]);
}

#[test]
fn a_buildkit_that_is_not_there_is_told_at_once_and_one_that_goes_in_the_end() {
    let Some(mut setting) = Setting::get() else {
        return;
    };
    let original = setting.image("12");
    let (_, report) = setting.scan(&trivy(&setting), &original);
    let nowhere = Copa::new(ToolOptions::new("copa")).address("unix:///no/such/socket");
    let begun = Instant::now();
    let error = setting.patch(&nowhere, (&original, OWN), &report).error();
    let text = error.to_string();
    assert!(text.contains("/no/such/socket"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(60), "it waited");

    let buildkit = BuildKit::start();
    let copa = Copa::new(ToolOptions::new("copa")).address(buildkit.address());
    let stop = buildkit.stopper();
    setting.at = Some(("Get:", Box::new(stop)));
    let error = setting.patch(&copa, (&original, OWN), &report).error();
    assert!(error.is_retryable(), "{error}");
}

#[test]
fn a_platform_that_cannot_run_here_is_told_before_anything_is_done() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let original = setting.image("12-s390x");
    let (_, report) = setting.scan(&trivy(&setting), &original);
    let made = setting.patch(&copa(), (&original, "linux/s390x"), &report);
    let error = made.error();
    assert_eq!(error.kind(), ToolErrorKind::Unsupported, "{error}");
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("linux/s390x"), "{error}");
}
