//! Artifacts, referrers and deletion: one suite over registries that differ in all of them, a
//! tree of layouts among them.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod support;

use std::io::Read as _;

use cssc_core::{Listing, Repository, Tag};
use cssc_registry::{
    Artifact, Attachment, Descriptor, LayoutRegistry, Manifest, OciOptions, OciRegistry, Reference,
    ReferrersFallback, RegistryClient, TagDeletion, attach, delete_tag, media_type,
};
use support::olareg::Olareg;
use support::{DockerRegistry, Setup, has_tools};

const NOTE: &str = "application/vnd.example.note.v1";
const OTHER: &str = "application/vnd.example.other.v1";

/// What a registry can do by itself.
struct Abilities {
    has_referrers_api: bool,
    deletes: bool,
}

fn repository() -> Repository {
    "team/python".parse().unwrap()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn by_tag(name: &str) -> Reference {
    Reference::Tag(tag(name))
}

fn tags(client: &dyn RegistryClient) -> Vec<String> {
    match client.list_tags(&repository()) {
        Listing::Found(tags) => tags.iter().map(|tag| tag.to_string()).collect(),
        listing => panic!("{listing:?}"),
    }
}

fn over_http(host: &str) -> OciRegistry {
    let options = OciOptions::default().anonymous();
    OciRegistry::new(&host.parse().unwrap(), options).unwrap()
}

fn suite(client: &dyn RegistryClient, abilities: &Abilities) {
    let subject = artifacts_are_stored_and_read(client);
    blobs_of_any_size_go_by_file(client);
    referrers_are_found(client, &subject, abilities);
    a_tag_is_deleted_alone(client, abilities);
}

fn blobs_of_any_size_go_by_file(client: &dyn RegistryClient) {
    client.check_push(&repository()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer");
    for size in [0, 1, 1 << 20, (3 << 20) + 1] {
        let bytes: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[1]).collect();
        std::fs::write(&path, &bytes).unwrap();
        let blob = Descriptor::of("", &bytes);
        assert_eq!(client.has_blob(&repository(), &blob.digest), Ok(false));
        let missing = client.open_blob(&repository(), &blob).unwrap_err();
        assert!(missing.is_absent(), "{missing}");
        let mut other = blob.clone();
        other.digest = cssc_registry::digest::of(b"other");
        let error = client.put_blob_file(&repository(), &other, &path);
        assert!(error.unwrap_err().is_invalid_input(), "{size}");
        assert_eq!(client.has_blob(&repository(), &other.digest), Ok(false));
        for _ in 0..2 {
            (client.put_blob_file(&repository(), &blob, &path)).unwrap();
        }
        assert_eq!(client.has_blob(&repository(), &blob.digest), Ok(true));
        let mut read = Vec::new();
        let mut reader = client.open_blob(&repository(), &blob).unwrap();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes, "{size}");
    }
}

fn artifacts_are_stored_and_read(client: &dyn RegistryClient) -> Descriptor {
    let artifact = Artifact::new(NOTE)
        .file("note.txt", "text/plain", "a note")
        .annotation("who", "me");
    let stored = artifact
        .push(client, &repository(), Some(&by_tag("note")))
        .unwrap();
    assert_eq!(stored, artifact.manifest().descriptor());
    let read = client.get_manifest(&repository(), &by_tag("note")).unwrap();
    assert_eq!(read, artifact.manifest());
    let manifest: serde_json::Value = serde_json::from_slice(&read.bytes).unwrap();
    let layer: Descriptor = serde_json::from_value(manifest["layers"][0].clone()).unwrap();
    let bytes = client.get_blob(&repository(), &layer, 100).unwrap();
    assert_eq!(bytes, b"a note");
    assert_eq!(tags(client), ["note"]);
    stored
}

fn referrers_are_found(client: &dyn RegistryClient, subject: &Descriptor, abilities: &Abilities) {
    let repository = repository();
    let has_api = client.has_referrers_api(&repository).unwrap();
    assert_eq!(has_api, abilities.has_referrers_api);
    let listed = |artifact_type| {
        client
            .referrers(&repository, &subject.digest, artifact_type)
            .unwrap()
    };
    assert_eq!(listed(None), []);
    let about = |artifact_type, text: &str| {
        Artifact::new(artifact_type)
            .layer("text/plain", text)
            .annotation("text", text)
            .subject(subject.clone())
    };
    let first = about(NOTE, "first");
    let attached = attach(client, &repository, &first, ReferrersFallback::Never).unwrap();
    let descriptor = first.manifest().descriptor();
    if has_api {
        assert_eq!(attached, Attachment::Attached(descriptor.clone()));
    } else {
        assert_eq!(attached, Attachment::Unsupported);
        let reference = Reference::Digest(descriptor.digest.clone());
        assert_eq!(client.resolve(&repository, &reference), Ok(None));
    }
    for artifact in [
        &first,
        &first,
        &about(NOTE, "second"),
        &about(OTHER, "third"),
    ] {
        attach(client, &repository, artifact, ReferrersFallback::Tag).unwrap();
    }
    assert_eq!(listed(None).len(), 3);
    let notes = listed(Some(NOTE));
    assert_eq!(notes.len(), 2);
    let found = notes.iter().find(|note| note.descriptor == descriptor);
    let found = found.unwrap();
    assert_eq!(found.artifact_type, NOTE);
    assert_eq!(found.annotations["text"], "first");
    assert_eq!(listed(Some("application/vnd.example.none")), []);
    // Only the fallback needs a tag.
    let fallback = subject.digest.as_str().replace(':', "-");
    let has_fallback = tags(client).contains(&fallback);
    assert_eq!(has_fallback, !abilities.has_referrers_api);
}

