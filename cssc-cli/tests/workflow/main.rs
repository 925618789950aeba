//! Workflows from end to end: the `cssc` binary on a real registry, with stand-ins for Trivy and
//! Copa that fail on demand.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::similar_names,
    reason = "a test may fail loudly, also in its helpers, with small numbers"
)]

#[path = "../../../cssc-engine/tests/standin/mod.rs"]
mod standin;
#[path = "../../../cssc-registry/tests/support/mod.rs"]
mod support;

mod bench;
mod doctor;
mod shards;
mod telling;

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bench::{Bench, PATIENCE};
use serde_json::Value;

#[test]
fn namespaces_of_a_registry_have_workflows_of_their_own() {
    let Some(mut bench) = Bench::new() else {
        return;
    };
    for name in ["python", "team/python", "other/python"] {
        bench.registry.push(name, &["3.11"], "CVE-1=2.0");
    }
    bench.namespace = "/team";
    bench.create(&["python"]);
    bench.said("workflow run").exits(0);
    bench.has_tags("team/python", &["3.11", "3.11-1"]);
    bench.has_tags("python", &["3.11"]);
    bench.has_tags("team/csscpolicies/patchpolicy", &["v1"]);
    assert_eq!(bench.rows()[0]["patchedImage"], "python:3.11-1");
    let latest = bench.said("tags latest python:3.11").exits(0);
    assert_eq!(latest.out.trim(), "3.11-1");

    bench.namespace = "/other";
    bench.said("workflow show").exits(1);
    bench.create(&["python"]);
    bench.said("workflow list").exits(1);
    bench.said("workflow delete --yes").exits(0);
    bench.namespace = "/team";
    bench.said("workflow show").exits(0);
    assert_eq!(bench.rows().len(), 1);
}

#[test]
fn a_tool_that_is_missing_is_found_before_the_first_scan() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let policy = bench.policy(&["python"]);
    let create = format!("workflow create --config {policy} --schedule 7d --patcher command");
    bench.said(&create).exits(0);
    for (words, why) in [
        (
            "--patcher copa --trivy /nonexistent",
            "cannot start `/nonexistent`: there is no such program",
        ),
        (
            "--patcher copa --copa /nonexistent",
            "cannot start `/nonexistent`: there is no such program",
        ),
        (
            "",
            "the workflow patches with `command`, and no program is given for it",
        ),
    ] {
        let ran = bench.said(&format!("workflow run {words}")).exits(1);
        assert!(ran.err.contains(why), "{}", ran.err);
        let runs = bench.said("task list-runs --output plain --top 9").out;
        assert!(!runs.contains(".scan."), "{runs}");
    }
    // Who only scans needs no patcher.
    let scan = "workflow run --until scan --patcher copa --copa /nonexistent";
    bench.said(scan).exits(0);
    bench.said("workflow run --patcher copa").exits(0);
    bench.has_tags("python", &["3.11", "3.11-1"]);
}

#[test]
fn the_platforms_that_create_is_told_hold_for_later_cycles() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let policy = bench.policy(&["python"]);
    let create = format!("workflow create --config {policy} --schedule 7d --platform linux/s390x");
    bench.said(&create).exits(0);
    bench.said("workflow run --fail-on left-out").exits(1);
    let rows = bench.said("workflow list -o json").exits(0).json();
    assert_eq!(rows[0]["outcome"], "left-out");
    assert_eq!(rows[0]["reason"]["code"], "platform-not-selected");
    bench.has_tags("python", &["3.11"]);
    bench.said("workflow run --platform linux/amd64").exits(0);
    bench.has_tags("python", &["3.11", "3.11-1"]);
}

