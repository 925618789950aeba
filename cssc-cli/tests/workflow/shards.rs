//! A cycle that is planned, done in shards and finished, as several machines would do it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bench::{Bench, Said, until};

impl Bench {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn document(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.file(name)).unwrap()).unwrap()
    }

    /// Plans a cycle of the stored workflow.
    fn plan(&self, shards: u32) -> Value {
        let out = self.file("cycle.json").display().to_string();
        let planned = self.said(&format!("cycle plan --shards {shards} --out {out}"));
        planned.exits(0).json()
    }

    fn shard_words(&self, shard: &str) -> String {
        let (cycle, out) = (self.file("cycle.json"), self.result(shard));
        format!(
            "cycle run --cycle {} --shard {shard} --out {} --pause 1s",
            cycle.display(),
            out.display()
        )
    }

    fn result(&self, shard: &str) -> PathBuf {
        fs::create_dir_all(self.file("results")).unwrap();
        self.file(&format!("results/{}.json", shard.replace('/', "-")))
    }

    fn shard(&self, shard: &str) -> Said {
        self.said(&self.shard_words(shard))
    }

    fn finish(&self, words: &str) -> Said {
        let (cycle, results) = (self.file("cycle.json"), self.file("results"));
        self.said(&format!(
            "cycle finish --cycle {} {} {words}",
            cycle.display(),
            results.display()
        ))
    }

    /// The process of a tool that a worker is running.
    fn running_tool(&self) -> Option<PathBuf> {
        let mut folders = self.temporary_files();
        while let Some(folder) = folders.pop() {
            let note = fs::read(folder.join("process.json")).unwrap_or_default();
            if let Ok(note) = serde_json::from_slice::<Value>(&note) {
                return Some(PathBuf::from(format!("/proc/{}", note["id"])));
            }
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            folders.extend(entries.map(|entry| entry.path()));
        }
        None
    }

    /// What another machine would say, which has no state.
    fn elsewhere(&self, words: &str) -> Said {
        let output = self
            .command(words)
            .env("XDG_STATE_HOME", self.file("elsewhere"))
            .output()
            .unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn outcomes(report: &Value) -> Vec<(String, String)> {
    let images = report["images"]
        .as_array()
        .unwrap_or_else(|| report.as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    images
        .iter()
        .map(|image| (text(&image["image"]), text(&image["outcome"])))
        .collect()
}

fn expected(outcomes: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = outcomes
        .iter()
        .map(|(image, outcome)| ((*image).to_owned(), (*outcome).to_owned()));
    owned.collect()
}

#[test]
fn a_cycle_in_shards_and_its_record() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    bench.registry.push("python", &["3.12"], "CVE-2=");
    bench.registry.push("redis", &["7"], "CVE-3=2.0!");
    bench.create(&["python", "redis", "missing"]);
    let planned = bench.plan(2);
    assert_eq!(planned["images"], 3);
    assert_eq!(planned["shards"], 2);
    assert_eq!(planned["leftOut"], 1);
    // Nothing was written, and no tool was needed.
    assert!(!bench.file("calls").exists());

    for shard in ["2/2", "1/2"] {
        bench.shard(shard).exits(0);
    }
    let told = bench.file("told");
    let program = bench.file("tell");
    fs::write(&program, format!("#!/bin/sh\ncat >{}\n", told.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let finished = bench
        .finish(&format!("--format json --on-end {}", program.display()))
        .exits(0);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(told).unwrap()).unwrap();
    assert_eq!(json, finished.json());
    let all = [
        ("python:3.11", "patched"),
        ("python:3.12", "clean"),
        ("redis:7", "vulnerable"),
        ("missing:*", "left-out"),
    ];
    assert_eq!(outcomes(&finished.json()), expected(&all));
    let last = finished.err.lines().last().unwrap();
    let counts = "succeeded: 3 images, 1 patched, 1 clean, 1 vulnerable, 1 left-out; \
                  findings: 1 fixed, 1 left (open since 20";
    assert!(last.contains(counts), "{last}");
    bench.has_tags("python", &["3.11", "3.11-1", "3.12"]);

    // Any machine can tell.
    let listed = bench.elsewhere("workflow list --output json").exits(0);
    assert_eq!(outcomes(&listed.json()), expected(&all));
    let cycle = planned["cycle"].as_str().unwrap();
    assert_eq!(
        listed.err,
        format!("note: cycle {cycle}, from its record in the registry\n")
    );
    let report = bench.elsewhere(&format!("workflow report --cycle {cycle} --format json"));
    assert_eq!(report.exits(0).json(), finished.json());
    let shown = bench
        .elsewhere("workflow show --output json")
        .exits(0)
        .json();
    assert_eq!(shown["lastCycle"]["id"], cycle);
    bench.finish("--fail-on vulnerable").exits(1);

    // What ran here later is newer, and is told by the state file.
    bench.said("workflow run").exits(0);
    let listed = bench.said("workflow list --output json").exits(0);
    assert_eq!(listed.err, "");
    let since = |report: &Said| {
        let report: Value = serde_json::from_str(&report.out).unwrap();
        report["images"][2]["leftFindings"][0]["since"].clone()
    };
    let here = bench.said("workflow report --format json").exits(0);
    assert_ne!(
        since(&here),
        since(&finished),
        "the state file knows no earlier cycle"
    );

    bench.said("workflow delete --yes").exits(0);
    let gone = bench.elsewhere("workflow list").exits(2);
    assert!(gone.err.contains("state"), "{}", gone.err);
}

#[test]
fn since_when_findings_are_open_is_known_from_records() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("redis", &["7"], "CVE-3=2.0!");
    let policy = bench.policy(&["redis"]);
    bench
        .said(&format!(
            "workflow create --config {policy} --schedule 7d --record"
        ))
        .exits(0);
    bench.said("workflow run").exits(0);
    let first = bench
        .elsewhere("workflow report --format json")
        .exits(0)
        .json();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    bench.plan(1);
    bench.shard("1/1").exits(0);
    let second = bench.finish("--format json").exits(0).json();
    assert_ne!(first["cycle"], second["cycle"]);
    let since = |report: &Value| report["images"][0]["leftFindings"][0]["since"].clone();
    assert!(since(&first).is_string());
    assert_eq!(since(&first), since(&second));
}

#[test]
fn workers_that_fail_are_killed_or_never_come() {
    let Some(bench) = Bench::new() else { return };
    for (tag, content) in [
        ("3.10", "CVE-1=2.0"),
        ("3.11", "CVE-2=2.0"),
        ("3.12", "CVE-4=2.0"),
    ] {
        bench.registry.push("python", &[tag], content);
    }
    bench.create(&["python"]);
    bench.plan(3);
    // The first cannot scan, the second hangs over its patch and is killed, the third never comes.
    let mut command = bench.command(&bench.shard_words("1/3"));
    let failed = command
        .env("STANDIN_FAULTS", "trivy:fail")
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(0), "{failed:?}");
    let mut killed = bench.start(&bench.shard_words("2/3"), "copa:hang");
    killed.hears("patch python:3.11");
    let tool = until("the tool of the worker", || bench.running_tool());
    killed.signal("KILL");
    killed.end();
    assert_eq!(bench.temporary_files().len(), 1);
    let report = bench.finish("--format json --no-record").exits(1).json();
    let reason = |report: &Value, image: usize| report["images"][image]["reason"]["text"].clone();
    assert!(
        reason(&report, 0).as_str().unwrap().contains("trivy"),
        "{report}"
    );
    assert_eq!(reason(&report, 1), "no result of shard 2");
    assert_eq!(reason(&report, 2), "no result of shard 3");
    bench.has_tags("python", &["3.10", "3.11", "3.12"]);

    // Started again, they do what is open, and what failed.
    let mut stopped = bench.start(&bench.shard_words("2/3"), "copa:hang#2");
    stopped.hears("patch python:3.11");
    stopped.signal("TERM");
    assert_eq!(
        stopped.end().0,
        Some(2),
        "a worker that was interrupted says so"
    );
    // The first thing that it did was to remove what the killed one had left.
    assert_eq!(bench.temporary_files(), Vec::<PathBuf>::new());
    until("the end of the tool", || (!tool.exists()).then_some(()));
    for shard in ["1/3", "2/3", "3/3", "3/3"] {
        bench.shard(shard).exits(0);
    }
    let patched =
        ["3.10", "3.11", "3.12"].map(|tag| (format!("python:{tag}"), "patched".to_owned()));
    assert_eq!(
        outcomes(&bench.finish("--format json").exits(0).json()),
        patched
    );
    let tags = ["3.10", "3.10-1", "3.11", "3.11-1", "3.12", "3.12-1"];
    bench.has_tags("python", &tags);

    // Whose results are lost, finds what it has done.
    fs::remove_dir_all(bench.file("results")).unwrap();
    for shard in ["3/3", "2/3", "1/3"] {
        let said = bench.shard(shard).exits(0);
        assert!(!said.err.contains("tag-taken"), "{}", said.err);
    }
    let report = bench.finish("--format json").exits(0).json();
    assert_eq!(outcomes(&report), patched);
    assert_eq!(report["images"][0]["findings"]["fixed"], 1);
    bench.has_tags("python", &tags);
}

