//! How it is told what happens: to people who watch, in lines of text, and to programs.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
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
        failed.ends_with(" (attempt 1, it will be retried)"),
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

/// On a narrow terminal the last column of a table goes on below itself, and nowhere else.
#[test]
fn a_table_fits_a_narrow_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let typescript = folder.path().join("typescript");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");
    let command = format!(
        "stty cols 62 rows 24; {} dry-run -r inventory:registry.json --explain node 2>/dev/null",
        env!("CARGO_BIN_EXE_cssc")
    );
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &command])
        .arg(&typescript)
        .current_dir(examples);
    terminal
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    assert!(terminal.status().unwrap().success());
    let shown = fs::read_to_string(&typescript).unwrap();
    let lines: Vec<&str> = shown
        .lines()
        .filter(|line| !line.starts_with("Script"))
        .collect();
    assert!(
        lines.iter().all(|line| line.chars().count() <= 62),
        "{shown}"
    );
    let head = lines
        .iter()
        .find(|line| line.starts_with("REPOSITORY"))
        .unwrap();
    let begin = " ".repeat(head.find("VERDICT").unwrap());
    assert!(lines.iter().any(|line| line.starts_with(&begin)), "{shown}");
}

/// What the commands print is what their schemas say.
#[test]
fn what_is_printed_as_json_follows_its_schema() {
    let Some(bench) = bench() else { return };
    bench.registry.push("python", &["3.12"], "CVE-2=2.0!");
    bench.registry.push("python", &["3.13"], "CVE-3=");
    let ran = bench.said("workflow run --attach always --log-format json");
    for line in ran.exits(0).err.lines() {
        follows("log", &serde_json::from_str(line).unwrap());
    }
    for (words, schema) in [
        ("dry-run --policy", "plan"),
        ("dry-run --policy --explain", "explanation"),
        ("dry-run --policy --diff-dialects", "differences"),
        ("tags list python", "tags"),
        ("tags latest python", "latest"),
        ("tags latest python --digest", "latest"),
        ("tags next python", "next-tag"),
        ("image show python:3.11", "story"),
        ("policy show", "stored-policy"),
        ("workflow show", "workflow"),
        ("workflow update --schedule 3d", "workflow"),
        ("workflow list", "images"),
        ("workflow cancel-run", "cancellation"),
        ("task list-runs", "runs"),
        ("doctor --until scan", "checks"),
    ] {
        follows(
            schema,
            &bench.said(&format!("{words} -o json")).exits(0).json(),
        );
    }
    let report = bench.said("workflow report --format json").exits(0).json();
    follows("report", &report);
    let mut references = bench.command("tags latest - --digest -o json");
    references.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut references = references.spawn().unwrap();
    let typed = b"python:3.11\npython:3.13\n";
    references.stdin.take().unwrap().write_all(typed).unwrap();
    let printed = references.wait_with_output().unwrap().stdout;
    follows("references", &serde_json::from_slice(&printed).unwrap());
    let policy = bench.policy(&["python"]);
    for (words, schema) in [
        ("schedule next 7d", "next"),
        ("schedule calendar 7d --count 2", "next"),
        (&*format!("config check {policy}"), "check"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cssc"));
        command.args(words.split(' ')).args(["-o", "json"]);
        let printed = command.output().unwrap().stdout;
        follows(schema, &serde_json::from_slice(&printed).unwrap());
    }
}

fn follows(schema: &str, document: &Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cssc"));
    let printed = command.args(["schema", schema]).output().unwrap().stdout;
    let text: Value = serde_json::from_slice(&printed).unwrap();
    let validator = jsonschema::draft202012::new(&text).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{schema}: {wrong:?}\n{document:#}");
    // A key that the schema does not name is one that nobody documented.
    let known: BTreeSet<String> = keys_of_properties(&text);
    let unknown: Vec<String> = keys(document).difference(&known).cloned().collect();
    let is_open = [
        "stored-policy",
        "story",
        "report",
        "log",
        "runs",
        "differences",
    ];
    assert!(
        unknown.is_empty() || is_open.contains(&schema),
        "{schema}: {unknown:?}"
    );
}

/// All keys of all objects in a document.
fn keys(document: &Value) -> BTreeSet<String> {
    match document {
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| keys(value).into_iter().chain([key.clone()]))
            .collect(),
        Value::Array(items) => items.iter().flat_map(keys).collect(),
        _ => BTreeSet::new(),
    }
}

/// All keys that a schema has a property for.
fn keys_of_properties(schema: &Value) -> BTreeSet<String> {
    match schema {
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| {
                let below = keys_of_properties(value);
                let own = match (key.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        properties.keys().cloned().collect()
                    }
                    _ => BTreeSet::new(),
                };
                below.into_iter().chain(own)
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(keys_of_properties).collect(),
        _ => BTreeSet::new(),
    }
}
