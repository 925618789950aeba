//! A registry of layouts, and tools in this process.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use cssc_core::cycle::{Cause, CycleOptions};
use cssc_core::{Cycle, Dialect, Listing, Registry, Repository, Tag, Workflow};
use cssc_engine::policy_source::{PolicyReadError, PolicySource};
use cssc_engine::runner::{Runner, RunnerEvent, RunnerSettings};
use cssc_engine::state::{SqliteState, State};
use cssc_engine::tool::{
    ImageRef, Job, PatchRequest, Patcher, Scan, Scanner, StopToken, ToolError, Version,
};
use cssc_registry::{
    Credential, Descriptor, Digest, LayoutRegistry, Manifest, OciOptions, OciRegistry, Reference,
    RegistryClient,
};
use serde_json::{Value, json};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// An image that says what is wrong with it: findings that a patch fixes, findings that
/// no patch fixes although a fixed version is known, and how often it was patched.
pub(crate) struct Image {
    pub(crate) architecture: &'static str,
    pub(crate) fixable: Vec<String>,
    pub(crate) stubborn: Vec<String>,
    pub(crate) patched: u32,
}

pub(crate) fn image(fixable: &[&str], stubborn: &[&str], patched: u32) -> Image {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    Image {
        architecture: "amd64",
        fixable: owned(fixable),
        stubborn: owned(stubborn),
        patched,
    }
}

impl Image {
    pub(crate) fn of(self, architecture: &'static str) -> Self {
        Self {
            architecture,
            ..self
        }
    }

    /// What is wrong with it, as a layer or the environment of its configuration says it.
    fn state(&self) -> Value {
        json!({"fixable": self.fixable, "stubborn": self.stubborn, "patched": self.patched})
    }

    /// Stores the image under a tag or, without one, its digest.
    pub(crate) fn push(&self, registry: &dyn RegistryClient, tag: Option<&Tag>) -> Descriptor {
        let layers = (0..=self.patched).map(|number| layer(registry, &number.to_string()));
        let layers: Vec<Descriptor> = layers.collect();
        let config = json!({
            "architecture": self.architecture, "os": "linux",
            "config": {"Cmd": ["sh"], "Env": [format!("{STATE}={}", self.state())]},
            "history": layers.iter().map(|_| json!({})).collect::<Vec<_>>(),
        });
        store(registry, tag, config, &layers)
    }

    /// Stores the image as a patch of another one: with a layer on top that says what it is.
    fn push_on(&self, registry: &dyn RegistryClient, original: &ImageRef, tag: &Tag) {
        let (config, mut layers) = parts(registry, original.digest().unwrap());
        layers.push(layer(registry, &self.state().to_string()));
        store(registry, Some(tag), config, &layers);
    }

    pub(crate) fn read(registry: &dyn RegistryClient, digest: &Digest) -> Self {
        let (config, layers) = parts(registry, digest);
        let said = |layer: &Descriptor| {
            let text = registry.get_blob(&python(), layer, 1 << 20).unwrap();
            let state = serde_json::from_slice::<Value>(&text).unwrap();
            state.is_object().then_some(state)
        };
        let of_config = || {
            let entry = config["config"]["Env"][0].as_str().unwrap();
            serde_json::from_str(&entry[STATE.len() + 1..]).unwrap()
        };
        let state = layers.iter().rev().find_map(said).unwrap_or_else(of_config);
        let words = |key: &str| serde_json::from_value(state[key].clone()).unwrap();
        Self {
            architecture: match config["architecture"].as_str() {
                Some("arm64") => "arm64",
                _ => "amd64",
            },
            fixable: words("fixable"),
            stubborn: words("stubborn"),
            patched: serde_json::from_value(state["patched"].clone()).unwrap(),
        }
    }
}

/// The variable of an image that says what is wrong with it.
const STATE: &str = "STATE";

fn layer(registry: &dyn RegistryClient, text: &str) -> Descriptor {
    registry.put_blob(&python(), text.as_bytes()).unwrap();
    Descriptor::of("application/vnd.oci.image.layer.v1.tar", text.as_bytes())
}

/// The configuration and the layers of a manifest.
fn parts(registry: &dyn RegistryClient, digest: &Digest) -> (Value, Vec<Descriptor>) {
    let reference = Reference::Digest(digest.clone());
    let manifest = registry.get_manifest(&python(), &reference).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
    let config = serde_json::from_value(manifest["config"].clone()).unwrap();
    let config = registry.get_blob(&python(), &config, 1 << 20).unwrap();
    let layers = serde_json::from_value(manifest["layers"].clone()).unwrap();
    (serde_json::from_slice(&config).unwrap(), layers)
}

