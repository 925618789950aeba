//! The examples, run.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]
#![allow(dead_code, reason = "the examples have a `main` each")]

#[path = "../examples/drive_by_hand.rs"]
mod drive_by_hand;

#[test]
fn a_cycle_is_driven_by_hand() {
    let mut out = Vec::new();
    drive_by_hand::run(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    for step in ["Plan(", "Scan(", "Patch(", "Verify(", "Copy(", "Publish("] {
        assert!(out.contains(step), "{step}: {out}");
    }
    assert!(out.contains("\"patchedImage\": \"python:3.11-1\""), "{out}");
}
