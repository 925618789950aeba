//! A folder with a state of its own, from which `cssc` and other programs are run on a repository
//! of the real registry.

use std::env;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

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

    /// A program in the folder, with `cssc` in its `PATH`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_cssc"));
        let path = env::var("PATH").unwrap();
        let path = format!("{}:{path}", binary.parent().unwrap().display());
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
