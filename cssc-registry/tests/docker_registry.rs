//! Against distribution as Debian packages it.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod support;

use std::process::Command;

use cssc_core::tags::TagSet;
use cssc_core::{Listing, Repository, TagRef};
use cssc_registry::{
    Credential, Descriptor, LayoutRegistry, Manifest, OciOptions, OciRegistry, Reference,
    RegistryClient, TagDeletion, delete_tag,
};
use support::{DockerRegistry, PASSWORD, Setup, USER, has_tools};

const TOOLS: [&str; 4] = ["docker-registry", "skopeo", "openssl", "htpasswd"];

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse().unwrap())
}

fn options() -> OciOptions {
    OciOptions::default().credential_files(Vec::new())
}

fn client(registry: &DockerRegistry, options: OciOptions) -> OciRegistry {
    OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap()
}

fn found(listing: Listing) -> Vec<String> {
    match listing {
        Listing::Found(tags) => tags.iter().map(|tag: TagRef| tag.to_string()).collect(),
        listing => panic!("{listing:?}"),
    }
}

#[test]
fn lists_reads_writes_and_deletes() {
    if !has_tools(&TOOLS) {
        return;
    }
    let registry = DockerRegistry::start(Setup::default());
    registry.push("python", &["3.11", "3.11-1", "3.10"], "one");
    registry.push("org/app", &["1.0"], "two");
    let client = client(&registry, options());
    let python = repository("python");
    assert_eq!(found(client.list_tags(&python)), ["3.10", "3.11", "3.11-1"]);
    assert_eq!(found(client.list_tags(&repository("org/app"))), ["1.0"]);
    assert_eq!(client.list_tags(&repository("redis")), Listing::Absent);

    // A tag is resolved to what skopeo calls it, and its manifest put under another tag.
    let descriptor = client.resolve(&python, &tag("3.11")).unwrap().unwrap();
    let inspected = Command::new("skopeo")
        .args(["inspect", "--tls-verify=false", "--format={{.Digest}}"])
        .arg(format!("docker://{}/python:3.11", registry.host()))
        .output();
    let inspected = String::from_utf8(inspected.unwrap().stdout).unwrap();
    assert_eq!(inspected.trim(), descriptor.digest.as_str());
    assert_eq!(client.resolve(&python, &tag("3.9")), Ok(None));
    assert_eq!(client.resolve(&repository("redis"), &tag("7")), Ok(None));
    let manifest = client.get_manifest(&python, &tag("3.11")).unwrap();
    assert_eq!(manifest.descriptor(), descriptor);
    client
        .put_manifest(&python, &tag("candidate"), &manifest)
        .unwrap();
    assert_eq!(
        client.resolve(&python, &tag("candidate")),
        Ok(Some(descriptor.clone()))
    );

    // A tag goes, the others of its manifest stay, which this registry cannot do by itself.
    let candidate = "candidate".parse().unwrap();
    let removed = Ok(TagDeletion::Removed);
    assert_eq!(delete_tag(&client, &python, &candidate), removed);
    assert_eq!(found(client.list_tags(&python)), ["3.10", "3.11", "3.11-1"]);
    assert_eq!(
        client.resolve(&python, &tag("3.11")),
        Ok(Some(descriptor.clone()))
    );
    assert_eq!(delete_tag(&client, &python, &candidate), removed);

    // By digest all tags go, and the repository that is left is empty, not absent.
    let digest = Reference::Digest(descriptor.digest);
    client.delete(&python, &digest).unwrap();
    assert_eq!(client.list_tags(&python), Listing::Found(TagSet::default()));
    let error = client.delete(&python, &digest).unwrap_err();
    assert!(error.is_absent(), "{error}");
}

#[test]
fn blobs_and_manifests_arrive_as_they_were_sent() {
    if !has_tools(&TOOLS) {
        return;
    }
    let registry = DockerRegistry::start(Setup::default());
    let client = client(&registry, options());
    let name = repository("new/one");
    let bytes = b"some bytes";
    let digest = client.put_blob(&name, bytes).unwrap();
    assert_eq!(client.put_blob(&name, bytes), Ok(digest));
    let blob = Descriptor::of("text/plain", bytes);
    assert_eq!(client.get_blob(&name, &blob, 10).unwrap(), bytes);
    let error = client.get_blob(&name, &blob, 9).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("it is too large: 10 bytes, at most 9 are read")
    );
    let missing = Descriptor::of("text/plain", b"other");
    assert!(
        client
            .get_blob(&name, &missing, 10)
            .unwrap_err()
            .is_absent()
    );
    // A manifest that refers to what is not there is refused.
    let manifest = Manifest {
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        bytes: serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": missing, "layers": [],
        })
        .to_string()
        .into_bytes(),
    };
    let error = client
        .put_manifest(&name, &tag("a"), &manifest)
        .unwrap_err();
    assert!(error.to_string().contains("400 Bad Request"), "{error}");
}

