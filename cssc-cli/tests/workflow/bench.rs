//! A real registry, stand-ins for the tools, and `cssc` on them.
#![allow(dead_code, reason = "every test file uses another part of this")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::standin;
use crate::support::{DockerRegistry, Setup, has_tools};
use serde_json::{Value, json};

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// Waits until something is so.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a command came to.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// A process that runs a workflow; it is killed when the test ends.
pub(crate) struct Runner {
    pub(crate) process: Child,
    pub(crate) lines: BufReader<ChildStderr>,
    pub(crate) heard: String,
}

impl Runner {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap());
        let heard = String::new();
        Self {
            process,
            lines,
            heard,
        }
    }

    /// Reads what it says up to a line with these words.
    #[track_caller]
    pub(crate) fn hears(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            self.heard.push_str(&line);
            assert!(read > 0, "`{words}` was not said: {}", self.heard);
            if line.contains(words) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end: the exit code, and all it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = until("the end of the runner", || self.process.try_wait().unwrap());
        self.lines.read_to_string(&mut self.heard).unwrap();
        (status.code(), std::mem::take(&mut self.heard))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) struct Bench {
    pub(crate) registry: DockerRegistry,
    pub(crate) folder: tempfile::TempDir,
    /// What follows the host in the registry's address.
    pub(crate) namespace: &'static str,
}

impl Bench {
    pub(crate) fn new() -> Option<Self> {
        let needed = ["docker-registry", "skopeo", "python3"];
        has_tools(&needed).then(|| Self {
            registry: DockerRegistry::start(Setup::default()),
            folder: tempfile::tempdir().unwrap(),
            namespace: "",
        })
    }

    /// A policy that selects every tag of some repositories.
    pub(crate) fn policy(&self, repositories: &[&str]) -> String {
        let rule = |name: &&str| json!({"repository": name, "tags": ["*"], "enabled": true});
        let policy = json!({
            "version": "v1",
            "tag-convention": "incremental",
            "repositories": repositories.iter().map(rule).collect::<Vec<_>>(),
        });
        let path = self.folder.path().join("policy.json");
        fs::write(&path, policy.to_string()).unwrap();
        path.display().to_string()
    }

    /// `cssc` with words, on this registry, with the stand-ins and a state of its own.
    pub(crate) fn command(&self, words: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(standin::folder()).chain(std::env::split_paths(&path));
        let mut command = Command::new(env!("CARGO_BIN_EXE_cssc"));
        command
            .args(words.split_whitespace())
            .arg("--registry")
            .arg(self.registry.host() + self.namespace)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("NO_COLOR", "1")
            .env("HOME", self.folder.path())
            .env("TMPDIR", self.temporary_folder())
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("DOCKER_CONFIG", self.folder.path())
            .env("STANDIN_FOLDER", self.folder.path())
            .env("STANDIN_FAULTS", "")
            .stdin(Stdio::null());
        command
    }

    fn temporary_folder(&self) -> PathBuf {
        let folder = self.folder.path().join("temporary");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// What is among the temporary files.
    pub(crate) fn temporary_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temporary_folder()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) fn said(&self, words: &str) -> Said {
        let output = self.command(words).output().unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn start(&self, words: &str, faults: &str) -> Runner {
        let mut command = self.command(words);
        command.env("STANDIN_FAULTS", faults);
        Runner::start(command)
    }

    pub(crate) fn create(&self, repositories: &[&str]) {
        let policy = self.policy(repositories);
        let words = format!("workflow create --config {policy} --schedule 7d");
        self.said(&words).exits(0);
    }

    /// The rows of `list`.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let said = self.said("workflow list --output json").exits(0);
        said.json().as_array().unwrap().clone()
    }

    /// The image, the states of its scan and its patch, and the patched image or the reason.
    pub(crate) fn states(&self) -> Vec<[String; 4]> {
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        self.rows()
            .iter()
            .map(|row| {
                let patched = text(row, "patchedImage");
                [
                    text(row, "image"),
                    text(row, "scanStatus"),
                    text(row, "patchStatus"),
                    if patched.is_empty() {
                        text(&row["reason"], "text")
                    } else {
                        patched
                    },
                ]
            })
            .collect()
    }

    /// The tags that are in the registry.
    pub(crate) fn tags(&self, repository: &str) -> BTreeSet<String> {
        let reference = format!("docker://{}/{repository}", self.registry.host());
        let output = Command::new("skopeo")
            .args(["list-tags", "--tls-verify=false", &reference])
            .output()
            .unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let tags = listed["Tags"].as_array().unwrap().iter();
        tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn has_tags(&self, repository: &str, tags: &[&str]) {
        let tags: BTreeSet<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        assert_eq!(self.tags(repository), tags);
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state/cssc")
    }
}
