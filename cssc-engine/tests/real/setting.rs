//! What `with-image` provides, a place for a tool to work in, and what a tool leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cssc_core::cycle::Interrupt;
use cssc_core::scan::ImageConfig;
use cssc_core::{Digest, Listing, Registry, Repository, ScanReport};
use cssc_engine::tool::{
    Access, ImageRef, Job, PatchRequest, Patcher, Scanner, StopToken, ToolError, Trivy,
};
use cssc_registry::{Image, ImageManifest, OciOptions, OciRegistry, Reference, RegistryClient};

/// What is left behind is counted on the whole machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

type Call = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Setting {
    pub(crate) registry: OciRegistry,
    pub(crate) log: Mutex<String>,
    stop: StopToken,
    /// Cancels when a line has these words.
    pub(crate) cancel_at: &'static str,
    /// Called when a line has these words.
    pub(crate) at: Option<(&'static str, Call)>,
    pub(crate) folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

pub(crate) fn value(name: &str) -> String {
    std::env::var(name).unwrap()
}

pub(crate) fn host() -> Registry {
    value("REAL_REGISTRY").parse().unwrap()
}

pub(crate) fn repository() -> Repository {
    "debian".parse().unwrap()
}

/// As a cycle prepares it: with its database.
pub(crate) fn trivy(setting: &Setting) -> Trivy {
    let trivy = Trivy::default();
    let prepared = setting.job(|job| trivy.prepare(job));
    prepared.unwrap_or_else(|error| setting.fail(&error));
    trivy
}

/// The fixable vulnerabilities that the images were made with.
pub(crate) fn advisories() -> BTreeSet<String> {
    let lines = fs::read_to_string(value("REAL_ADVISORIES")).unwrap();
    lines
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|fields| !fields[3].is_empty())
        .map(|fields| fields[2].to_owned())
        .collect()
}

/// What Buildah answers about the storage where the tests make images.
pub(crate) fn buildah_says(arguments: &[&str]) -> String {
    let output = Command::new("buildah")
        .args(value("REAL_STORAGE_ARGS").split(' '))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Pushes the image `12`, changed by `buildah config`, as a Docker image.
pub(crate) fn push_changed(tag: &str, changes: &[&str]) {
    let tls = "--tls-verify=false";
    let name = |tag: &str| format!("docker://{}/{}:{tag}", host(), repository());
    let container = buildah_says(&["from", tls, &name("12")]);
    let container = container.trim();
    buildah_says(&[&["config"], changes, &[container]].concat());
    let target = name(tag);
    let commit = [
        "commit", "--format", "docker", "--rm", tls, container, &target,
    ];
    buildah_says(&commit);
    buildah_says(&["rmi", "--all"]);
}

impl Setting {
    pub(crate) fn get() -> Option<Self> {
        if std::env::var_os("REAL_REGISTRY").is_none() {
            eprintln!("skipped: needs tests/real/with-image");
            return None;
        }
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self {
            registry: OciRegistry::new(&host(), OciOptions::default().anonymous()).unwrap(),
            log: Mutex::default(),
            stop: StopToken::default(),
            cancel_at: "no such line",
            at: None,
            folder: tempfile::tempdir().unwrap(),
            _turn: turn,
        })
    }

    pub(crate) fn job<T>(&self, work: impl FnOnce(&Job<'_>) -> T) -> T {
        let log = |line: &str| {
            if line.contains(self.cancel_at) {
                self.stop.stop(Interrupt::Canceled);
            }
            if let Some((words, call)) = &self.at
                && line.contains(words)
            {
                call();
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

    pub(crate) fn fail<T>(&self, error: &ToolError) -> T {
        panic!("{error}\n{}", self.log.lock().unwrap())
    }

    /// The digest that a tag has, if it is there.
    pub(crate) fn digest(&self, tag: &str) -> Option<Digest> {
        let reference = Reference::Tag(tag.parse().unwrap());
        let descriptor = self.registry.resolve(&repository(), &reference).unwrap();
        descriptor.map(|descriptor| descriptor.digest)
    }

    /// The image that has a tag now.
    pub(crate) fn image(&self, tag: &str) -> ImageRef {
        let image = ImageRef::new(host(), repository(), tag.parse().unwrap());
        image.with_digest(self.digest(tag).unwrap_or_else(|| panic!("no tag {tag}")))
    }

    /// An image's manifest and configuration, when it is for one platform.
    pub(crate) fn manifest(&self, reference: &str) -> Option<(ImageManifest, ImageConfig)> {
        let reference = match reference.parse() {
            Ok(digest) => Reference::Digest(digest),
            Err(_) => Reference::Tag(reference.parse().unwrap()),
        };
        let manifest = self.registry.get_manifest(&repository(), &reference);
        let Image::Manifest(manifest) = Image::read(&manifest.unwrap()).unwrap() else {
            return None;
        };
        let config = self
            .registry
            .get_blob(&repository(), manifest.config(), 1 << 20);
        let config = ImageConfig::from_slice(&config.unwrap()).unwrap();
        Some((manifest, config))
    }

    pub(crate) fn tags(&self) -> BTreeSet<String> {
        match self.registry.list_tags(&repository()) {
            Listing::Found(tags) => tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Scans an image; the report is beside what it says.
    pub(crate) fn scan(&self, scanner: &dyn Scanner, image: &ImageRef) -> (ScanReport, PathBuf) {
        let scan = self.job(|job| scanner.scan(image, job));
        let scan = scan.unwrap_or_else(|error| self.fail(&error));
        (scan.report, scan.path)
    }

    pub(crate) fn patch(
        &self,
        patcher: &dyn Patcher,
        (original, platform): (&ImageRef, &str),
        report: &std::path::Path,
        target: &str,
    ) -> Result<(), ToolError> {
        let request = PatchRequest {
            original,
            platform: &platform.parse().unwrap(),
            report,
            target: &target.parse().unwrap(),
        };
        self.job(|job| patcher.patch(&request, job))
    }
}
