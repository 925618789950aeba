//! What is attached to patched images, and signed, before they have a tag: on a registry with an
//! API for referrers and on one without, with stand-ins for Trivy and Copa.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly, also in its helpers"
)]

#[path = "../../cssc-engine/tests/standin/mod.rs"]
mod standin;
#[path = "../../cssc-registry/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use cssc_core::{Digest, Registry, Repository};
use cssc_registry::{
    Artifact, OciOptions, OciRegistry, Reference, Referrer, ReferrersFallback, RegistryClient,
    attach,
};
use serde_json::{Value, json};
use support::olareg::Olareg;
use support::{DockerRegistry, Setup, has_tools, write_layout};

struct Place {
    folder: tempfile::TempDir,
    host: String,
    client: OciRegistry,
}

impl Place {
    fn on(host: String) -> Self {
        let registry: Registry = host.parse().unwrap();
        let client = OciRegistry::new(&registry, OciOptions::default().anonymous()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let policy =
            r#"{"version": "v1", "repositories": [{"repository": "python", "tags": ["*"]}]}"#;
        fs::write(folder.path().join("policy.json"), policy).unwrap();
        let place = Self {
            folder,
            host,
            client,
        };
        place.push("3.11", "CVE-1=2.0 CVE-2=2.0 CVE-3=");
        place
    }

    fn push(&self, tag: &str, content: &str) {
        let layout = tempfile::tempdir().unwrap();
        write_layout(layout.path(), tag, content);
        let copied = Command::new("skopeo")
            .args(["copy", "--insecure-policy", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:{tag}", layout.path().display()))
            .arg(format!("docker://{}/python:{tag}", self.host))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{copied:?}");
    }

    fn run(&self, words: &str) -> Output {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(standin::folder()).chain(std::env::split_paths(&path));
        Command::new(env!("CARGO_BIN_EXE_cssc"))
            .current_dir(self.folder.path())
            .args([
                "workflow",
                "run",
                "--config",
                "policy.json",
                "--pause",
                "1s",
            ])
            .args(["--registry", &self.host])
            .args(words.split_whitespace())
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("XDG_STATE_HOME", self.folder.path())
            .env("STANDIN_FAULTS", "")
            .env("STANDIN_FOLDER", self.folder.path())
            .env("FOLDER", self.folder.path())
            .output()
            .unwrap()
    }

    /// A program that notes what it is to sign and what the registry has of it at that moment.
    fn signer(&self, more: &str) -> String {
        let path = self.folder.path().join("sign");
        let script = format!(
            "#!/bin/sh\n\
             digest=${{CSSC_IMAGE#*@}}\n\
             skopeo inspect --tls-verify=false docker://{host}/python:$CSSC_TAG >&2 && tag=there\n\
             echo \"$CSSC_IMAGE ${{tag:-none}}\" >>\"$FOLDER/signed\"\n{more}",
            host = self.host
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    fn digest(&self, tag: &str) -> Option<Digest> {
        let reference = Reference::Tag(tag.parse().unwrap());
        let descriptor = self.client.resolve(&python(), &reference).unwrap();
        descriptor.map(|descriptor| descriptor.digest)
    }

    fn referrers(&self, digest: &Digest) -> Vec<Referrer> {
        self.client.referrers(&python(), digest, None).unwrap()
    }

    /// The documents that are attached, by what they are.
    fn attached(&self, digest: &Digest) -> BTreeMap<String, Value> {
        let referrers = self.referrers(digest).into_iter();
        referrers
            .map(|referrer| {
                let annotations = &referrer.annotations;
                let kind = annotations.get("in-toto.io/predicate-type");
                let kind = kind.unwrap_or(&referrer.artifact_type);
                let part = annotations.get("dev.cssc.scan");
                let part = part.map(|part| format!(" {part}")).unwrap_or_default();
                let reference = Reference::Digest(referrer.descriptor.digest.clone());
                let manifest = self.client.get_manifest(&python(), &reference).unwrap();
                let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
                let layer = serde_json::from_value(manifest["layers"][0].clone()).unwrap();
                let layer = self.client.get_blob(&python(), &layer, 1 << 20).unwrap();
                (
                    format!("{kind}{part}"),
                    serde_json::from_slice(&layer).unwrap(),
                )
            })
            .collect()
    }
}

fn python() -> Repository {
    "python".parse().unwrap()
}

const KINDS: [&str; 5] = [
    "application/vnd.cyclonedx+json",
    "https://cosign.sigstore.dev/attestation/vuln/v1 after",
    "https://cosign.sigstore.dev/attestation/vuln/v1 before",
    "https://openvex.dev/ns/v0.2.0",
    "https://slsa.dev/provenance/v1",
];

#[test]
fn everything_is_attached_and_signed_before_the_tag_is_there() {
    if !has_tools(&["olareg", "skopeo", "python3"]) {
        return;
    }
    let registry = Olareg::start();
    let place = Place::on(registry.host());
    // The first attempt to sign fails: what is attached by then is not attached again.
    let sign = place.signer("[ -e \"$FOLDER/second\" ] || { : >\"$FOLDER/second\"; exit 3; }\n");
    let said = place.run(&format!("--attempts 2 --sign-command {sign}"));
    assert!(said.status.success(), "{said:?}");
    let digest = place.digest("3.11-1").unwrap();
    let signed = fs::read_to_string(place.folder.path().join("signed")).unwrap();
    let line = format!("{}/python@{digest} none\n", place.host);
    assert_eq!(signed, line.repeat(2));

    assert_eq!(place.referrers(&digest).len(), KINDS.len());
    let attached = place.attached(&digest);
    assert_eq!(attached.keys().collect::<Vec<_>>(), KINDS);
    let original = place.digest("3.11").unwrap();
    let subject = |digest: &Digest| json!([{"name": format!("{}/python", place.host), "digest": {"sha256": digest.hex()}}]);
    for (kind, statement) in attached.iter().skip(1) {
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        let predicate_type = kind.split(' ').next().unwrap();
        assert_eq!(statement["predicateType"], predicate_type);
        let of = if kind.ends_with("before") {
            &original
        } else {
            &digest
        };
        assert_eq!(statement["subject"], subject(of));
    }

    let vex = &attached[KINDS[3]]["predicate"];
    assert_eq!(vex["@context"], "https://openvex.dev/ns/v0.2.0");
    let statements = vex["statements"].as_array().unwrap();
    assert_eq!(statements.len(), 2, "what has no fix is not fixed: {vex}");
    assert_eq!(
        statements[0],
        json!({
            "vulnerability": {"name": "CVE-1"},
            "status": "fixed",
            "products": [{
                "@id": format!("pkg:oci/python@{digest}"),
                "subcomponents": [{"@id": "pkg:deb/debian/libcve-1@1.0"}],
            }],
        })
    );
    let provenance = &attached[KINDS[4]]["predicate"];
    let build = &provenance["buildDefinition"];
    assert_eq!(
        build["externalParameters"],
        json!({
            "original": format!("{}/python:3.11", place.host),
            "platform": "linux/amd64", "patcher": "copa",
        })
    );
    let dependency = &build["resolvedDependencies"][0];
    assert_eq!(dependency["digest"]["sha256"], original.hex());
    let versions = &provenance["runDetails"]["builder"]["version"];
    assert_eq!(versions["trivy"], "0.60.0");
    assert_eq!(versions["copa"], "0.14.2");
    let scans = [KINDS[2], KINDS[1]].map(|kind| &attached[kind]["predicate"]["scanner"]);
    assert_eq!(scans[0]["db"]["lastUpdate"], "2026-01-01T00:00:00Z");
    let found = scans.map(|scan| {
        let found = scan["result"]["Results"][0]["Vulnerabilities"].as_array();
        found.unwrap().len()
    });
    assert_eq!(found, [3, 1]);
    assert_eq!(attached[KINDS[0]]["bomFormat"], "CycloneDX");

    // The registry alone tells the story.
    let show = |format: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_cssc"))
            .args([
                "image",
                "show",
                "python:3.11-1",
                "-r",
                &place.host,
                "-o",
                format,
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let story: Value = serde_json::from_str(&show("json")).unwrap();
    assert_eq!(story["original"]["digest"], original.as_str());
    let patch = &story["patches"][0];
    assert_eq!(patch["digest"], digest.as_str());
    assert_eq!(patch["origin"], original.as_str());
    let platform = &patch["platforms"][0];
    assert_eq!(platform["fixed"], json!(["CVE-1", "CVE-2"]));
    assert_eq!(platform["attached"][KINDS[3]], 1);
    let table = show("table");
    let row = table.lines().nth(2).unwrap();
    let words: Vec<&str> = row.split("  ").filter(|word| !word.is_empty()).collect();
    assert_eq!(words[..2], ["3.11-1", "linux/amd64"]);
    assert_eq!(words[3], "the original");
    assert_eq!(words[5..], ["2", "5"]);
}

/// What is attached to a patch says nothing to a scan, whoever attached it: an SBOM without packages
/// would make a vulnerable patch look clean.
#[test]
fn an_attached_sbom_is_never_scanned() {
    if !has_tools(&["olareg", "skopeo", "python3"]) {
        return;
    }
    let registry = Olareg::start();
    let place = Place::on(registry.host());
    let calls = || {
        let path = place.folder.path().join("calls");
        let calls = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        calls
    };
    assert!(place.run("").status.success());
    calls();
    let digest = place.digest("3.11-1").unwrap();
    let ours = place.referrers(&digest).into_iter();
    let ours: Vec<_> = ours.filter(|one| one.artifact_type == KINDS[0]).collect();
    assert_eq!(ours.len(), 1);
    // With the annotations of the cycle itself, in its place.
    let reference = Reference::Digest(ours[0].descriptor.digest.clone());
    place.client.delete(&python(), &reference).unwrap();
    let manifest = place
        .client
        .get_manifest(&python(), &Reference::Digest(digest.clone()));
    let forged = Artifact::new(KINDS[0])
        .layer(KINDS[0], r#"{"bomFormat": "CycloneDX", "components": []}"#)
        .annotations(ours[0].annotations.clone())
        .subject(manifest.unwrap().descriptor());
    attach(&place.client, &python(), &forged, ReferrersFallback::Never).unwrap();
    assert!(place.run("").status.success());
    assert_eq!(calls(), format!("trivy python:{digest}\n"));
}

#[test]
fn what_cannot_be_signed_is_not_published() {
    if !has_tools(&["olareg", "skopeo", "python3"]) {
        return;
    }
    let registry = Olareg::start();
    let place = Place::on(registry.host());
    let sign = place.signer("echo 'no key' >&2; exit 1\n");
    let said = place.run(&format!("--attempts 1 --sign-command {sign}"));
    assert_eq!(said.status.code(), Some(1));
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains("no key"), "{told}");
    assert_eq!(place.digest("3.11-1"), None);
}

#[test]
fn without_the_api_nothing_is_attached_unless_that_is_asked_for() {
    if !has_tools(&["docker-registry", "skopeo", "python3"]) {
        return;
    }
    let registry = DockerRegistry::start(Setup::default());
    let place = Place::on(registry.host());
    let tags = || match place.client.list_tags(&python()) {
        cssc_core::Listing::Found(tags) => tags.iter().map(|tag| tag.to_string()).collect(),
        _ => Vec::new(),
    };
    assert!(place.run("").status.success());
    assert_eq!(tags(), ["3.11", "3.11-1"]);
    assert_eq!(place.referrers(&place.digest("3.11-1").unwrap()), []);

    place.push("3.12", "CVE-4=2.0");
    assert!(place.run("--attach always").status.success());
    let digest = place.digest("3.12-1").unwrap();
    let fallback = format!("sha256-{}", digest.hex());
    assert_eq!(tags(), ["3.11", "3.11-1", "3.12", "3.12-1", &fallback]);
    assert_eq!(place.attached(&digest).keys().collect::<Vec<_>>(), KINDS);

    // The index of referrers is no image, so nothing is done with it.
    let said = place.run("--attach always");
    assert!(said.status.success(), "{said:?}");
    assert_eq!(tags().len(), 5);
}