#[test]
fn a_workflow_from_its_creation_to_its_end() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    bench.registry.push("python", &["3.12"], "CVE-2=");
    bench.registry.push("python", &["3.13"], "CVE-3=2.0!");
    let policy = bench.policy(&["python"]);
    let create = format!("workflow create --config {policy} --schedule 7d");

    let refused = bench.said(&format!("{create} --max-images 2")).exits(1);
    assert_eq!(
        refused.err,
        "error: the policy selects 3 images and a workflow may run 2: narrow the policy or raise \
         the limit (--max-images)\n"
    );
    bench.said("workflow show").exits(1);
    bench.said(&create).exits(0);
    let again = bench.said(&create).exits(1);
    assert_eq!(
        again.err,
        "error: there is a workflow already: update it instead (`cssc workflow update`)\n"
    );
    let shown = bench.said("workflow show --output json").exits(0).json();
    assert_eq!(shown["schedule"], "7d");
    assert_eq!(shown["lastCycle"], Value::Null);
    let planned = bench.said("dry-run --policy --output json").exits(0).json();
    assert_eq!(planned["images"][0]["patchTag"], "3.11-1", "{planned}");

    let ran = bench.said("workflow run").exits(0);
    let last = ran.err.lines().last().unwrap();
    let end = " succeeded: 3 images, 1 patched, 1 clean, 1 vulnerable; \
               findings: 1 fixed, 1 left (open since 20";
    assert!(last.contains(end), "{last}");
    let shown = bench.said("workflow show --output json").exits(0).json();
    assert_eq!(shown["lastCycle"]["status"], "Succeeded");
    assert!(shown["lastCycle"]["finished"].is_string());
    assert_eq!(shown["overdueSince"], Value::Null);
    bench.has_tags("python", &["3.11", "3.11-1", "3.12", "3.13"]);
    let row = bench.rows().remove(0);
    for (field, value) in [
        ("image", "python:3.11"),
        ("workflowType", "continuouspatchv1"),
        ("scanStatus", "Succeeded"),
        ("patchStatus", "Succeeded"),
        ("patchedImage", "python:3.11-1"),
    ] {
        assert_eq!(row[field], value, "{row}");
    }
    assert!(row["scanDate"].is_string() && row["patchDate"].is_string());
    assert_eq!(row["findings"]["fixed"], 1, "{row}");
    let run = |field: &str| row[field].as_str().unwrap().to_owned();
    let cycle = run("scanRunId").strip_suffix(".scan.0").unwrap().to_owned();
    assert_eq!(run("patchRunId"), format!("{cycle}.patch.0"));
    let begins = format!("cycle {cycle} begins\n");
    assert!(ran.err.contains(&begins), "{}", ran.err);
    let states = |first: [&'static str; 2]| {
        let clean = "no fixable OS finding, 1 without a fix";
        let stays = "the patch fixes none of the findings";
        [
            ["python:3.11", "Succeeded", first[0], first[1]],
            ["python:3.12", "Succeeded", "Skipped", clean],
            ["python:3.13", "Succeeded", "Skipped", stays],
        ]
    };
    assert_eq!(bench.states(), states(["Succeeded", "python:3.11-1"]));

    let runs = bench.said("task list-runs --output plain").exits(0);
    assert_eq!(runs.out.lines().count(), 6, "{}", runs.out);
    let log = bench
        .said(&format!("task logs --run-id {cycle}.patch.0 --follow"))
        .exits(0);
    assert!(log.out.contains("INFO scanning "), "{}", log.out);

    bench.said("workflow run").exits(0);
    assert_eq!(bench.states(), states(["Skipped", "no fixable OS finding"]));
    bench.has_tags("python", &["3.11", "3.11-1", "3.12", "3.13"]);
    let refused = bench.said("workflow run --max-images 2").exits(1);
    assert!(
        refused.err.contains("a workflow may run 2: "),
        "{}",
        refused.err
    );

    bench.said("workflow update --schedule 3d").exits(0);
    let shown = bench.said("workflow show --output json").exits(0).json();
    assert_eq!(shown["schedule"], "3d");
    bench.said("workflow delete --yes").exits(0);
    bench.said("workflow show").exits(1);
    let none = bench.said("workflow list").exits(1);
    assert!(none.err.contains("no workflow of `"), "{}", none.err);
    // That there is none is an answer, and nothing that could not be done.
    bench.said("workflow run").exits(1);
}

