//! Copa itself, and that the stand-in behaves as it does where a caller may be misled.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cssc_core::Digest;
use cssc_core::cycle::{Interrupt, ScanOutcome};
use cssc_core::scan::ImageMismatch;
use cssc_engine::tool::{Copa, ImageRef, PatchRequest, Patcher, ToolErrorKind, ToolOptions, Trivy};
use cssc_registry::{Descriptor, Image, Manifest, Reference, RegistryClient};
use serde_json::{Value, json};

use crate::buildkit::BuildKit;
use crate::leftovers::Leftovers;
use crate::setting::{Setting, repository, trivy, value};

const OWN: &str = "linux/amd64";
const ARM: &str = "linux/arm64/v8";

fn copa() -> Copa {
    Copa::default()
}

/// Images with something to fix, for Copa or the stand-in, and what finds it.
struct Images {
    own: ImageRef,
    arm: ImageRef,
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
    relied_upon(&setting, &copa(), &images, "real");
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
    relied_upon(&setting, &copa, &images, "small");
}

/// An image in which the stand-ins find something that can be fixed, and something that cannot.
fn push_small(setting: &Setting, tag: &str, mut config: Value) -> ImageRef {
    let registry = &setting.registry;
    let layer = registry.put_blob(&repository(), b"a layer").unwrap();
    config["os"] = "linux".into();
    config["rootfs"] = json!({"type": "layers", "diff_ids": [layer]});
    config["history"] = json!([{"comment": "CVE-1=2.0 CVE-2="}]);
    config["config"] = json!({"Cmd": ["sh"]});
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
    setting.image(tag)
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

/// What the step that patches is built upon. `name` begins the tags.
fn relied_upon(setting: &Setting, copa: &Copa, images: &Images, name: &str) {
    let (before, report) = setting.scan(&images.scanner, &images.own);
    let own = (&images.own, OWN);
    let tag = |end: &str| format!("{name}-{end}");

    // Nothing can be fixed: it ends well, and there is no tag.
    let nothing = without_fixes(setting, &report);
    let made = setting.patch(copa, own, &nothing, &tag("nothing"));
    made.unwrap_or_else(|error| setting.fail(&error));
    assert_eq!(setting.digest(&tag("nothing")), None);
    let empty = setting.folder.path().join("empty.json");
    fs::write(&empty, "{}").unwrap();
    let made = setting.patch(copa, own, &empty, &tag("nothing"));
    made.unwrap_or_else(|error| setting.fail(&error));
    assert_eq!(setting.digest(&tag("nothing")), None);

    // What is no report, and what is not there, are errors.
    fs::write(&empty, "").unwrap();
    let made = setting.patch(copa, own, &empty, &tag("nothing"));
    assert!(made.is_err());
    let missing: Digest = format!("sha256:{:064}", 7).parse().unwrap();
    let missing = images.own.clone().with_digest(missing);
    let made = setting.patch(copa, (&missing, OWN), &report, &tag("nothing"));
    assert!(made.is_err());
    assert_eq!(setting.digest(&tag("nothing")), None);

    // A tag that is there is overwritten; the log has errors though all went well; the original's
    // layers come first; and Copa's own label is beside the others.
    let (original, config) = setting
        .manifest(images.own.digest().unwrap().as_ref())
        .unwrap();
    let reference = Reference::Tag(tag("own").parse().unwrap());
    let there = original.to_manifest();
    let put = setting
        .registry
        .put_manifest(&repository(), &reference, &there);
    put.unwrap();
    setting.log.lock().unwrap().clear();
    let made = setting.patch(copa, own, &report, &tag("own"));
    made.unwrap_or_else(|error| setting.fail(&error));
    let said = setting.log.lock().unwrap().clone();
    assert!(said.contains("ERROR"), "{said}");
    assert_ne!(setting.digest(&tag("own")), images.own.digest().cloned());
    let (manifest, patched) = setting.manifest(&tag("own")).unwrap();
    assert!(manifest.annotations().contains_key("sh.copa.image.patched"));
    assert!(patched.begins_with(&config));
    assert_eq!(patched.platform(), config.platform());
    let base = images.own.by_tag_and_digest();
    assert_eq!(patched.label("BaseImage"), Some(base.as_str()));
    let (after, _) = setting.scan(&images.scanner, &setting.image(&tag("own")));
    let [before, after] = [before, after].map(|report| ScanOutcome::from(&report));
    assert!(!before.fixable.is_empty());
    assert_eq!((after.fixable.len(), after.unfixed), (0, before.unfixed));

    // Another platform: an index of one without the variant, and a tag for the architecture.
    let (_, report) = setting.scan(&images.scanner, &images.arm);
    let (tags, target) = (setting.tags(), tag("arm"));
    let arm = (&images.arm, ARM);
    let made = setting.patch(copa, arm, &report, &target);
    made.unwrap_or_else(|error| setting.fail(&error));
    let mut new = setting.tags();
    new.retain(|tag| !tags.contains(tag));
    let expected = [target.clone(), format!("{target}-arm64")];
    assert_eq!(new, expected.into());
    let request = PatchRequest {
        original: &images.arm,
        platform: &ARM.parse().unwrap(),
        report: &report,
        target: &target.parse().unwrap(),
    };
    let side_tags = copa.side_tags(&request);
    assert!(
        side_tags
            .iter()
            .any(|tag| tag.as_str() == format!("{target}-arm64"))
    );
    let index = setting
        .registry
        .get_manifest(&repository(), &Reference::Tag(target.parse().unwrap()));
    let Image::Index(index) = Image::read(&index.unwrap()).unwrap() else {
        panic!("{target} is no index")
    };
    let [one] = index.platforms() else {
        panic!("{:?}", index.platforms())
    };
    assert_eq!(one.platform.to_string(), "linux/arm64");
    let (_, patched) = setting.manifest(one.digest.as_ref()).unwrap();
    assert_eq!(patched.platform().unwrap().to_string(), "linux/arm64");
    let (_, original) = setting
        .manifest(images.arm.digest().unwrap().as_ref())
        .unwrap();
    assert!(patched.begins_with(&original));
}

#[test]
fn an_exit_code_of_1_may_come_with_a_tag() {
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
    let error = setting.patch(&copa, (&original, OWN), &report, "12-exit1");
    let text = error.unwrap_err().to_string();
    assert!(text.contains("ended with exit code 1"), "{text}");
    assert!(setting.digest("12-exit1").is_some());
}

#[test]
fn what_cancels_a_patch_or_ends_its_time_leaves_nothing() {
    let Some(mut setting) = Setting::get() else {
        return;
    };
    let original = setting.image("12");
    let (_, report) = setting.scan(&trivy(&setting), &original);
    let (tags, there) = (setting.tags(), Leftovers::look());
    let mut options = ToolOptions::new("copa");
    options.time_limit = Duration::from_secs(2);
    let slow = Copa::new(options);
    let error = setting.patch(&slow, (&original, OWN), &report, "12-late");
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ToolErrorKind::TimedOut, "{error}");
    assert_eq!((setting.tags(), there.new_ones()), (tags.clone(), vec![]));

    // What apt says when it fetches, in the container of BuildKit.
    setting.cancel_at = "Get:";
    let error = setting.patch(&copa(), (&original, OWN), &report, "12-canceled");
    let error = error.unwrap_err();
    assert_eq!(error.interrupt(), Some(Interrupt::Canceled), "{error}");
    assert_eq!((setting.tags(), there.new_ones()), (tags, vec![]));
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
    let error = setting.patch(&nowhere, (&original, OWN), &report, "12-nowhere");
    let text = error.unwrap_err().to_string();
    assert!(text.contains("/no/such/socket"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(60), "it waited");

    let buildkit = BuildKit::start();
    let copa = Copa::new(ToolOptions::new("copa")).address(buildkit.address());
    let stop = buildkit.stopper();
    setting.at = Some(("Get:", Box::new(stop)));
    let error = setting.patch(&copa, (&original, OWN), &report, "12-gone");
    let error = error.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(setting.digest("12-gone"), None);
}

#[test]
fn a_registry_that_takes_nothing_is_told_after_the_patch() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let original = setting.image("12");
    let (_, report) = setting.scan(&trivy(&setting), &original);
    let read_only = ImageRef::new(
        value("REAL_READ_ONLY").parse().unwrap(),
        repository(),
        original.tag().clone(),
    );
    let read_only = read_only.with_digest(original.digest().unwrap().clone());
    let error = setting.patch(&copa(), (&read_only, OWN), &report, "12-refused");
    let text = error.unwrap_err().to_string();
    assert!(text.contains("405 Method Not Allowed"), "{text}");
    assert_eq!(setting.digest("12-refused"), None);
}

