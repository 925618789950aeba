//! Trivy and Buildah themselves, on a Debian image with known vulnerabilities.
//!
//! `cssc-engine/tests/real/with-image cargo test -p cssc-engine --test real`
//!
//! Without that environment the tests say that they are skipped.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly, also in its helpers"
)]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cssc_core::cycle::Interrupt;
use cssc_core::scan::{PublishVerdict, ScanSkip, ScanVerdict};
use cssc_core::{Evidence, ScanReport};
use cssc_engine::tool::{
    Access, Buildah, ImageRef, Job, PatchRequest, Patcher, Scanner, StopToken, ToolError,
    ToolOptions, Trivy, Version,
};
use serde_json::{Value, json};

/// They share Buildah's storage, in which they count what is left.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Real {
    folder: tempfile::TempDir,
    log: Mutex<String>,
    stop: StopToken,
    /// Cancels when a line begins with this.
    cancel_at: &'static str,
    _turn: MutexGuard<'static, ()>,
}

fn value(name: &str) -> String {
    std::env::var(name).unwrap()
}

fn image(tag: &str) -> ImageRef {
    let (registry, repository) = (value("REAL_REGISTRY"), value("REAL_REPOSITORY"));
    ImageRef::new(
        registry.parse().unwrap(),
        repository.parse().unwrap(),
        tag.parse().unwrap(),
    )
}

fn original() -> ImageRef {
    image(&value("REAL_TAG"))
}

fn trivy() -> Trivy {
    let mut options = ToolOptions::new(value("REAL_TRIVY"));
    let args = value("REAL_TRIVY_ARGS");
    options.extra = args.split(' ').map(str::to_owned).collect();
    Trivy::new(options)
}

fn buildah() -> Buildah {
    let mut options = ToolOptions::new("buildah");
    let args = value("REAL_BUILDAH_ARGS");
    options.extra = args.split(' ').map(str::to_owned).collect();
    Buildah::new(options).isolation("chroot")
}

impl Real {
    fn get() -> Option<Self> {
        if std::env::var_os("REAL_REGISTRY").is_none() {
            eprintln!("skipped: needs tests/real/with-image");
            return None;
        }
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self {
            folder: tempfile::tempdir().unwrap(),
            log: Mutex::default(),
            stop: StopToken::default(),
            cancel_at: "no such line",
            _turn: turn,
        })
    }

    fn job<T>(&self, work: impl FnOnce(&Job<'_>) -> T) -> T {
        let log = |line: &str| {
            if line.starts_with(self.cancel_at) {
                self.stop.stop(Interrupt::Canceled);
            }
            let mut log = self.log.lock().unwrap();
            log.push_str(line);
            log.push('\n');
        };
        work(&Job {
            folder: self.folder.path(),
            log: &log,
            stop: &self.stop,
            access: &Access::default(),
            started: &|_| {},
        })
    }

    fn scan(&self, image: &ImageRef) -> ScanReport {
        let scan = self.job(|job| trivy().scan(image, job));
        let scan = scan.unwrap_or_else(|error| self.fail(&error));
        scan.report
    }

    fn patch(&self, target: &str) -> Result<(), ToolError> {
        let request = PatchRequest {
            original: &original(),
            report: &self.folder.path().join("report-12.json"),
            target: &target.parse().unwrap(),
        };
        self.job(|job| buildah().patch(&request, job)).map(drop)
    }

    fn fail<T>(&self, error: &ToolError) -> T {
        panic!("{error}\n{}", self.log.lock().unwrap())
    }
}

/// The fixable vulnerabilities that the image was made with.
fn advisories() -> BTreeSet<String> {
    let lines = fs::read_to_string(value("REAL_ADVISORIES")).unwrap();
    lines
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|fields| !fields[3].is_empty())
        .map(|fields| fields[2].to_owned())
        .collect()
}

