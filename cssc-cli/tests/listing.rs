//! What is said, and how long is waited, while a registry is listed.

use std::io::Write;
use std::process::{Command, Stdio};

use cssc_registry::testing::{Reply, TestRegistry};

const POLICY: &str = r#"{"version": "v1", "repositories": [
    {"repository": "hangs", "tags": ["*"]}, {"repository": "python", "tags": ["*"]}]}"#;

#[test]
fn a_long_listing_says_how_far_it_has_come_and_ends() {
    let registry = TestRegistry::start(|request| match request.path() {
        "/v2/python/tags/list" => Reply::json(r#"{"tags": ["3.10", "3.11"]}"#),
        _ => Reply::hang(),
    })
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cssc"))
        .args(["dry-run", "--config", "-", "--list-timeout", "11s"])
        .args(["-r", &registry.host()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(POLICY.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let line = "note: listed 1 of 2 repositories; tags so far: 2\n";
    assert_eq!(said.matches(line).count(), 1, "{said}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("3.11"), "{shown}");
    let all = format!("{shown}{said}");
    assert!(all.contains("it was not listed within 11s"), "{all}");
}
