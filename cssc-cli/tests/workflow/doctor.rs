//! What `cssc doctor` finds, and what a cycle warns of.

use std::collections::BTreeMap;
use std::net::TcpListener;

use serde_json::Value;

use super::bench::Bench;

/// The health and the text of each check.
fn checks(bench: &Bench, words: &str, code: i32) -> BTreeMap<String, (String, String)> {
    let said = bench.said(&format!("doctor --output json {words}"));
    let json: Value = said.exits(code).json();
    let text = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    let checks = json.as_array().unwrap().iter();
    checks
        .map(|check| {
            let found = (text(check, "health"), text(check, "text"));
            (text(check, "subject"), found)
        })
        .collect()
}

#[test]
fn the_doctor_finds_what_a_cycle_needs() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let none = checks(&bench, "", 1);
    assert_eq!(none["policy"].0, "error");
    assert!(
        none["policy"].1.contains("there is no workflow"),
        "{none:?}"
    );
    assert_eq!(none["state"].0, "ok");
    assert!(!none.contains_key("push"));

    bench.create(&["python"]);
    let buildkit = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = buildkit.local_addr().unwrap();
    let words = format!("--addr tcp://{address}");
    let all = checks(&bench, &words, 0);
    for (subject, part) in [
        ("registry", "answers"),
        ("policy", "images selected: 1"),
        ("pull", "an image of each repository can be read, 1 in all"),
        ("push", "`python` is writable"),
        ("scanner", "trivy "),
        ("patcher", "copa "),
        (
            "daemon",
            &format!("`BuildKit` listens at `tcp://{address}`"),
        ),
        ("relay", "images are served to the tools at `127.0.0.1:"),
        ("emulation", "images for linux/amd64 can be patched here"),
    ] {
        let (health, text) = &all[subject];
        assert_eq!(health, "ok", "{subject}: {text}");
        assert!(text.contains(part), "{subject}: {text}");
    }
    // This registry has no API for referrers.
    assert_eq!(all["referrers"].0, "warning");
    drop(buildkit);
    let gone = checks(&bench, &words, 1);
    assert_eq!(gone["daemon"].0, "error");
    assert!(gone["daemon"].1.contains("does not listen"), "{gone:?}");

    // Nothing is left behind, and who only scans needs less.
    bench.has_tags("python", &["3.11"]);
    let scan = checks(&bench, "--until scan --copa /nonexistent", 0);
    assert!(
        !scan.contains_key("patcher") && !scan.contains_key("push"),
        "{scan:?}"
    );
    let missing = checks(&bench, "--trivy /nonexistent --max-images 0", 1);
    assert_eq!(missing["scanner"].0, "error");
    assert_eq!(missing["policy"].0, "error");
    assert!(!missing.contains_key("database"));
    let table = bench.said(&format!("doctor {words}")).exits(1).out;
    assert!(table.contains("\nwarning  referrers  "), "{table}");
}

#[test]
fn a_cycle_warns_of_what_its_patches_will_lack() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    bench.create(&["python"]);
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ran = bench
        .said(&format!("workflow run --addr tcp://{free}"))
        .exits(0);
    let (begun, _) = ran.err.split_once(" begins\n").unwrap();
    let cycle = begun.rsplit(' ').next().unwrap();
    let log = bench
        .said(&format!("task logs --run-id {cycle}.trigger"))
        .exits(0)
        .out;
    let warning = format!("warning: daemon: `BuildKit` does not listen at `tcp://{free}`");
    assert!(log.contains(&warning), "{log}");
}

#[test]
fn a_registry_that_is_away_is_all_that_is_told_of_it() {
    let Some(mut bench) = Bench::new() else {
        return;
    };
    bench.namespace = "/nowhere";
    bench.registry.stop();
    let away = checks(&bench, "--timeout 1s", 1);
    assert_eq!(away["registry"].0, "error");
    assert!(!away.contains_key("policy") && away.contains_key("scanner"));
}
