//! What every engine is put through.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bench::Bench;
use crate::has_engines;

/// What goes wrong in the first cycle: one image cannot be scanned, and over another the worker is
/// killed.
const FAULTS: &str = "trivy:fail@broken,copa:kill@deadly";

const REPOSITORIES: [&str; 3] = ["broken", "python", "deadly"];

pub(crate) struct Scenario {
    pub(crate) bench: Bench,
    /// The project that the files are exported to.
    pub(crate) project: PathBuf,
}

impl Scenario {
    /// A registry with three vulnerable images, one for each shard, a stored workflow, and the files
    /// for an engine; none where a tool is missing.
    pub(crate) fn new(engine: &str, tools: &[&str]) -> Option<Self> {
        if !has_engines(tools) {
            return None;
        }
        let bench = Bench::new()?;
        for repository in REPOSITORIES {
            bench.registry.push(repository, &["1"], "CVE-1=2.0");
        }
        let policy = bench.policy(&REPOSITORIES);
        // A run every day at this minute: it is due whenever the engine starts it.
        let create = format!("workflow create --config {policy} --schedule 1d --dialect service");
        bench.said(&create).exits(0);
        let project = bench.folder.path().join("project");
        let export = format!(
            "workflow export {engine} --shards 3 {image} --out {}",
            project.display(),
            image = match engine {
                "kubernetes" | "argo" => "--image localhost/cssc",
                _ => "",
            }
        );
        // Nothing can be started beside the workers here, and the stand-in for Copa needs nothing.
        let options = "-- --pause 1s --attempts 1 --patcher copa".split(' ');
        let mut command = bench.command(&export);
        let exported = command.args(options).output().unwrap();
        assert!(exported.status.success(), "{exported:?}");
        Some(Self { bench, project })
    }

    /// A program in the project, with the tools and the environment of `cssc` here.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.bench.command("");
        let own = Path::new(env!("CARGO_BIN_EXE_cssc")).parent().unwrap();
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new(program);
        command.current_dir(&self.project).envs(environment);
        let path = command
            .get_envs()
            .find_map(|(key, value)| (key == "PATH").then_some(value?))
            .unwrap()
            .to_owned();
        let path = std::iter::once(own.to_owned()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap());
        command.env("REPORT", self.bench.folder.path().join("report"));
        command
    }

    /// Faults reach the tools by a file: not every engine hands variables on.
    pub(crate) fn set_faults(&self, faults: &str) {
        fs::write(self.bench.folder.path().join("standin-faults"), faults).unwrap();
    }

    /// Has the engine run four cycles: one with a worker that fails and one that is killed, one that
    /// makes up for it, one that finds everything done, and one without images. `run` says whether
    /// all went well.
    pub(crate) fn play(&self, mut run: impl FnMut() -> bool) {
        self.set_faults(FAULTS);
        assert!(!run(), "the first cycle fails");
        assert_eq!(self.outcomes(), ["failed", "patched", "failed"]);
        let killed = &self.newest()["images"][2];
        assert_eq!(killed["reason"]["text"], "no result of shard 3");
        self.bench.has_tags("broken", &["1"]);
        self.bench.has_tags("deadly", &["1"]);

        self.set_faults("");
        assert!(run(), "the second cycle makes up for it");
        assert_eq!(self.outcomes(), ["patched", "clean", "patched"]);
        assert!(run(), "the third finds everything done");
        assert_eq!(self.outcomes(), ["clean", "clean", "clean"]);
        for repository in REPOSITORIES {
            self.bench.has_tags(repository, &["1", "1-1"]);
        }
        // A plan without images.
        let policy = self.bench.policy(&["missing"]);
        let update = format!("workflow update --config {policy}");
        self.bench.said(&update).exits(0);
        assert!(run(), "nothing to do is done well");
        assert_eq!(self.outcomes(), ["left-out"]);
    }

    /// The newest record in the registry.
    fn newest(&self) -> Value {
        let mut report = self.bench.command("workflow report --format json");
        let state = self.bench.folder.path().join("elsewhere");
        let report = report.env("XDG_STATE_HOME", state).output().unwrap();
        serde_json::from_slice(&report.stdout).unwrap()
    }

    fn outcomes(&self) -> Vec<String> {
        let report = self.newest();
        let images = report["images"].as_array().unwrap().iter();
        images
            .map(|image| image["outcome"].as_str().unwrap().to_owned())
            .collect()
    }
}