/// What Buildah answers about its own storage.
fn buildah_says(args: &[&str]) -> String {
    let output = Command::new("buildah")
        .args(value("REAL_BUILDAH_ARGS").split(' '))
        .args(args)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What the registry has under a path, with the digest of it.
fn registry_has(path: &str) -> Option<(Value, String)> {
    use std::io::{Read as _, Write as _};
    let address = value("REAL_REGISTRY");
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let accept = "application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.v2+json";
    write!(
        stream,
        "GET /v2/{}/{path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n",
        value("REAL_REPOSITORY")
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let digest = head
        .lines()
        .find_map(|line| line.strip_prefix("Docker-Content-Digest: "))
        .unwrap_or_default();
    let is_there = head.contains(" 200 ");
    is_there.then(|| (serde_json::from_str(body).unwrap(), digest.to_owned()))
}

fn manifest_and_config(tag: &str) -> (Value, String, Value) {
    let (manifest, digest) = registry_has(&format!("manifests/{tag}")).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap();
    let (config, _) = registry_has(&format!("blobs/{config}")).unwrap();
    (manifest, digest, config)
}

#[test]
fn the_tools_are_new_enough() {
    let Some(real) = Real::get() else { return };
    let trivy = real.job(|job| trivy().check(job)).unwrap();
    assert_eq!(trivy, Some(Version(0, 76, 0)));
    assert!(real.job(|job| buildah().check(job)).unwrap().is_some());
}

#[test]
fn what_trivy_finds_is_gone_after_the_patch_and_the_rest_stays() {
    let Some(real) = Real::get() else { return };
    let before = real.scan(&original());
    let found: BTreeSet<String> = before
        .findings()
        .iter()
        .map(|finding| finding.vulnerability_id().to_owned())
        .collect();
    assert_eq!(found, advisories());
    let fixable = before.fixable();
    assert_eq!(before.verdict(), ScanVerdict::Patch { fixable });

    real.patch("12-1").unwrap_or_else(|error| real.fail(&error));
    let after = real.scan(&image("12-1"));
    assert_eq!(
        after.verdict(),
        ScanVerdict::Skip(ScanSkip::NoVulnerability)
    );
    let evidence = Evidence::compare(&before, &after);
    assert_eq!(evidence.decides(), PublishVerdict::Publish);

    let (before, digest, original_config) = manifest_and_config("12");
    let (after, _, config) = manifest_and_config("12-1");
    let annotations = json!({
        "org.opencontainers.image.base.name": original().by_tag(),
        "org.opencontainers.image.base.digest": digest,
    });
    assert_eq!(after["annotations"], annotations);
    assert_eq!(config["config"], original_config["config"]);
    assert_eq!(config["architecture"], original_config["architecture"]);
    let layers = after["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    assert_eq!(layers[0], before["layers"][0]);

    assert_eq!(buildah_says(&["containers", "--quiet"]), "");
    assert_eq!(buildah_says(&["images", "--quiet"]), "");
}

#[test]
fn a_docker_image_stays_one_with_its_health_check() {
    let Some(real) = Real::get() else { return };
    let tls = "--tls-verify=false";
    let source = format!("docker://{}", original().by_tag());
    let container = buildah_says(&["from", tls, &source]);
    let container = container.trim();
    buildah_says(&["config", "--healthcheck", "CMD true", container]);
    let target = format!("docker://{}", image("docker").by_tag());
    let commit = [
        "commit", "--format", "docker", "--rm", tls, container, &target,
    ];
    buildah_says(&commit);
    buildah_says(&["rmi", "--all"]);

    let request = PatchRequest {
        original: &image("docker"),
        report: real.folder.path(),
        target: &"docker-1".parse().unwrap(),
    };
    let patched = real.job(|job| buildah().patch(&request, job));
    patched.unwrap_or_else(|error| real.fail(&error));
    let (_, digest, before) = manifest_and_config("docker");
    let (manifest, _, config) = manifest_and_config("docker-1");
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    assert_eq!(manifest["mediaType"], docker);
    let health_check = &config["config"]["Healthcheck"];
    assert_eq!(health_check["Test"], json!(["CMD", "true"]));
    assert_eq!(health_check, &before["config"]["Healthcheck"]);
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.base.digest"], digest);
    assert_eq!(labels["made-for"], "a-test");
}

#[test]
fn an_image_with_triggers_is_refused_and_they_are_not_run() {
    let Some(real) = Real::get() else { return };
    let tls = "--tls-verify=false";
    let source = format!("docker://{}", original().by_tag());
    let container = buildah_says(&["from", tls, &source]);
    let container = container.trim();
    buildah_says(&["config", "--onbuild", "RUN false", container]);
    let target = format!("docker://{}", image("trigger").by_tag());
    let commit = [
        "commit", "--format", "docker", "--rm", tls, container, &target,
    ];
    buildah_says(&commit);
    buildah_says(&["rmi", "--all"]);

    let request = PatchRequest {
        original: &image("trigger"),
        report: real.folder.path(),
        target: &"trigger-1".parse().unwrap(),
    };
    let error = real.job(|job| buildah().patch(&request, job)).unwrap_err();
    assert!(!error.is_retryable());
    assert_eq!(
        error.to_string(),
        "`buildah` cannot patch an image with ONBUILD triggers, which it would run and drop"
    );
    assert_eq!(registry_has("manifests/trigger-1"), None);
    assert_eq!(buildah_says(&["images", "--quiet"]), "");
}

#[test]
fn a_patch_that_is_canceled_in_the_middle_leaves_nothing() {
    let Some(mut real) = Real::get() else { return };
    // What apt says when it fetches; the upgrade is going on.
    real.cancel_at = "Get:";
    let error = real.patch("12-2").unwrap_err();
    assert!(error.interrupt() == Some(Interrupt::Canceled), "{error}");
    assert_eq!(registry_has("manifests/12-2"), None);
    assert_eq!(buildah_says(&["containers", "--quiet"]), "");
    assert_eq!(buildah_says(&["images", "--quiet"]), "");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains("/storage/vfs"), "{mounts}");
}

#[test]
fn an_original_that_is_not_there_is_told() {
    let Some(real) = Real::get() else { return };
    let missing = image("13");
    let error = real.job(|job| trivy().scan(&missing, job)).unwrap_err();
    assert!(error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("ended with exit code 1: "), "{text}");
    let request = PatchRequest {
        original: &missing,
        report: &real.folder.path().join("none"),
        target: &"13-1".parse().unwrap(),
    };
    let error = real.job(|job| buildah().patch(&request, job)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("manifest unknown"), "{text}");
}