/// Nothing has to be stored, and nothing is written that was not asked for.
#[test]
fn a_cycle_runs_from_a_file_and_goes_as_far_as_it_is_told() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    bench.registry.push("python", &["3.12"], "CVE-2=2.0");
    bench.registry.push("python", &["3.13"], "CVE-3=2.0 eosl");
    let policy = bench.policy(&["python"]);
    let run = |words: &str| bench.said(&format!("workflow run --config {policy} {words}"));

    let ran = run("--until scan").exits(0);
    let last = ran.err.lines().last().unwrap();
    let end = "succeeded: 3 images, 2 vulnerable, 1 end-of-life; findings: 3 left (open since 20";
    assert!(last.contains(end), "{last}");
    let rows = bench.rows();
    let since = |rows: &[Value]| rows[0]["findings"]["openSince"].clone();
    let first = since(&rows);
    assert_eq!(first, rows[0]["scanDate"]);
    let reasons: Vec<String> = rows
        .iter()
        .map(|row| row["reason"]["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        reasons,
        [
            "would be patched as `3.11-1`",
            "would be patched as `3.12-1`",
            "end of service life"
        ]
    );
    bench.has_tags("python", &["3.11", "3.12", "3.13"]);
    let refused = run("--until scan --fail-on vulnerable,end-of-life").exits(1);
    let end = "error: 2 images vulnerable (--fail-on)\nerror: 1 image end-of-life (--fail-on)\n";
    assert!(refused.err.ends_with(end), "{}", refused.err);
    let again = bench.rows();
    assert_ne!(again[0]["scanDate"], first);
    assert_eq!(since(&again), first, "open since the first cycle");
    let (begun, _) = refused.err.split_once(" begins\n").unwrap();
    let trigger = begun.rsplit(' ').next().unwrap();
    let log = bench
        .said(&format!("task logs --run-id {trigger}.trigger"))
        .exits(0);
    let told =
        "python:3.11: vulnerable, would be patched as `3.11-1`; findings: 1 left (open since 20";
    assert!(log.out.contains(told), "{}", log.out);

    run("--until verify --only python:3.12").exits(0);
    let row = bench.rows().remove(0);
    assert_eq!(row["image"], "python:3.12");
    assert_eq!(row["reason"]["code"], "would-patch");
    bench.has_tags("python", &["3.11", "3.12", "3.13"]);

    let ran = run("--only python:3.11 --only python:4 --fail-on left-out").exits(1);
    assert!(
        ran.err
            .contains("1 image, 1 patched, 1 left-out; findings: 1 fixed\n"),
        "{}",
        ran.err
    );
    bench.has_tags("python", &["3.11", "3.11-1", "3.12", "3.13"]);
    bench.said("workflow show").exits(1);
}

#[test]
fn killed_again_and_again_every_image_is_patched_once() {
    let Some(bench) = Bench::new() else { return };
    for tag in ["a", "b", "c"] {
        bench.registry.push(
            "killed",
            &[tag],
            &format!("CVE-1=2.0 os=debian after:{tag}"),
        );
    }
    bench.create(&["killed"]);
    let random = RandomState::new();
    let mut kills = 0_u64;
    let mut heard = String::new();
    loop {
        let mut runner = bench.start("workflow run --jobs 2 --pause 1s", "");
        // Any moment; but a step that the runner has died over ten times has failed, so at last
        // it is left alone.
        let time = match kills {
            ..9 => Duration::from_millis(random.hash_one(kills) % (100 + 150 * kills)),
            _ => Duration::from_secs(120),
        };
        let begin = Instant::now();
        while runner.process.try_wait().unwrap().is_none() && begin.elapsed() < time {
            thread::sleep(Duration::from_millis(5));
        }
        let ended = runner.process.try_wait().unwrap().is_some();
        if !ended {
            kills += 1;
            assert!(kills < 10, "{heard}");
            runner.process.kill().unwrap();
        }
        let (code, said) = runner.end();
        heard.push_str(&said);
        if ended {
            assert_eq!(code, Some(0), "{heard}");
            break;
        }
    }
    let cycle = heard.split_once("cycle ").unwrap().1;
    let cycle = cycle.split_once(' ').unwrap().0.to_owned();
    let goes_on = format!("cycle {cycle} goes on");
    assert!(heard.contains(&goes_on), "{heard}");
    bench.has_tags("killed", &["a", "a-1", "b", "b-1", "c", "c-1"]);
    // A runner that died after the end of its cycle is followed by another cycle.
    let report = bench
        .said(&format!("workflow report --cycle {cycle} --format json"))
        .exits(0);
    let report = report.json();
    let patched: Vec<_> = report["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["patchedImage"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        patched,
        ["killed:a-1", "killed:b-1", "killed:c-1"],
        "{report}"
    );
}