#[test]
fn deletion_that_is_forbidden_is_told() {
    if !has_tools(&TOOLS) {
        return;
    }
    let registry = DockerRegistry::start(Setup {
        forbid_deletion: true,
        ..Setup::default()
    });
    registry.push("python", &["3.11"], "one");
    let client = client(&registry, options());
    let python = repository("python");
    let found = client.resolve(&python, &tag("3.11")).unwrap().unwrap();
    for reference in [tag("3.11"), Reference::Digest(found.digest.clone())] {
        let error = client.delete(&python, &reference).unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "cannot delete `python{reference}`: `{}` answered 405 Method Not Allowed \
                 (UNSUPPORTED: The operation is unsupported.): the registry forbids deletion; \
                 allow it in its settings, or delete there",
                registry.host()
            )
        );
    }
    assert_eq!(client.resolve(&python, &tag("3.11")), Ok(Some(found)));
}

#[test]
fn tls_and_a_password() {
    if !has_tools(&TOOLS) {
        return;
    }
    let registry = DockerRegistry::start(Setup {
        tls: true,
        password: true,
        forbid_deletion: false,
    });
    registry.push("python", &["3.11"], "one");
    let python = repository("python");
    let unavailable = |options| match client(&registry, options).list_tags(&python) {
        Listing::Unavailable(reason) => reason.to_string().replace(&registry.host(), "HOST"),
        listing => panic!("{listing:?}"),
    };
    let trusting = options().ca_file(registry.certificate());
    let me = Credential::password(USER, PASSWORD);

    let known = client(&registry, trusting.clone().credential(me.clone()));
    assert_eq!(found(known.list_tags(&python)), ["3.11"]);
    assert!(known.resolve(&python, &tag("3.11")).unwrap().is_some());
    known.put_blob(&python, b"blob").unwrap();
    let deleted = delete_tag(&known, &python, &"3.11".parse().unwrap());
    assert_eq!(deleted, Ok(TagDeletion::Removed));

    let reason = unavailable(trusting.clone());
    assert!(
        reason.starts_with(
            "`HOST` answered 401 Unauthorized (UNAUTHORIZED: authentication required)"
        ),
        "{reason}"
    );
    assert!(
        reason.contains("log in with `docker login HOST`"),
        "{reason}"
    );
    let reason = unavailable(
        trusting
            .clone()
            .credential(Credential::password(USER, "hunter2")),
    );
    assert!(
        reason.ends_with("the credentials used were those given"),
        "{reason}"
    );
    assert!(!reason.contains("hunter2"));
    let reason = unavailable(options().credential(me.clone()));
    assert!(
        reason.starts_with("no secure connection to `HOST`: "),
        "{reason}"
    );
    let skipping = options().credential(me).insecure_skip_tls_verify(true);
    let skipping = client(&registry, skipping);
    assert!(matches!(skipping.list_tags(&python), Listing::Found(_)));

    // The same from a file that a login has left.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let auth =
        serde_json::json!({"auths": {registry.host(): {"username": USER, "password": PASSWORD}}});
    std::fs::write(&file, auth.to_string()).unwrap();
    let stored = client(&registry, trusting.credential_files(vec![file]));
    assert!(matches!(stored.list_tags(&python), Listing::Found(_)));
}

#[test]
fn a_layout_that_skopeo_writes() {
    if !has_tools(&["skopeo"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    support::write_layout(&source, "image", "one");
    for name in ["python:3.11", "python:3.11-1", "library/ubuntu:jammy"] {
        let target = directory.path().join("images").join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        let status = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet"])
            .arg(format!("oci:{}:image", source.display()))
            .arg(format!("oci:{}", target.display()))
            .status();
        assert!(status.unwrap().success());
    }
    let registry = LayoutRegistry::open(&directory.path().join("images")).unwrap();
    let python = repository("python");
    assert_eq!(found(registry.list_tags(&python)), ["3.11", "3.11-1"]);
    assert_eq!(
        found(registry.list_tags(&repository("library/ubuntu"))),
        ["jammy"]
    );
    assert_eq!(registry.list_tags(&repository("library")), Listing::Absent);
    let manifest = registry.get_manifest(&python, &tag("3.11")).unwrap();
    registry
        .put_manifest(&python, &tag("new"), &manifest)
        .unwrap();
    registry.delete(&python, &tag("3.11")).unwrap();
    // What was written is what skopeo reads.
    let inspected = Command::new("skopeo")
        .args(["inspect", "--format={{.Digest}}"])
        .arg(format!(
            "oci:{}:new",
            directory.path().join("images/python").display()
        ))
        .output();
    let inspected = String::from_utf8(inspected.unwrap().stdout).unwrap();
    assert_eq!(inspected.trim(), manifest.descriptor().digest.as_str());
}