fn a_tag_is_deleted_alone(client: &dyn RegistryClient, abilities: &Abilities) {
    let repository = repository();
    let image = Artifact::new(NOTE).layer("text/plain", "an image");
    for name in ["3.11-1", "candidate"] {
        image
            .push(client, &repository, Some(&by_tag(name)))
            .unwrap();
    }
    let deleted = delete_tag(client, &repository, &tag("candidate")).unwrap();
    let published = client.resolve(&repository, &by_tag("3.11-1")).unwrap();
    assert_eq!(published, Some(image.manifest().descriptor()));
    if abilities.deletes {
        assert_eq!(deleted, TagDeletion::Removed);
        assert!(!tags(client).contains(&"candidate".to_owned()));
    } else {
        assert_eq!(deleted, TagDeletion::Emptied);
        let left = client.resolve(&repository, &by_tag("candidate")).unwrap();
        assert_ne!(left.unwrap().digest, image.manifest().descriptor().digest);
    }
    // Once more comes to the same.
    let again = delete_tag(client, &repository, &tag("candidate")).unwrap();
    assert_eq!(again, deleted);
    let never = delete_tag(client, &repository, &tag("never")).unwrap();
    assert_eq!(never, TagDeletion::Removed);
}

#[test]
fn a_registry_that_lists_no_referrers_and_deletes_no_tag() {
    if !has_tools(&["docker-registry"]) {
        return;
    }
    let registry = DockerRegistry::start(Setup::default());
    let abilities = Abilities {
        has_referrers_api: false,
        deletes: true,
    };
    suite(&over_http(&registry.host()), &abilities);
}

#[test]
fn a_registry_that_deletes_nothing() {
    if !has_tools(&["docker-registry"]) {
        return;
    }
    let registry = DockerRegistry::start(Setup {
        forbid_deletion: true,
        ..Setup::default()
    });
    let abilities = Abilities {
        has_referrers_api: false,
        deletes: false,
    };
    suite(&over_http(&registry.host()), &abilities);
}

#[test]
fn a_registry_that_lists_referrers_and_deletes_tags() {
    if !has_tools(&["olareg"]) {
        return;
    }
    let registry = Olareg::start();
    let abilities = Abilities {
        has_referrers_api: true,
        deletes: true,
    };
    suite(&over_http(&registry.host()), &abilities);
}

#[test]
fn a_tree_of_layouts() {
    let folder = tempfile::tempdir().unwrap();
    let abilities = Abilities {
        has_referrers_api: true,
        deletes: true,
    };
    suite(&LayoutRegistry::open(folder.path()).unwrap(), &abilities);
}

#[test]
fn layouts_as_other_tools_leave_them() {
    let folder = tempfile::tempdir().unwrap();
    let registry = LayoutRegistry::open(folder.path()).unwrap();
    let repository = repository();
    let subject = Descriptor::of("text/plain", b"subject");
    let listed = || registry.referrers(&repository, &subject.digest, None);
    assert_eq!(listed(), Ok(Vec::new()));
    let note = Artifact::new(NOTE).subject(subject.clone());
    note.push(&registry, &repository, None).unwrap();
    // One is also, and another only, in the index that a tag keeps; a third is nowhere any more.
    let other = Artifact::new(OTHER).manifest().descriptor();
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [note.manifest().descriptor(), other],
    });
    let index = Manifest {
        media_type: media_type::IMAGE_INDEX.to_owned(),
        bytes: index.to_string().into_bytes(),
    };
    let fallback = by_tag(&subject.digest.as_str().replace(':', "-"));
    registry
        .put_manifest(&repository, &fallback, &index)
        .unwrap();
    let gone = Artifact::new(NOTE).annotation("is", "gone");
    let gone = gone.push(&registry, &repository, None).unwrap();
    let path = format!("team/python/blobs/sha256/{}", gone.digest.hex());
    std::fs::remove_file(folder.path().join(path)).unwrap();
    let found: Vec<Descriptor> = listed()
        .unwrap()
        .into_iter()
        .map(|found| found.descriptor)
        .collect();
    assert_eq!(found, [note.manifest().descriptor(), other]);
}