#[test]
fn documents_that_do_not_belong_are_refused() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    bench.create(&["python"]);
    bench.plan(1);
    let refused = |change: &dyn Fn(&mut Value), why: &str| {
        let before = bench.document("cycle.json");
        let mut document = before.clone();
        change(&mut document);
        fs::write(bench.file("cycle.json"), document.to_string()).unwrap();
        for said in [bench.shard("1/1"), bench.finish("")] {
            let said = said.exits(2);
            assert!(said.err.contains(why), "{}", said.err);
        }
        fs::write(bench.file("cycle.json"), before.to_string()).unwrap();
    };
    refused(
        &|document| document["registry"] = "ghcr.io/acme".into(),
        "the cycle document is of the registry `ghcr.io/acme`",
    );
    refused(
        &|document| document["plan"]["images"][0]["patchTag"] = "latest".into(),
        "`latest` is no patch tag of `python:3.11`",
    );
    refused(
        &|document| document["version"] = json!(2),
        "version 2 is not read",
    );
    let whole = fs::read(bench.file("cycle.json")).unwrap();
    fs::write(bench.file("cycle.json"), &whole[..whole.len() / 2]).unwrap();
    assert!(
        bench
            .shard("1/1")
            .exits(2)
            .err
            .contains("the cycle document is cut off")
    );
    fs::write(bench.file("cycle.json"), whole).unwrap();
    let said = bench.shard("1/2").exits(2);
    assert!(
        said.err
            .contains("there is no shard `1/2`: the cycle was planned with 1")
    );
    bench.has_tags("python", &["3.11"]);

    bench.shard("1/1").exits(0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    bench.plan(1);
    let said = bench.finish("").exits(2);
    assert!(
        said.err.contains("the result is of the cycle"),
        "{}",
        said.err
    );
    bench.registry.push("python", &["3.12"], "CVE-2=2.0");
    let over = bench.file("over.json").display().to_string();
    let said = bench
        .said(&format!("cycle plan --out {over} --max-images 1"))
        .exits(1);
    assert!(said.err.contains("(--max-images)"), "{}", said.err);
    assert!(!bench.file("over.json").exists());
}

