//! The examples, run on a real registry with stand-ins for the tools.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]
#![allow(dead_code, reason = "the examples have a `main` each")]
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "an example shows what it does"
)]

#[path = "../examples/service.rs"]
mod service;
mod standin;
#[path = "../../cssc-registry/tests/support/mod.rs"]
mod support;

use support::{DockerRegistry, Setup, has_tools};

#[test]
fn a_service_on_tokio_patches_with_a_patcher_of_its_own() {
    if !has_tools(&["docker-registry", "skopeo", "python3"]) {
        return;
    }
    let registry = DockerRegistry::start(Setup::default());
    registry.push("python", &["3.11"], "CVE-1=2.0");
    registry.push("python", &["3.12"], "CVE-2=");
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.json");
    let text = r#"{"version": "v1", "repositories": [{"repository": "python", "tags": ["*"]}]}"#;
    std::fs::write(&policy, text).unwrap();
    let arguments = [
        registry.host(),
        policy.display().to_string(),
        standin::trivy().display().to_string(),
        standin::copa().display().to_string(),
    ];
    let mut out = Vec::new();
    service::run(&arguments, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("plan\n"), "{out}");
    let end = "python:3.11: python:3.11-1\npython:3.12: no patch\n";
    assert!(out.ends_with(end), "{out}");
}