#[test]
fn one_runner_at_a_time_and_canceled_from_elsewhere() {
    let Some(bench) = Bench::new() else { return };
    bench
        .registry
        .push("python", &["3.11", "3.12"], "CVE-1=2.0");
    bench.create(&["python"]);
    let mut first = bench.start("workflow run", "trivy:hang");
    first.hears("scan python:3.11");
    let second = bench.said("workflow run").exits(2);
    let holder = format!("is run by process {} on `", first.process.id());
    assert!(second.err.contains(&holder), "{}", second.err);
    assert_eq!(bench.rows()[0]["scanStatus"], "Running");

    let canceled = bench.said("workflow cancel-run").exits(0);
    assert_eq!(
        canceled.err,
        "note: the process that runs the cycle has been asked to cancel it\n"
    );
    let (code, said) = first.end();
    assert_eq!(code, Some(1), "{said}");
    for row in bench.states() {
        assert_eq!(row[1], "Canceled", "{row:?}");
    }
    let nothing = bench.said("workflow cancel-run").exits(0);
    assert_eq!(nothing.err, "note: nothing is queued or running\n");
    // The next cycle is another one.
    bench.said("workflow run").exits(0);
    bench.has_tags("python", &["3.11", "3.11-1", "3.12", "3.12-1"]);
}

#[test]
fn what_tools_do_wrong_is_named() {
    let Some(bench) = Bench::new() else { return };
    let scans = ["hang", "flood", "half", "garbage", "exit1"];
    let patches = ["fail", "unpushed", "spoilt"];
    let names = [&scans[..], &patches[..]].concat();
    for name in &names {
        bench.registry.push(name, &["1.0"], "CVE-1=2.0");
    }
    bench.create(&names);
    let mut faults: Vec<String> = scans
        .iter()
        .map(|fault| format!("trivy:{fault}@{fault}"))
        .collect();
    for fault in ["fail@fail", "half@unpushed", "garbage@spoilt"] {
        faults.push(format!("copa:{fault}"));
    }
    let words = "workflow run --jobs 3 --attempts 1 --step-limit 8s";
    let runner = bench.start(words, &faults.join(","));
    let (code, said) = runner.end();
    assert_eq!(code, Some(1), "{said}");
    let failed = bench.said("workflow list --run-status failed --output json");
    let failed = failed.exits(0).json();
    let failed: Vec<_> = failed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["image"].as_str().unwrap(),
                row["reason"]["text"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("hang:1.0", "`trivy` did not end within 8 s"),
        (
            "half:1.0",
            "`trivy` left a report that cannot be read: the scan report is cut off at line 30 column 85: the scanner was stopped before it \
             had written all of it",
        ),
        (
            "garbage:1.0",
            "`trivy` left a report that cannot be read: the scan report is not JSON: expected value at line 1 column 1; run Trivy with \
             `--format json`",
        ),
        (
            "fail:1.0",
            "`copa` ended with exit code 1: FATAL failed on demand",
        ),
        (
            "spoilt:1.0",
            "the patcher pushed no image: an artifact with a `application/octet-stream`",
        ),
    ];
    assert_eq!(failed, expected);
    let well: Vec<_> = bench
        .states()
        .into_iter()
        .filter(|row| !row.contains(&"Failed".to_owned()))
        .map(|row| row.join(" "))
        .collect();
    let expected = [
        "flood:1.0 Succeeded Succeeded flood:1.0-1",
        "exit1:1.0 Succeeded Succeeded exit1:1.0-1",
        "unpushed:1.0 Succeeded Skipped the patcher produced no image",
    ];
    assert_eq!(well, expected);
    bench.has_tags("flood", &["1.0", "1.0-1"]);
    for name in ["hang", "half", "garbage", "fail", "unpushed", "spoilt"] {
        bench.has_tags(name, &["1.0"]);
    }
}

