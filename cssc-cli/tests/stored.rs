//! Plans with what is stored in the registry.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use cssc_core::Cycle;
use cssc_core::cycle::{Cause, CycleId, CycleOptions, CycleReport};
use cssc_engine::policy_artifact::PolicyArtifact;
use cssc_engine::records::Records;
use cssc_registry::LayoutRegistry;
use serde_json::{Value, json};

const POLICY: &str =
    r#"{"version": "v1", "repositories": [{"repository": "python", "tags": ["3.11"]}]}"#;

/// A registry with a workflow that was created on a fixed day.
fn stored() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let client = LayoutRegistry::open(folder.path()).unwrap();
    let annotations = [
        ("dev.cssc.schedule", "30d"),
        ("dev.cssc.created", "2024-01-03T09:17:00Z"),
        ("dev.cssc.dialect", "service"),
    ];
    let annotations: BTreeMap<String, String> = annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    PolicyArtifact::push(&client, POLICY.as_bytes(), &annotations).unwrap();
    folder
}

/// What `cssc` prints as JSON, with the policy on standard input.
fn json(folder: &Path, arguments: &[&str]) -> Value {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cssc"))
        .args(arguments)
        .args(["-r", &format!("layout:{}", folder.display()), "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(POLICY.as_bytes());
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

/// The hour and minute are those of the creation, and the dialect is the stored one.
#[test]
fn plans_use_the_stored_creation_and_dialect() {
    let folder = stored();
    for arguments in [
        &["dry-run", "--policy"][..],
        &["workflow", "update", "--config", "-", "--dry-run"],
        &["workflow", "update", "--schedule", "3d", "--dry-run"],
    ] {
        let plan = json(folder.path(), arguments);
        let next = plan["nextRun"].as_str().unwrap();
        assert!(next.ends_with("T09:17:00Z"), "{arguments:?}: {next}");
        assert_eq!(plan["dialect"], "service", "{arguments:?}");
    }
    let given = ["dry-run", "--policy", "--dialect", "documented"];
    assert_eq!(json(folder.path(), &given)["dialect"], "documented");
    let created = ["dry-run", "--policy", "--created", "2024-03-05T10:00:00Z"];
    let next = &json(folder.path(), &created)["nextRun"];
    assert_eq!(next, "2024-03-31T10:00:00Z");
}

/// A command that changes what is stored: its exit code and what it says.
fn change(folder: &Path, arguments: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cssc"))
        .args(arguments.split(' '))
        .args(["-r", &format!("layout:{}", folder.display())])
        .env("XDG_STATE_HOME", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(POLICY.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[test]
fn what_create_is_told_holds_for_later_commands() {
    let folder = tempfile::tempdir().unwrap();
    let create = "workflow create --config - --schedule 7d --max-images 0";
    let (code, said) = change(folder.path(), create);
    assert_eq!(code, Some(0), "{said}");
    let plan = ["dry-run", "--policy"];
    assert_eq!(json(folder.path(), &plan)["limit"], 0);
    change(
        folder.path(),
        "workflow update --max-images none --patcher buildah --platform linux/amd64,linux/arm",
    );
    let shown = json(folder.path(), &["workflow", "show"]);
    for (field, value) in [
        ("maxImages", Value::Null),
        ("patcher", "buildah".into()),
        ("attempts", 3.into()),
        ("platforms", json!(["linux/amd64", "linux/arm"])),
    ] {
        assert_eq!(shown[field], value);
    }
    change(folder.path(), "workflow update --platform all");
    let shown = json(folder.path(), &["workflow", "show"]);
    assert_eq!(shown["platforms"], json!([]));
    let (code, said) = change(folder.path(), "workflow update --platform arm64");
    assert_eq!(code, Some(2));
    assert!(said.contains("`arm64` is not a platform"), "{said}");
    assert_eq!(json(folder.path(), &plan)["limit"], Value::Null);
    let given = ["dry-run", "--policy", "--max-images", "5"];
    assert_eq!(json(folder.path(), &given)["limit"], 5);
}

#[test]
fn what_another_client_stored_is_replaced_only_when_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let client = LayoutRegistry::open(folder.path()).unwrap();
    let theirs = || PolicyArtifact::push(&client, b"{}", &BTreeMap::new()).unwrap();
    for command in [
        "policy push --config -",
        "policy delete --yes",
        "workflow create --config - --schedule 7d",
        "workflow delete --yes",
    ] {
        let before = theirs();
        let (code, said) = change(folder.path(), command);
        assert_eq!(
            said,
            "error: the stored policy belongs to another client: take it over, or leave it \
             alone (--take-over does the first)\n"
        );
        assert_eq!(code, Some(1));
        let after = PolicyArtifact::pull(&client).unwrap().unwrap();
        assert_eq!(after.digest, before, "{command}");
        let (code, said) = change(folder.path(), &format!("{command} --take-over"));
        assert_eq!(code, Some(0), "{said}");
    }
    // What this program pushed is its own.
    change(folder.path(), "policy push --config -");
    let (code, said) = change(folder.path(), "policy delete --yes");
    assert_eq!(code, Some(0), "{said}");
}

/// The registry has the record of a cycle long ago, and the schedule has had runs since.
#[test]
fn a_schedule_that_nobody_followed_is_overdue() {
    let folder = stored();
    let client = LayoutRegistry::open(folder.path()).unwrap();
    let started = "2024-01-31T09:17:00Z".parse().unwrap();
    let id = CycleId::new(started, 1);
    let mut cycle = Cycle::new(
        id,
        Cause::Scheduled(started),
        CycleOptions::default(),
        started,
    );
    cycle.cancel(started);
    let mut records = Records::list(&client).unwrap();
    let keep = std::num::NonZeroU32::MIN;
    records
        .write(&client, &CycleReport::new(&cycle), keep)
        .unwrap();
    let shown = json(folder.path(), &["workflow", "show"]);
    assert_eq!(shown["lastCycle"]["id"], id.to_string());
    // The service runs on the 1st, and every 30 days after it.
    assert_eq!(shown["overdueSince"], "2024-02-01T09:17:00Z");
}
