//! Cycles that are canceled or killed in the middle, and what they leave: nothing.

#[path = "../../../cssc-engine/tests/real/leftovers.rs"]
mod leftovers;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::place::Place;
use leftovers::Leftovers;

const BUILDAH: &str = "--patcher buildah --buildah-isolation chroot";

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
    found
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