#[test]
fn a_program_tries_a_patched_image_before_it_has_a_tag() {
    let Some(bench) = Bench::new() else { return };
    for (tag, content) in [
        ("3.11", "CVE-1=2.0"),
        ("3.12", "CVE-2=2.0"),
        ("3.13", "CVE-3=2.0"),
    ] {
        bench.registry.push("python", &[tag], content);
    }
    bench.create(&["python"]);
    let test = bench.folder.path().join("test-image");
    fs::write(
        &test,
        "#!/bin/sh\n\
         echo \"$CSSC_TAG $CSSC_PLATFORM $CSSC_CANDIDATE $CSSC_ORIGINAL\" >>\"$STANDIN_FOLDER/tried\"\n\
         case $CSSC_TAG in 3.12) echo 'it does not start' >&2; exit 7 ;; 3.13) sleep 60 ;; esac\n",
    )
    .unwrap();
    fs::set_permissions(&test, fs::Permissions::from_mode(0o755)).unwrap();
    let test = test.display();
    let run = format!("workflow run --test-command {test} --test-limit 2s");
    let said = bench.said(&run).exits(0);
    assert!(
        said.err.contains("3 images, 1 patched, 2 vulnerable"),
        "{}",
        said.err
    );
    bench.has_tags("python", &["3.11", "3.11-1", "3.12", "3.13"]);
    let rows = bench.rows();
    assert_eq!(rows[1]["outcome"], "vulnerable");
    assert_eq!(rows[1]["reason"]["code"], "test-failed");
    let reason = format!(
        "the test of the patched image failed: `{test}` ended with exit code 7: it does not start"
    );
    assert_eq!(rows[1]["reason"]["text"], reason);
    let late = rows[2]["reason"]["text"].as_str().unwrap();
    assert!(late.contains("did not end within 2 s"), "{late}");
    let logs = format!(
        "task logs --run-id {}",
        rows[1]["patchRunId"].as_str().unwrap()
    );
    assert!(bench.said(&logs).exits(0).out.contains("it does not start"));

    // Tried was what has the tag now.
    let tried = fs::read_to_string(bench.folder.path().join("tried")).unwrap();
    let first: Vec<&str> = tried.lines().next().unwrap().split(' ').collect();
    let published = rows[0]["patchedDigest"].as_str().unwrap();
    assert_eq!(first[..2], ["3.11", "linux/amd64"]);
    let (relay, candidate) = first[2].split_once('/').unwrap();
    assert_eq!(candidate, format!("python@{published}"));
    // Neither is in the registry by any name yet.
    assert!(relay.starts_with("127.0.0.1:"), "{relay}");
    assert!(first[3].starts_with(&format!("{relay}/python@sha256:")));

    // A program that is not there is no verdict on an image.
    let run = "workflow run --test-command /no/such/program --attempts 1";
    bench.said(run).exits(1);
    assert_eq!(bench.rows()[1]["outcome"], "failed");
    bench.has_tags("python", &["3.11", "3.11-1", "3.12", "3.13"]);
}

