//! What `with-image` provides, a place for a tool to work in, and what a tool leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cssc_core::cycle::Interrupt;
use cssc_core::scan::ImageConfig;
use cssc_core::{Digest, Listing, Registry, Repository, ScanReport};
use cssc_engine::relay::{Login, Relay, RelayOptions, ToolingImages};
use cssc_engine::tool::{
    ImageRef, Job, PatchRequest, Patcher, Scan, Scanner, StopToken, ToolError, Trivy,
};
use cssc_registry::{
    Image, ImageManifest, Manifest, OciOptions, OciRegistry, Reference, RegistryClient,
    RegistryError,
};
use serde_json::Value;

/// What is left behind is counted on the whole machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

type Call = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Setting {
    pub(crate) registry: Arc<OciRegistry>,
    relay: Relay,
    pub(crate) log: Mutex<String>,
    stop: StopToken,
    /// Cancels when a line has these words.
    pub(crate) cancel_at: &'static str,
    /// Called when a line has these words.
    pub(crate) at: Option<(&'static str, Call)>,
    pub(crate) folder: tempfile::TempDir,
    _relay_folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// The images that Copa fetches packages with, which are in the registry of the tests.
struct Tooling(Arc<OciRegistry>);

impl ToolingImages for Tooling {
    fn registry(&self, _: &Registry) -> Result<Arc<dyn RegistryClient>, RegistryError> {
        Ok(Arc::<OciRegistry>::clone(&self.0))
    }
}

/// What a patcher did: how it ended, and what it pushed.
pub(crate) struct Made {
    pub(crate) ended: Result<(), ToolError>,
    pub(crate) pushed: Option<Manifest>,
}

impl Made {
    /// What was pushed, by a patcher that ended well.
    pub(crate) fn image(self, setting: &Setting) -> Manifest {
        self.ended.unwrap_or_else(|error| setting.fail(&error));
        self.pushed.unwrap()
    }

    /// Why it failed; then nothing was pushed.
    pub(crate) fn error(self) -> ToolError {
        assert!(self.pushed.is_none());
        self.ended.unwrap_err()
    }
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
    let prepared = setting.job(None, |job| trivy.prepare(job));
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

impl Setting {
    pub(crate) fn get() -> Option<Self> {
        if std::env::var_os("REAL_REGISTRY").is_none() {
            eprintln!("skipped: needs tests/real/with-image");
            return None;
        }
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = OciRegistry::new(&host(), OciOptions::default().anonymous()).unwrap();
        let registry = Arc::new(registry);
        let images = Arc::<OciRegistry>::clone(&registry);
        let folder = tempfile::tempdir().unwrap();
        let relay = Relay::start(folder.path(), images, &RelayOptions::default()).unwrap();
        let tooling = Tooling(Arc::clone(&registry));
        Some(Self {
            registry,
            relay: relay.with_tooling(Arc::new(tooling)),
            log: Mutex::default(),
            stop: StopToken::default(),
            cancel_at: "no such line",
            at: None,
            folder: tempfile::tempdir().unwrap(),
            _relay_folder: folder,
            _turn: turn,
        })
    }

    pub(crate) fn job<T>(&self, login: Option<&Login>, work: impl FnOnce(&Job<'_>) -> T) -> T {
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
            kept: None,
            log: &log,
            stop: &self.stop,
            login,
            started: &|_| {},
        })
    }

    pub(crate) fn fail<T>(&self, error: &ToolError) -> T {
        panic!("{error}\n{}", self.log.lock().unwrap())
    }

    /// The image that has a tag now, and its manifest.
    pub(crate) fn image(&self, tag: &str) -> Manifest {
        let reference = Reference::Tag(tag.parse().unwrap());
        self.registry
            .get_manifest(&repository(), &reference)
            .unwrap()
    }

    /// A manifest for one platform and its configuration, in the registry or the relay.
    pub(crate) fn read(&self, manifest: &Manifest) -> (ImageManifest, ImageConfig) {
        let Image::Manifest(manifest) = Image::read(manifest).unwrap() else {
            panic!("an index")
        };
        let config = manifest.config();
        let bytes = match self.relay.blob_file(&config.digest) {
            Some(file) => fs::read(file).unwrap(),
            None => self
                .registry
                .get_blob(&repository(), config, 1 << 20)
                .unwrap(),
        };
        let config = ImageConfig::from_slice(&bytes).unwrap();
        (manifest, config)
    }

    /// A manifest that was pushed.
    pub(crate) fn pushed(&self, digest: &Digest) -> Manifest {
        self.relay.manifest(digest).unwrap()
    }

    pub(crate) fn tags(&self) -> BTreeSet<String> {
        match self.registry.list_tags(&repository()) {
            Listing::Found(tags) => tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// A login for an image, which is not to be there before, and how tools name the image.
    fn login(&self, image: &Manifest) -> (Login, ImageRef) {
        let login = self
            .relay
            .login_with_tooling(&repository(), std::slice::from_ref(image));
        let host = login.authority().parse().unwrap();
        let named = ImageRef::new(host, repository(), "12".parse().unwrap());
        let named = named.with_digest(image.descriptor().digest);
        (login, named)
    }

    /// Scans an image; the report is beside what it says.
    pub(crate) fn scan(&self, scanner: &dyn Scanner, image: &Manifest) -> (ScanReport, PathBuf) {
        let scan = self.try_scan(scanner, image, None);
        let scan = scan.unwrap_or_else(|error| self.fail(&error));
        (scan.report, scan.path)
    }

    /// Scans what a login for an image is asked for: the image, unless another is named.
    pub(crate) fn try_scan(
        &self,
        scanner: &dyn Scanner,
        image: &Manifest,
        asked: Option<Digest>,
    ) -> Result<Scan, ToolError> {
        let (login, mut named) = self.login(image);
        if let Some(digest) = asked {
            named = named.with_digest(digest);
        }
        self.job(Some(&login), |job| scanner.scan(&named, job))
    }

    /// Patches an image as it is; what was pushed stays readable, and nothing of it is in the
    /// registry.
    pub(crate) fn patch(
        &self,
        patcher: &dyn Patcher,
        (original, platform): (&Manifest, &str),
        report: &Path,
    ) -> Made {
        self.patch_asked(patcher, (original, None, platform), report)
    }

    /// Patches what a login for an image is asked for: the image, unless another is named.
    pub(crate) fn patch_asked(
        &self,
        patcher: &dyn Patcher,
        (original, asked, platform): (&Manifest, Option<Digest>, &str),
        report: &Path,
    ) -> Made {
        let tags = self.tags();
        let (login, mut named) = self.login(original);
        if let Some(digest) = asked {
            named = named.with_digest(digest);
        }
        let request = PatchRequest {
            original: &named,
            platform: &platform.parse().unwrap(),
            report,
            target: login.tag(),
        };
        let ended = self.job(Some(&login), |job| patcher.patch(&request, job));
        let pushed = login.pushed();
        if let Some(manifest) = &pushed {
            self.keep(manifest);
        }
        assert_eq!(self.tags(), tags, "the registry was written to");
        Made { ended, pushed }
    }

    /// Keeps what was pushed, so that it can be read when its login is gone.
    fn keep(&self, manifest: &Manifest) {
        let document: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        let of = |name: &str| document[name].as_array().cloned().unwrap_or_default();
        let digest = |descriptor: &Value| descriptor["digest"].as_str()?.parse().ok();
        let blobs = of("layers");
        let blobs = blobs.iter().chain([&document["config"]]);
        self.relay.keep(blobs.filter_map(digest));
        self.relay.keep([manifest.descriptor().digest]);
        for child in of("manifests") {
            self.keep(&self.pushed(&digest(&child).unwrap()));
        }
    }
}
