//! A registry and a scanner for cycles that are measured.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cssc_core::{Dialect, Workflow};
use cssc_engine::policy_source::PolicyReadError;
use cssc_registry::testing::{PagedTags, Paging, Reply, TestRegistry};

/// A scanner that takes 50 ms and finds nothing.
pub(crate) const SCANNER: &str = r#"#!/bin/sh
case "$*" in
    --version) echo 'Version: 0.76.0'; exit ;;
    *--download-db-only*) exit ;;
    'server --listen '*)
        exec python3 -c 'import http.server, sys
host, port = sys.argv[1].split(":")
http.server.HTTPServer((host, int(port)), http.server.BaseHTTPRequestHandler).serve_forever()' "$3" ;;
esac
while [ $# -gt 1 ]; do
    case $1 in --output) report=$2 ;; esac
    shift
done
sleep 0.05
printf %s '{"SchemaVersion": 2, "Metadata": {"OS": {"Family": "debian", "Name": "12"}},
"Results": [{"Class": "os-pkgs", "Type": "debian", "Packages": [{"Name": "p"}]}]}' >"$report"
"#;

const CONFIG: &str =
    r#"{"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}"#;

/// The manifest of a tag: no two are equal, or they would be scanned once.
fn manifest(tag: &str) -> String {
    format!(
        r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
"config": {{"mediaType": "application/vnd.oci.image.config.v1+json", "size": 86,
"digest": "sha256:71822e078d9ff757d8538a22f358691ad2ff346e5d9ab70be481b72d3bf8a88d"}},
"layers": [], "annotations": {{"tag": "{tag}"}}}}"#
    )
}

/// A registry with so many images in the repository `python`.
pub(crate) fn server(images: usize) -> TestRegistry {
    let tags = (0..images).map(|number| format!("3.11.{number:05}-slim"));
    let held = PagedTags::new(Paging::Azure).repository("python", tags);
    TestRegistry::start(move |request| {
        if let Some((_, tag)) = request.path().split_once("/manifests/") {
            let kind = "application/vnd.oci.image.manifest.v1+json";
            let manifest = manifest(tag);
            Reply::new(200).header("content-type", kind).body(manifest)
        } else if request.path().contains("/blobs/") {
            Reply::new(200).body(CONFIG)
        } else {
            held.answer(request)
        }
    })
    .expect("a port")
}

/// Writes the scanner into a folder.
pub(crate) fn scanner(folder: &Path) -> PathBuf {
    let scanner = folder.join("trivy");
    fs::write(&scanner, SCANNER).expect("a script");
    fs::set_permissions(&scanner, fs::Permissions::from_mode(0o755)).expect("a program");
    scanner
}

/// A policy that selects all of it.
#[expect(clippy::unnecessary_wraps, reason = "as a source of policies answers")]
pub(crate) fn policy() -> Result<Workflow, PolicyReadError> {
    let policy = r#"{"version": "v1", "tag-convention": "incremental",
        "repositories": [{"repository": "python", "tags": ["*"]}]}"#;
    let created = "2024-01-03T09:30:00Z".parse().expect("a time");
    let schedule = "7d".parse().expect("a schedule");
    Ok(Workflow::new(
        policy,
        schedule,
        Dialect::Documented,
        created,
    ))
}