#[test]
fn a_registry_that_goes_away_and_comes_back() {
    let Some(mut bench) = Bench::new() else {
        return;
    };
    bench
        .registry
        .push("python", &["3.11", "3.12"], "CVE-1=2.0");
    bench.create(&["python"]);
    let words = "workflow run --attempts 20 --pause 1s --timeout 1s";
    let mut runner = bench.start(words, "");
    runner.hears("patch python:3.11");
    bench.registry.stop();
    runner.hears("failed: ");
    bench.registry.start_again();
    let (code, said) = runner.end();
    assert_eq!(code, Some(0), "{said}");
    bench.has_tags("python", &["3.11", "3.11-1", "3.12", "3.12-1"]);

    // It stays away: in the middle of a cycle the images have failed, and a cycle that has not
    // begun cannot be run.
    let words = "workflow run --attempts 2 --pause 1s --timeout 1s";
    let mut runner = bench.start(words, "trivy:slow");
    runner.hears("scan python:3.11");
    bench.registry.stop();
    let (code, said) = runner.end();
    assert_eq!(code, Some(1), "{said}");
    let failed = bench.said("workflow list --run-status failed --output plain");
    assert_eq!(failed.exits(0).out, "python:3.11\npython:3.12\n");
    let away = bench.said(words);
    let away = away.exits(2);
    assert!(
        away.err
            .ends_with(" refuses connections: is a registry running there?\n"),
        "{}",
        away.err
    );
}

/// A file system of a few hundred kilobytes.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: PathBuf) -> Option<Self> {
        fs::create_dir_all(&place).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "cssc"])
            .arg(&place)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(place));
        }
        eprintln!("left out: a small disk cannot be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let Some(bench) = Bench::new() else { return };
    let Some(disk) = SmallDisk::mount(bench.state()) else {
        return;
    };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    bench.create(&["python"]);
    // The state file is there, and has room for what comes first.
    bench
        .said("workflow update --schedule 6d --run-immediately --no-wait")
        .exits(0);
    let filler = disk.0.join("filler");
    let use_up = || {
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    let what = "the disk is full; free some space and start again; existing records are kept";
    use_up();
    let full = bench.said("workflow run --attempts 1").exits(2);
    assert!(full.err.contains(what), "{}", full.err);
    fs::remove_file(&filler).unwrap();
    bench.said("workflow run").exits(0);
    bench.has_tags("python", &["3.11", "3.11-1"]);

    // It fills while a tool is at work, whose report has no room either.
    bench.registry.push("python", &["3.12"], "CVE-1=2.0");
    let mut runner = bench.start("workflow run --attempts 1", "trivy:slow");
    runner.hears("scan python:3.12");
    use_up();
    let (code, said) = runner.end();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(what), "{said}");
    fs::remove_file(&filler).unwrap();
    bench.said("workflow run").exits(0);
    bench.has_tags("python", &["3.11", "3.11-1", "3.12", "3.12-1"]);
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn served_it_takes_what_is_queued_and_ends_when_told() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let policy = bench.policy(&["python"]);
    let words = format!("workflow create --config {policy} --schedule 7d");
    let said = bench
        .said(&format!("{words} --run-immediately --no-wait"))
        .exits(0);
    assert!(said.err.contains("the cycle is queued"), "{}", said.err);

    let mut server = bench.start("workflow serve --listen 127.0.0.1:0", "");
    let line = server.hears("page, /healthz and /metrics at http://");
    let address = line.trim_end().rsplit('/').next().unwrap();
    server.hears(" succeeded: ");
    let health = get(address, "/healthz");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
    // While it waits it takes what is asked for.
    server.hears("next run: ");
    bench
        .said("workflow update --schedule 3d --run-immediately --no-wait")
        .exits(0);
    server.hears(" succeeded: ");
    let metrics = get(address, "/metrics");
    let patched = "\ncssc_patched_images_total 1\n";
    assert!(metrics.contains(patched), "{metrics}");
    bench.has_tags("python", &["3.11", "3.11-1"]);
    let page = get(address, "/");
    let host = format!("<b>{}</b>", bench.registry.host());
    assert!(page.contains(&host), "{page}");
    assert!(
        page.contains("<li class=\"good\"><b>1</b>clean</li>"),
        "{page}"
    );

    server.hears("next run: ");
    let written = bench.said("workflow report --format html").exits(0).out;
    // The chart has both cycles.
    assert_eq!(written.matches("<g><title>").count(), 2, "{written}");
    assert!(written.ends_with("</html>\n"), "{written}");
    server.signal("TERM");
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn references_of_a_deployment_that_are_behind_are_told() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    bench.registry.push("redis", &["7"], "");
    bench.create(&["python", "redis"]);
    bench.said("workflow run").exits(0);
    let ask = |input: &str| {
        let mut command = bench.command("tags latest --digest - --output tsv");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        process
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = process.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let newest = bench.said("tags latest python:3.11 --digest").exits(0).out;
    let (tag, digest) = newest.trim().split_once('@').unwrap();
    assert_eq!(tag, "3.11-1");
    let host = bench.registry.host();
    // By whatever name, an original or a patch of it.
    let input = format!("# deployed\n{host}/python:3.11-1@{digest}\n\nredis:7\n");
    let (code, out, err) = ask(&input);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2);
    let current = format!("{host}/python:3.11-1@{digest}\tpython:3.11-1@{digest}\tcurrent");
    assert_eq!(lines[0], current);

    let other = "0".repeat(64);
    let input = format!("python:3.11\npython:3.11-1@sha256:{other}\n");
    let (code, out, _) = ask(&input);
    assert_eq!(code, Some(1));
    assert!(out.lines().all(|line| line.ends_with("\tbehind")), "{out}");

    // What cannot be told is told, beside the rest.
    let (code, out, err) = ask("redis:7\nredis\nnode:20\nPython:3\n");
    assert_eq!(code, Some(2));
    assert_eq!(out.lines().count(), 1);
    assert!(err.contains("`redis`: it names no tag"), "{err}");
    assert!(
        err.contains("`node:20`: the registry has no repository `node`"),
        "{err}"
    );
    assert!(err.contains("`Python:3`"), "{err}");
}