fn store(
    registry: &dyn RegistryClient,
    tag: Option<&Tag>,
    mut config: Value,
    layers: &[Descriptor],
) -> Descriptor {
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    let config = config.to_string();
    registry.put_blob(&python(), config.as_bytes()).unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
        "config": Descriptor::of("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "annotations": {"org.opencontainers.image.title": "kept"},
    });
    let manifest = Manifest {
        media_type: MANIFEST.to_owned(),
        bytes: manifest.to_string().into_bytes(),
    };
    let descriptor = manifest.descriptor();
    let reference = match tag {
        Some(tag) => Reference::Tag(tag.clone()),
        None => Reference::Digest(descriptor.digest.clone()),
    };
    registry
        .put_manifest(&python(), &reference, &manifest)
        .unwrap();
    descriptor
}

/// The relay, as a tool reaches it.
pub(crate) fn relay(job: &Job<'_>) -> OciRegistry {
    let login = job.login.unwrap();
    let credential = Credential::password(login.user(), login.password());
    let options = OciOptions::default().credential(credential);
    OciRegistry::new(&login.authority().parse().unwrap(), options).unwrap()
}

pub(crate) struct Tools {
    pub(crate) calls: AtomicU32,
    pub(crate) patches: Mutex<BTreeMap<String, u32>>,
    /// The call on which the tool panics, if any.
    pub(crate) panics_at: Option<u32>,
    /// How long a tool takes: until it is canceled.
    pub(crate) hangs: bool,
    /// When the scanner's database was made.
    pub(crate) database: chrono::DateTime<chrono::Utc>,
    /// How often the scanner was made ready.
    pub(crate) prepared: AtomicU32,
}

impl Tools {
    pub(crate) fn new() -> Self {
        Self {
            calls: AtomicU32::new(0),
            patches: Mutex::default(),
            panics_at: None,
            hangs: false,
            database: chrono::DateTime::UNIX_EPOCH,
            prepared: AtomicU32::new(0),
        }
    }

    pub(crate) fn image(image: &ImageRef, job: &Job<'_>) -> Image {
        Image::read(&relay(job), image.digest().unwrap())
    }

    pub(crate) fn call(&self, job: &Job<'_>) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        assert_ne!(self.panics_at, Some(call), "the tool panics");
        while self.hangs && !job.stop.is_stopped() {
            std::thread::yield_now();
        }
    }
}

impl Scanner for Tools {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn check(&self, _: &Job<'_>) -> Result<Option<Version>, ToolError> {
        Ok(None)
    }

    fn prepare(&self, _: &Job<'_>) -> Result<(), ToolError> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn database(&self, _: &Job<'_>) -> Result<Option<chrono::DateTime<chrono::Utc>>, ToolError> {
        Ok(Some(self.database))
    }

    fn scan(&self, image: &ImageRef, job: &Job<'_>) -> Result<Scan, ToolError> {
        self.call(job);
        job.log.line(&format!("scanning {}", image.by_tag()));
        let image = Self::image(image, job);
        let findings: Vec<Value> = image
            .fixable
            .into_iter()
            .chain(image.stubborn)
            .map(|id| json!({"VulnerabilityID": id, "PkgName": "p", "FixedVersion": "2"}))
            .collect();
        let report = job.folder.join("fake.json");
        let text = json!({
            "SchemaVersion": 2, "Metadata": {"OS": {"Family": "debian", "Name": "12"}},
            "Results": [{"Class": "os-pkgs", "Type": "debian",
                "Packages": [{"Name": "p"}], "Vulnerabilities": findings}],
        });
        fs::write(&report, text.to_string()).unwrap();
        Scan::read("fake".as_ref(), report)
    }
}

impl Patcher for Tools {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn check(&self, _: &Job<'_>) -> Result<Option<Version>, ToolError> {
        Ok(None)
    }

    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<(), ToolError> {
        self.call(job);
        assert!(request.report.is_file());
        let original = request.original;
        let name = format!("{}:{}", original.repository(), original.tag());
        let mut patches = self.patches.lock().unwrap();
        let times = patches.entry(name).or_default();
        *times += 1;
        let image = Self::image(original, job);
        let result = Image {
            fixable: Vec::new(),
            patched: image.patched + *times,
            ..image
        };
        result.push_on(&relay(job), original, request.target);
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registry: LayoutRegistry,
    pub(crate) state: Box<dyn State>,
    pub(crate) settings: RunnerSettings,
    pub(crate) convention: &'static str,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("images")).unwrap();
        let registry = LayoutRegistry::open(&folder.path().join("images")).unwrap();
        let state = Box::new(SqliteState::open(folder.path().join("state.db")).unwrap());
        let settings = RunnerSettings {
            cycle: CycleOptions {
                pause_seconds: 0,
                interruptions: 100,
                jobs: NonZeroU32::new(3).unwrap(),
                ..CycleOptions::default()
            },
            ..RunnerSettings::default()
        };
        Self {
            folder,
            registry,
            state,
            settings,
            convention: "incremental",
        }
    }