#[test]
fn a_platform_that_cannot_run_here_is_told_before_anything_is_done() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let original = setting.image("12-s390x");
    let (_, report) = setting.scan(&trivy(&setting), &original);
    let error = setting.patch(&copa(), (&original, "linux/s390x"), &report, "12-foreign");
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ToolErrorKind::Unsupported, "{error}");
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("linux/s390x"), "{error}");
}

/// Copa takes an image with its label for one that it has patched, and patches what the label
/// names: not what it was given.
#[test]
fn an_original_with_copas_label_comes_out_as_another_image() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let base = setting.image("12");
    let (_, report) = setting.scan(&trivy(&setting), &base);
    let patched = setting.patch(&copa(), (&base, OWN), &report, "labelled");
    patched.unwrap_or_else(|error| setting.fail(&error));
    let original = setting.image("labelled");
    let patched = setting.patch(&copa(), (&original, OWN), &report, "labelled-1");
    patched.unwrap_or_else(|error| setting.fail(&error));
    let [original, patched] =
        ["labelled", "labelled-1"].map(|tag| setting.manifest(tag).unwrap().1);
    assert_eq!(
        original.label("BaseImage"),
        Some(&*base.by_tag_and_digest())
    );
    assert_eq!(
        ImageMismatch::between_configs(&original, &patched, true),
        Some(ImageMismatch::Layers)
    );
}