#[test]
fn a_program_is_told_when_a_cycle_has_ended() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    bench.create(&["python"]);
    let told = bench.folder.path().join("told");
    let program = bench.folder.path().join("tell");
    fs::write(
        &program,
        format!(
            "#!/bin/sh\n\
             echo \"$CSSC_STATUS $CSSC_CYCLE $CSSC_REGISTRY $CSSC_SUMMARY\" >{told}.line\n\
             cat >{told}.json\n\
             echo 'posted to the chat'\n",
            told = told.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.display();
    let said = bench
        .said(&format!("workflow run --on-end {program}"))
        .exits(0);
    let report = bench.said("workflow report --format json").exits(0).json();
    let json: Value =
        serde_json::from_slice(&fs::read(told.with_extension("json")).unwrap()).unwrap();
    assert_eq!(json, report);
    let cycle = report["cycle"].as_str().unwrap();
    let last = said.err.lines().last().unwrap();
    let summary = last.strip_prefix("note: ").unwrap();
    let host = bench.registry.host();
    let expected = format!("Succeeded {cycle} {host} {summary}\n");
    assert_eq!(
        fs::read_to_string(told.with_extension("line")).unwrap(),
        expected
    );
    let logs = format!("task logs --run-id {cycle}.trigger");
    let log = bench.said(&logs).exits(0).out;
    assert!(log.ends_with("posted to the chat\n"), "{log}");

    // Whoever is not told changes nothing.
    for (options, why) in [
        (
            "--on-end /no/such/program",
            "cannot start `/no/such/program`",
        ),
        ("--on-end /bin/false", "`/bin/false` ended with exit code 1"),
        (
            "--on-end sleep-long --on-end-limit 1s",
            "did not end within 1 s",
        ),
    ] {
        let sleeper = bench.folder.path().join("sleep-long");
        fs::write(&sleeper, "#!/bin/sh\nsleep 600\n").unwrap();
        fs::set_permissions(&sleeper, fs::Permissions::from_mode(0o755)).unwrap();
        let options = options.replace("sleep-long", &sleeper.display().to_string());
        let said = bench.said(&format!("workflow run {options}")).exits(0);
        let warning = "warning: the end of the cycle was not reported: ";
        assert!(said.err.contains(warning), "{}", said.err);
        assert!(said.err.contains(why), "{}", said.err);
        assert!(
            said.err.contains("succeeded: 1 image, 1 clean"),
            "{}",
            said.err
        );
    }
}