    pub(crate) fn push(&self, tag: &str, image: &Image) {
        image.push(&self.registry, Some(&tag.parse().unwrap()));
    }

    /// Pushes an index of images, and a manifest that tells about the first.
    pub(crate) fn push_index(&self, tag: &str, images: &[Image]) {
        let annotations = json!({"org.opencontainers.image.title": "kept"});
        self.push_index_as(tag, images, INDEX, &json!({"annotations": annotations}));
    }

    /// Pushes an index as Docker has them, which have no annotations.
    pub(crate) fn push_docker_list(&self, tag: &str, images: &[Image]) {
        self.push_index_as(tag, images, DOCKER_LIST, &json!({}));
    }

    fn push_index_as(&self, tag: &str, images: &[Image], media_type: &str, more: &Value) {
        let mut manifests: Vec<Value> = Vec::new();
        for image in images {
            let mut entry = json!(image.push(&self.registry, None));
            entry["platform"] = json!({"os": "linux", "architecture": image.architecture});
            entry["annotations"] = json!({"of": image.architecture});
            manifests.push(entry);
        }
        let mut attestation = json!(image(&[], &["none"], 9).push(&self.registry, None));
        attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        attestation["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": manifests[0]["digest"],
        });
        manifests.push(attestation);
        let mut index = more.clone();
        index["schemaVersion"] = 2.into();
        index["mediaType"] = media_type.into();
        index["manifests"] = manifests.into();
        let index = Manifest {
            media_type: media_type.to_owned(),
            bytes: index.to_string().into_bytes(),
        };
        let reference = Reference::Tag(tag.parse().unwrap());
        self.registry
            .put_manifest(&python(), &reference, &index)
            .unwrap();
    }

    /// What a tag stands for.
    pub(crate) fn read(&self, tag: &str) -> Value {
        let reference = Reference::Tag(tag.parse().unwrap());
        let manifest = self.registry.get_manifest(&python(), &reference).unwrap();
        serde_json::from_slice(&manifest.bytes).unwrap()
    }

    pub(crate) fn tags(&self) -> Vec<String> {
        match self.registry.list_tags(&python()) {
            Listing::Found(tags) => tags.iter().map(|tag| tag.to_string()).collect(),
            listing => unreachable!("{listing:?}"),
        }
    }

    pub(crate) fn workflow(&self) -> Workflow {
        let policy = format!(
            r#"{{"version": "v1", "tag-convention": "{}",
                "repositories": [{{"repository": "python", "tags": ["*"]}}]}}"#,
            self.convention
        );
        let created = "2024-01-03T09:30:00Z".parse().unwrap();
        Workflow::new(policy, "7d".parse().unwrap(), Dialect::Documented, created)
    }

    pub(crate) fn with_runner<T>(
        &self,
        tools: &Tools,
        policy: &dyn PolicySource,
        work: impl FnOnce(&Runner<'_>) -> T,
    ) -> T {
        let host: Registry = "localhost:5000".parse().unwrap();
        work(&Runner {
            state: &*self.state,
            registry: &self.client(),
            host: &host,
            policy,
            scanner: tools,
            patchers: tools,
            tooling: None,
            settings: &self.settings,
        })
    }

    pub(crate) fn run(
        &self,
        tools: &Tools,
        stop: &StopToken,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Cycle {
        let policy = || -> Result<Workflow, PolicyReadError> { Ok(self.workflow()) };
        self.with_runner(tools, &policy, |runner| {
            runner.run(Cause::Immediate, stop, on_event).unwrap()
        })
    }

    pub(crate) fn cycle(&self, tools: &Tools) -> Cycle {
        self.run(tools, &StopToken::default(), &mut |_| ())
    }

    pub(crate) fn client(&self) -> Arc<dyn RegistryClient> {
        Arc::new(self.registry.clone())
    }

    pub(crate) fn leaves_nothing_behind(&self) {
        let work = self.folder.path().join("state.db-work/localhost_5000");
        assert!(!work.join("runs").exists());
        assert!(!work.join("reports").exists());
        assert!(!work.join("relay").exists());
    }
}

pub(crate) fn python() -> Repository {
    "python".parse().unwrap()
}
