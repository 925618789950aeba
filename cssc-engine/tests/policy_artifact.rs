//! The policy in a registry: distribution as Debian packages it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

#[path = "../../cssc-registry/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::process::Command;

use cssc_core::{Listing, Repository, TagRef};
use cssc_engine::policy_artifact::{PolicyArtifact, PolicyDeletion};
use cssc_registry::{OciOptions, OciRegistry, RegistryClient};
use support::{DockerRegistry, Setup, has_tools};

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn found(listing: Listing) -> Vec<String> {
    match listing {
        Listing::Found(tags) => tags.iter().map(|tag: TagRef| tag.to_string()).collect(),
        listing => panic!("{listing:?}"),
    }
}

#[test]
fn the_policy_is_stored_read_and_deleted() {
    if !has_tools(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = DockerRegistry::start(Setup::default());
    let options = OciOptions::default().credential_files(Vec::new());
    let client = OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap();
    let policy = br#"{"version": "v1", "repositories": []}"#;
    let annotations = BTreeMap::from([("dev.cssc.schedule".to_owned(), "7d".to_owned())]);
    assert_eq!(PolicyArtifact::pull(&client), Ok(None));
    assert!(PolicyArtifact::delete(&client).unwrap_err().is_absent());
    let digest = PolicyArtifact::push(&client, policy, &annotations).unwrap();
    let stored = PolicyArtifact::pull(&client).unwrap().unwrap();
    assert_eq!(stored.policy, policy);
    assert_eq!(stored.annotations, annotations);
    assert_eq!(stored.digest, digest);

    // Another client reads it, and what that client pushes is read.
    let directory = tempfile::tempdir().unwrap();
    let remote = |tag| {
        format!(
            "docker://{}/csscpolicies/patchpolicy:{tag}",
            registry.host()
        )
    };
    let local = format!("oci:{}:v1", directory.path().display());
    let copy = |from: &str, to: &str| {
        let status = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet"])
            .args([
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
                from,
                to,
            ])
            .status();
        assert!(status.unwrap().success());
    };
    copy(&remote("v1"), &local);
    assert_eq!(PolicyArtifact::delete(&client), Ok(PolicyDeletion::Deleted));
    assert_eq!(PolicyArtifact::pull(&client), Ok(None));
    copy(&local, &remote("v1"));
    assert_eq!(PolicyArtifact::pull(&client), Ok(Some(stored)));

    // With a second tag on the manifest, the policy's tag goes alone.
    copy(&local, &remote("backup"));
    assert_eq!(
        PolicyArtifact::delete(&client),
        Ok(PolicyDeletion::Untagged {
            shared_with: vec!["backup".parse().unwrap()]
        })
    );
    assert_eq!(PolicyArtifact::pull(&client), Ok(None));
    let tags = client.list_tags(&repository("csscpolicies/patchpolicy"));
    assert_eq!(found(tags), ["backup"]);
}