#[test]
fn an_export_replaces_its_own_files_and_no_others() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "");
    let project = bench.file("project");
    let export = |engine: &str, more: &str| {
        bench.said(&format!(
            "workflow export {engine} --out {} {more}",
            project.display()
        ))
    };
    let none = export("github", "").exits(1);
    assert!(none.err.contains("there is no workflow"), "{}", none.err);
    bench.create(&["python"]);
    let written = export("gitlab", "").exits(0);
    let paths: Vec<&str> = written.out.lines().collect();
    assert_eq!(paths.len(), 2);
    export("gitlab", "--shards 8").exits(0);
    let cycle = project.join(".gitlab/cssc.yml");
    assert!(
        fs::read_to_string(&cycle)
            .unwrap()
            .contains("SHARDS: &shards 8")
    );

    // Somebody's own file stays, and nothing else is written.
    let own = project.join(".gitlab-ci.yml");
    fs::write(&own, "stages: [build]\n").unwrap();
    let refused = export("gitlab", "--shards 9").exits(1);
    assert!(
        refused
            .err
            .contains("was not written by an export: --force replaces it")
    );
    assert_eq!(fs::read_to_string(&own).unwrap(), "stages: [build]\n");
    assert!(
        fs::read_to_string(&cycle)
            .unwrap()
            .contains("SHARDS: &shards 8")
    );
    export("gitlab", "--shards 9 --force").exits(0);
    assert!(
        fs::read_to_string(&cycle)
            .unwrap()
            .contains("SHARDS: &shards 9")
    );

    let refused = export("github", "--shards 257").exits(2);
    assert!(
        refused
            .err
            .contains("it can run 256 shards at most (--shards)"),
        "{}",
        refused.err
    );
    let refused = export("argo", "").exits(2);
    assert!(refused.err.contains("(--image)"), "{}", refused.err);
    assert!(!project.join("cssc-cronworkflow.yaml").exists());
}
