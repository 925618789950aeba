//! Cycles that are canceled or killed in the middle, and what they leave: nothing.

#[path = "../../../cssc-engine/tests/real/leftovers.rs"]
mod leftovers;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::place::Place;
use leftovers::Leftovers;

const BUILDAH: &str = "--patcher buildah --buildah-isolation chroot";

const STEPS: [&str; 8] = [
    "plan", "scan", "patch", "verify", "copy", "attest", "sign", "publish",
];

#[test]
fn a_cycle_with_copa_that_is_killed_at_every_step_goes_on_and_leaves_nothing() {
    killed_at_every_step("copa-steps", "--patcher copa", Duration::ZERO);
}

#[test]
fn a_cycle_with_buildah_that_is_killed_at_every_step_goes_on_and_leaves_nothing() {
    killed_at_every_step("buildah-steps", BUILDAH, Duration::from_millis(30));
}

#[test]
fn a_cycle_with_copa_that_is_killed_goes_on_and_leaves_nothing() {
    killed("copa-killed", "--patcher copa");
}

#[test]
fn a_cycle_with_buildah_that_is_killed_goes_on_and_leaves_nothing() {
    killed("buildah-killed", BUILDAH);
}

#[test]
fn a_cycle_with_copa_that_is_canceled_leaves_nothing() {
    canceled("copa-canceled", "--patcher copa");
}

#[test]
fn a_cycle_with_buildah_that_is_canceled_leaves_nothing() {
    canceled("buildah-canceled", BUILDAH);
}

/// Files of the folder of runs, beside those of the state.
fn files(place: &Place) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![place.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(place.folder.path()).unwrap();
            let name = name.display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if !name.contains("state.db") && !name.contains(".lock") {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

/// Kills a cycle when it begins a step of each kind, and lets it go on each time.
fn killed_at_every_step(repository: &str, options: &str, later: Duration) {
    let Some(place) = Place::get() else { return };
    place.copy("debian:12", &format!("{repository}:12"));
    place.policy(repository, &["12"]);
    let sign = place.folder.path().join("sign");
    fs::write(&sign, "#!/bin/sh\nsleep 1\n").unwrap();
    fs::set_permissions(&sign, fs::Permissions::from_mode(0o755)).unwrap();
    let run = format!(
        "run --config policy.json --attempts 1 --attach always --sign-command {} {options}",
        sign.display()
    );
    let there = Leftovers::look();
    for step in STEPS {
        kill_at(&place, &run, step, later);
        let tags = place.tags(repository);
        assert!(
            !tags.contains(&"12-1".to_owned()) || step == "publish",
            "{step}: {tags:?}"
        );
    }
    let said = place.workflow(&run);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let rows = place.rows();
    assert_eq!(rows[0]["outcome"], "patched", "{rows}");
    let digest = rows[0]["patchedDigest"].as_str().unwrap();
    let fallback = format!("sha256-{}", digest.trim_start_matches("sha256:"));
    assert_eq!(place.tags(repository), ["12", "12-1", &fallback]);
    assert_eq!(attached(&place, repository, &fallback), 5);
    assert_eq!(there.new_ones(), [""; 0]);
    assert_eq!(files(&place), ["policy.json", "sign"]);
}

/// How many documents are attached, by the list under a tag, which are all there.
fn attached(place: &Place, repository: &str, list: &str) -> usize {
    let list = place.manifest(&format!("{repository}:{list}")).unwrap();
    let entries = list["manifests"].as_array().unwrap();
    for entry in entries {
        let digest = entry["digest"].as_str().unwrap();
        assert!(place.manifest(&format!("{repository}@{digest}")).is_some());
    }
    entries.len()
}

/// Runs a cycle and kills it when it says that it begins a step of this kind, or a while later.
fn kill_at(place: &Place, run: &str, step: &str, later: Duration) {
    let mut runner = place
        .workflow_command(run)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(runner.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    // After the time and the run.
    let begins = |line: &str| line.split(' ').nth(2) == Some(step);
    for line in lines {
        let line = line.unwrap();
        let is_there = begins(&line);
        said.push(line);
        if is_there {
            break;
        }
    }
    // With its end the cycle would be over.
    if step != "publish" {
        thread::sleep(later);
    }
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(begins(said.last().unwrap()), "{step}: {said:#?}");
}

/// Starts a cycle over one image and waits until the package manager in it fetches something; then
/// something is done, and the cycle's process has ended.
fn in_the_middle(place: &Place, options: &str, then: impl Fn(u32)) {
    let run = format!("run --config policy.json --attempts 1 {options}");
    let mut runner = place
        .workflow_command(&run)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(runner.stderr.take().unwrap()).lines();
    let patching = lines.find_map(|line| {
        let line = line.unwrap();
        // The time, and the run.
        let (begun, _) = line.split_once(" patch ")?;
        begun.split(' ').nth(1).map(str::to_owned)
    });
    let patching = patching.unwrap();
    let is_fetching = || {
        let mut logs = place.command("cssc");
        let logs = logs.args(["task", "logs", "-r", &place.registry, "--run-id", &patching]);
        String::from_utf8_lossy(&logs.output().unwrap().stdout).contains("Get:")
    };
    while !is_fetching() {
        assert_eq!(runner.try_wait().unwrap(), None);
        thread::sleep(Duration::from_millis(100));
    }
    then(runner.id());
    for line in lines {
        eprintln!("{}", line.unwrap());
    }
    runner.wait().unwrap();
}

fn killed(repository: &str, options: &str) {
    let Some(place) = Place::get() else { return };
    place.copy("debian:12", &format!("{repository}:12"));
    place.policy(repository, &["12"]);
    let there = Leftovers::look();
    in_the_middle(&place, options, |id| {
        let id = id.to_string();
        let kill = std::process::Command::new("kill")
            .args(["-9", &id])
            .status();
        assert!(kill.unwrap().success());
    });
    assert_eq!(place.tags(repository), ["12"]);
    let run = format!("run --config policy.json --attempts 1 {options}");
    let said = place.workflow(&run);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    assert_eq!(place.tags(repository), ["12", "12-1"]);
    assert_eq!(place.rows()[0]["outcome"], "patched");
    assert_eq!(there.new_ones(), [""; 0]);
    assert_eq!(files(&place), ["policy.json"]);
}

fn canceled(repository: &str, options: &str) {
    let Some(place) = Place::get() else { return };
    place.copy("debian:12", &format!("{repository}:12"));
    place.policy(repository, &["12"]);
    let there = Leftovers::look();
    in_the_middle(&place, options, |_| {
        let said = place.workflow("cancel-run");
        assert!(said.status.success(), "{said:?}");
    });
    assert_eq!(place.tags(repository), ["12"]);
    assert_eq!(place.rows()[0]["outcome"], "canceled");
    assert_eq!(there.new_ones(), [""; 0]);
    assert_eq!(files(&place), ["policy.json"]);
}
