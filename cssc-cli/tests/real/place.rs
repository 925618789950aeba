//! A folder with a state of its own, from which `cssc` and other programs are run on a repository
//! of the real registry.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cssc_registry::media_type::DOCKER_MANIFEST;
use cssc_registry::{
    Descriptor, Manifest, OciOptions, OciRegistry, Reference, RegistryClient, Repository,
};
use serde_json::{Value, json};

/// What they leave behind is counted on the whole machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registry: String,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    pub(crate) fn get() -> Option<Self> {
        let Ok(registry) = env::var("REAL_REGISTRY") else {
            eprintln!("skipped: needs cssc-engine/tests/real/with-image");
            return None;
        };
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self {
            folder: tempfile::tempdir().unwrap(),
            registry,
            _turn: turn,
        })
    }

    /// A program in the folder, with `cssc` in its `PATH`: the one that was built, or that
    /// in the folder `REAL_CSSC`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let folder = env::var_os("REAL_CSSC").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| {
            let built = Path::new(env!("CARGO_BIN_EXE_cssc"));
            built.parent().unwrap().to_owned()
        });
        let path = env::var("PATH").unwrap();
        let path = format!("{}:{path}", folder.display());
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("NO_COLOR", "1")
            .env("XDG_STATE_HOME", self.folder.path());
        command
    }

    /// Runs `cssc workflow` with these words, and the registry.
    pub(crate) fn workflow(&self, words: &str) -> Output {
        self.workflow_command(words).output().unwrap()
    }

    pub(crate) fn workflow_command(&self, words: &str) -> Command {
        let mut command = self.command("cssc");
        command.arg("workflow").args(words.split(' '));
        command.args(["--registry", &self.registry]);
        command
    }

    /// Runs a cycle over the policy with these options and variables; it must end with 0.
    pub(crate) fn cycle(&self, options: &str, variables: &[(&str, String)]) -> Output {
        let said = self
            .workflow_command(&format!("run --config policy.json --attempts 1 {options}"))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}\n{}", self.rows());
        said
    }

    /// What `list` says of the images.
    pub(crate) fn rows(&self) -> Value {
        let list = self.workflow("list -o json");
        serde_json::from_slice(&list.stdout).unwrap()
    }

    /// Copies an image of the registry as it is.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        self.copy_from(&format!("{}/{from}", self.registry), to);
    }

    /// Copies an image of any registry.
    pub(crate) fn copy_from(&self, from: &str, to: &str) {
        let copied = Command::new("skopeo")
            .args(["copy", "--all", "--insecure-policy", "--quiet"])
            .args(["--src-tls-verify=false", "--dest-tls-verify=false"])
            .arg(format!("docker://{from}"))
            .arg(format!("docker://{}/{to}", self.registry))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{copied:?}");
    }

    /// A manifest as it is, if it is there.
    pub(crate) fn manifest(&self, image: &str) -> Option<Value> {
        self.inspect(image, &["--raw"])
    }

    /// The configuration of an image for one platform.
    pub(crate) fn config(&self, image: &str) -> Value {
        self.inspect(image, &["--raw", "--config"]).unwrap()
    }

    /// The bytes of a configuration, read.
    pub(crate) fn raw_config(&self, image: &str) -> Value {
        let (name, tag) = image.split_once(':').unwrap();
        let (registry, name) = (self.client(), name.parse().unwrap());
        let reference = Reference::Tag(tag.parse().unwrap());
        let manifest = registry.get_manifest(&name, &reference).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        let config: Descriptor = serde_json::from_value(manifest["config"].clone()).unwrap();
        let config = registry.get_blob(&name, &config, 1 << 20).unwrap();
        serde_json::from_slice(&config).unwrap()
    }

    fn inspect(&self, image: &str, options: &[&str]) -> Option<Value> {
        let output = Command::new("skopeo")
            .args(["inspect", "--tls-verify=false"])
            .args(options)
            .arg(format!("docker://{}/{image}", self.registry))
            .output()
            .unwrap();
        let is_there = output.status.success();
        is_there.then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// The client of this project, for what no tool writes.
    pub(crate) fn client(&self) -> OciRegistry {
        let registry = self.registry.parse().unwrap();
        OciRegistry::new(&registry, OciOptions::default().anonymous()).unwrap()
    }

    /// Writes an image again, under another tag, with another manifest and configuration.
    pub(crate) fn change(
        &self,
        (from, to): (&str, &str),
        change: impl FnOnce(&mut Value, &mut Value),
    ) {
        let (registry, (from, tag)) = (self.client(), from.split_once(':').unwrap());
        let from: Repository = from.parse().unwrap();
        let reference = Reference::Tag(tag.parse().unwrap());
        let read = registry.get_manifest(&from, &reference).unwrap();
        let mut manifest: Value = serde_json::from_slice(&read.bytes).unwrap();
        let described: Descriptor = serde_json::from_value(manifest["config"].clone()).unwrap();
        let config = registry.get_blob(&from, &described, 1 << 20).unwrap();
        let mut config = serde_json::from_slice(&config).unwrap();
        change(&mut manifest, &mut config);
        let config = config.to_string();
        let kind = manifest["config"]["mediaType"].as_str().unwrap().to_owned();
        manifest["config"] = json!(Descriptor::of(&kind, config.as_bytes()));
        let (to, tag) = to.split_once(':').unwrap();
        let (to, tag) = (to.parse().unwrap(), Reference::Tag(tag.parse().unwrap()));
        registry.put_blob(&to, config.as_bytes()).unwrap();
        let manifest = Manifest {
            media_type: manifest["mediaType"].as_str().unwrap().to_owned(),
            bytes: manifest.to_string().into_bytes(),
        };
        registry.put_manifest(&to, &tag, &manifest).unwrap();
    }

    /// Writes an index of images of the repository, given by tags.
    pub(crate) fn index(&self, repository: &str, tag: &str, images: &[(&str, Value)]) {
        let (registry, name) = (self.client(), repository.parse().unwrap());
        let entries: Vec<Value> = images
            .iter()
            .map(|(tag, platform)| {
                let reference = Reference::Tag(tag.parse().unwrap());
                let image = registry.get_manifest(&name, &reference).unwrap();
                let mut entry = json!(image.descriptor());
                entry["platform"] = platform.clone();
                entry
            })
            .collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
        let index = Manifest {
            media_type: media_type.to_owned(),
            bytes: index.to_string().into_bytes(),
        };
        let tag = Reference::Tag(tag.parse().unwrap());
        registry.put_manifest(&name, &tag, &index).unwrap();
    }

    /// Runs a script in an image's files.
    pub(crate) fn inside(&self, image: &str, script: &str) -> String {
        let storage = env::var("REAL_STORAGE_ARGS").unwrap();
        let script = format!(
            "set -e; bud() {{ buildah {storage} \"$@\"; }}
             b=$(bud from --tls-verify=false {}/{image}); m=$(bud mount $b)
             chroot $m sh -e -c '{script}'
             bud umount $b >/dev/null; bud rm $b >/dev/null; bud rmi --all --force >/dev/null",
            self.registry
        );
        let done = self.command("sh").args(["-c", &script]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let output = Command::new("skopeo")
            .args(["list-tags", "--tls-verify=false"])
            .arg(format!("docker://{}/{repository}", self.registry))
            .output()
            .unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut tags: Vec<String> = serde_json::from_value(listed["Tags"].clone()).unwrap();
        tags.sort();
        tags
    }

    pub(crate) fn policy(&self, repository: &str, tags: &[&str]) {
        let policy = serde_json::json!({
            "version": "v1", "repositories": [{"repository": repository, "tags": tags}],
        });
        let path = self.folder.path().join("policy.json");
        std::fs::write(path, policy.to_string()).unwrap();
    }
}

/// Makes an image one of Docker's format.
pub(crate) fn to_docker(manifest: &mut Value) {
    manifest["mediaType"] = DOCKER_MANIFEST.into();
    manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
    for layer in manifest["layers"].as_array_mut().unwrap() {
        layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
    }
    manifest.as_object_mut().unwrap().remove("annotations");
}
