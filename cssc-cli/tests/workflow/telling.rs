//! How it is told what happens: to people who watch, in lines of text, and to programs.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::bench::Bench;

/// A bench with an image that can be patched.
fn bench() -> Option<Bench> {
    let bench = Bench::new()?;
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    bench.create(&["python"]);
    Some(bench)
}

fn run(bench: &Bench, words: &str) -> String {
    let output = bench
        .command(&format!("workflow run --pause 1s {words}"))
        .env("STANDIN_FAULTS", "trivy:fail#1")
        .output()
        .unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn every_line_for_programs_is_json() {
    let Some(bench) = bench() else { return };
    let lines: Vec<Value> = run(&bench, "--log-format json")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let is_time = |line: &Value| {
        let time = line["time"].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(time).is_ok()
    };
    assert!(lines.iter().all(is_time));
    assert!(lines.iter().all(|line| line["message"].is_string()));
    let of = |event: &str| lines.iter().find(|line| line["event"] == event).unwrap();
    assert_eq!(of("cycle-begun")["resumed"], false);
    let failed = of("step-failed");
    assert_eq!(failed["level"], "warning");
    assert_eq!(failed["step"], "scan");
    assert_eq!(failed["triedAgain"], true);
    let published = of("published");
    assert_eq!(published["image"], "python:3.11");
    assert_eq!(published["published"]["tag"], "3.11-1");
    assert_eq!(published["attempt"], 1);
    let ended = of("cycle-ended");
    assert_eq!(ended["level"], "info");
    assert_eq!(ended["status"], "Succeeded");
    assert_eq!(ended["summary"]["patched"], 1);
    assert_eq!(ended["cycle"], of("cycle-begun")["cycle"]);
    assert_eq!(lines.last(), Some(ended));
}

#[test]
fn lines_for_people_have_times_and_quiet_leaves_warnings() {
    let Some(bench) = bench() else { return };
    let told = run(&bench, "");
    let begun = told.lines().find(|line| line.ends_with(" begins")).unwrap();
    let (time, _) = begun.split_once(' ').unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{told}");
    let failed = "scan failed: ";
    let failed = told.lines().find(|line| line.contains(failed)).unwrap();
    assert!(
        failed.ends_with(" (attempt 1, it is tried again)"),
        "{failed}"
    );
    assert_eq!(
        run(&bench, "--quiet"),
        "",
        "the second cycle has nothing to warn of"
    );
    let refused = bench.command("workflow run --quiet --max-images 0");
    let refused = { refused }.output().unwrap();
    let refused = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.contains("warning: "), "{refused}");
    assert!(!refused.contains("note: "), "{refused}");
}

/// A terminal shows what is being done, and only what happened stays on it.
#[test]
fn a_terminal_shows_which_step_of_which_image_is_being_done() {
    let Some(bench) = bench() else { return };
    let command = bench.command("workflow run --pause 1s");
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    let typescript = bench.folder.path().join("typescript");
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &words.join(" ")])
        .arg(&typescript)
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("STANDIN_FAULTS", "copa:slow,trivy:fail#1")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    assert!(terminal.status().unwrap().success());
    let shown = fs::read_to_string(&typescript).unwrap();
    for part in [
        "0/1 images",
        "python:3.11 scan 0s",
        "python:3.11 scan, waiting for attempt 2",
        "python:3.11 scan, attempt 2",
        "python:3.11 patch",
    ] {
        assert!(shown.contains(part), "`{part}`: {shown}");
    }
    // What changes is drawn over; what stays is in lines that begin with nothing but an erasure.
    assert!(shown.contains("\x1b["), "{shown}");
    assert!(shown.contains("published python:3.11-1\r\n"), "{shown}");
}
