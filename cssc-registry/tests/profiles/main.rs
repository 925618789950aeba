//! Everything that a client can be asked for, at registries with the habits of those that there
//! are.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod server;
mod table;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use cssc_core::{Listing, Repository};
use cssc_registry::media_type::IMAGE_MANIFEST;
use cssc_registry::{
    Artifact, Attachment, Credential, Descriptor, Image, Manifest, OciOptions, OciRegistry,
    Reference, ReferrersFallback, RegistryClient, TagDeletion, attach, check_deletion, delete_tag,
};
use serde_json::json;

use server::Server;
use table::{ALL, Login, Profile};

const NOTE: &str = "application/vnd.example.note.v1";

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse().unwrap())
}

/// The client of a server, and the name of a repository there as the server knows it.
fn client(server: &Server, profile: &Profile, options: OciOptions) -> OciRegistry {
    let host = server.registry.host();
    let name = match profile.prefix {
        "" => host,
        prefix => format!("{host}/{prefix}"),
    };
    OciRegistry::new(&name.parse().unwrap(), options).unwrap()
}

fn with_password(server: &Server, profile: &Profile) -> OciRegistry {
    let options = OciOptions::default()
        .credential(Credential::password("me", "first"))
        .attempts(1);
    client(server, profile, options)
}

fn full_name(profile: &Profile, name: &str) -> String {
    match profile.prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}/{name}"),
    }
}

/// Runs a check at a fresh server of each profile.
fn each(check: impl Fn(&Server, &Profile, &OciRegistry)) {
    for profile in ALL {
        eprintln!("at {}", profile.name);
        let server = Server::start(profile);
        let client = with_password(&server, profile);
        check(&server, profile, &client);
    }
}

/// Stores an image and says what it is.
fn push_image(client: &OciRegistry, name: &Repository, tags: &[&str], content: &str) -> Descriptor {
    let config = json!({"os": "linux", "architecture": "amd64", "comment": content});
    let config = config.to_string().into_bytes();
    client.put_blob(name, &config).unwrap();
    let layer = client.put_blob(name, b"layer").unwrap();
    let config = Descriptor::of("application/vnd.oci.image.config.v1+json", &config);
    let layer =
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 5});
    let document = json!({
        "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config, "layers": [layer],
    });
    let manifest = Manifest {
        media_type: IMAGE_MANIFEST.to_owned(),
        bytes: document.to_string().into_bytes(),
    };
    for name_of_tag in tags {
        client
            .put_manifest(name, &tag(name_of_tag), &manifest)
            .unwrap();
    }
    manifest.descriptor()
}

#[test]
fn a_repository_that_is_not_there_is_written_or_told_to_be_missing() {
    each(|server, profile, client| {
        let name = repository("new/one");
        match client.list_tags(&name) {
            Listing::Absent => assert_eq!(profile.unknown_repository.0, 404),
            Listing::Unavailable(_) => assert_ne!(profile.unknown_repository.0, 404),
            listing @ Listing::Found(_) => panic!("{listing:?}"),
        }
        assert_eq!(client.resolve_to_write(&name, &tag("a")), Ok(None));
        assert_eq!(client.check_push(&name).is_ok(), profile.creates);
        let note = Artifact::new(NOTE).layer("text/plain", "a note");
        let pushed = note.push(client, &name, Some(&tag("a")));
        if !profile.creates {
            let error = pushed.unwrap_err().to_string();
            assert!(
                error.contains("the repository has to be created first"),
                "{error}"
            );
            server.create(&full_name(profile, "new/one"), std::iter::empty());
            note.push(client, &name, Some(&tag("a"))).unwrap();
        }
        let there = client.resolve_to_write(&name, &tag("a")).unwrap();
        assert_eq!(there, client.resolve(&name, &tag("a")).unwrap());
        assert!(there.is_some());
        let manifest = client.get_manifest(&name, &tag("a")).unwrap();
        assert!(Image::read(&manifest).unwrap_err().is_artifact());
    });
}

#[test]
fn blobs_go_there_and_back() {
    each(|server, profile, client| {
        let name = repository("python");
        server.create(&full_name(profile, "python"), std::iter::empty());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer");
        let large: Vec<u8> = (0..(2_u32 << 20)).map(|n| n.to_le_bytes()[1]).collect();
        fs::write(&path, &large).unwrap();
        let blob = Descriptor::of("", &large);
        assert_eq!(client.has_blob(&name, &blob.digest), Ok(false));
        assert!(client.open_blob(&name, &blob).unwrap_err().is_absent());
        client.put_blob_file(&name, &blob, &path).unwrap();
        assert_eq!(client.has_blob(&name, &blob.digest), Ok(true));
        let mut read = Vec::new();
        let mut reader = client.open_blob(&name, &blob).unwrap();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == large);
        client.put_blob(&name, b"small").unwrap();
        let small = Descriptor::of("", b"small");
        assert_eq!(client.get_blob(&name, &small, 5).unwrap(), b"small");
    });
}

#[test]
fn images_are_written_and_resolved() {
    each(|server, profile, client| {
        let name = repository("python");
        server.create(&full_name(profile, "python"), std::iter::empty());
        let image = push_image(client, &name, &["3.11", "3.11-1"], "one");
        let by_digest = Reference::Digest(image.digest.clone());
        for reference in [tag("3.11"), tag("3.11-1"), by_digest.clone()] {
            assert_eq!(client.resolve(&name, &reference), Ok(Some(image.clone())));
            let manifest = client.get_manifest(&name, &reference).unwrap();
            assert_eq!(manifest.descriptor(), image);
            client.put_manifest(&name, &by_digest, &manifest).unwrap();
        }
        let missing = Reference::Digest(cssc_registry::digest::of(b"missing"));
        for reference in [tag("missing"), missing] {
            assert_eq!(client.resolve(&name, &reference), Ok(None));
            assert!(
                client
                    .get_manifest(&name, &reference)
                    .unwrap_err()
                    .is_absent()
            );
        }
        // A tag that may not be written over says so, and stays.
        if let Some((_, code)) = profile.immutable {
            let error = Artifact::new(NOTE).push(client, &name, Some(&tag("3.11")));
            let error = error.unwrap_err();
            assert!(
                !error.is_retryable() && error.code() == Some(code),
                "{error}"
            );
            assert_eq!(client.resolve(&name, &tag("3.11")), Ok(Some(image)));
        }
    });
}

#[test]
fn all_tags_are_listed() {
    each(|server, profile, client| {
        let tags = || (0..2345).map(|number| format!("t{number}"));
        server.create(&full_name(profile, "python"), tags());
        match client.list_tags(&repository("python")) {
            Listing::Found(found) => assert_eq!(found.len(), 2345),
            listing => panic!("{listing:?}"),
        }
    });
}

#[test]
fn what_is_attached_is_found() {
    each(|server, profile, client| {
        let name = repository("python");
        server.create(&full_name(profile, "python"), std::iter::empty());
        let image = push_image(client, &name, &["3.11"], "one");
        let has_api = profile.no_referrers.is_none();
        assert_eq!(client.has_referrers_api(&name), Ok(has_api));
        assert_eq!(client.referrers(&name, &image.digest, None), Ok(Vec::new()));
        let note = Artifact::new(NOTE)
            .layer("text/plain", "a")
            .subject(image.clone());
        let never = attach(client, &name, &note, ReferrersFallback::Never).unwrap();
        assert_eq!(never == Attachment::Unsupported, !has_api);
        let attached = attach(client, &name, &note, ReferrersFallback::Tag).unwrap();
        let Attachment::Attached(attached) = attached else {
            panic!("{attached:?}");
        };
        for kind in [None, Some(NOTE)] {
            let found = client.referrers(&name, &image.digest, kind).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].descriptor.digest, attached.digest);
        }
        let other = client.referrers(&name, &image.digest, Some("a/b"));
        assert_eq!(other, Ok(Vec::new()));
    });
}

#[test]
fn a_tag_is_deleted_and_the_others_stay() {
    each(|server, profile, client| {
        let name = repository("python");
        server.create(&full_name(profile, "python"), std::iter::empty());
        let image = push_image(client, &name, &["3.11", "candidate"], "one");
        let deleted = delete_tag(client, &name, &"candidate".parse().unwrap()).unwrap();
        let denies = matches!(
            profile.login,
            Login::Tokens {
                denies_deletion: true,
                ..
            }
        );
        let is_forbidden = denies
            || profile
                .no_digest_deletion
                .is_some_and(|answer| answer.0 == 405);
        let candidate = client.resolve(&name, &tag("candidate")).unwrap();
        match deleted {
            TagDeletion::Removed => assert_eq!(candidate, None),
            TagDeletion::Emptied => {
                assert!(is_forbidden);
                assert!(candidate.is_some_and(|there| there != image));
            }
            // Neither can it be deleted nor moved.
            TagDeletion::Kept(_) => {
                assert!(profile.immutable.is_some() && profile.no_tag_deletion.is_some());
                assert_eq!(candidate, Some(image.clone()));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(client.resolve(&name, &tag("3.11")), Ok(Some(image)));
        let may_delete = check_deletion(client, &name);
        assert_eq!(may_delete.is_err(), is_forbidden, "{may_delete:?}");
        if let Err(error) = may_delete {
            assert_eq!(error.is_unauthorized(), denies, "{error}");
        }
        // What was deleted can be written again.
        if candidate_state(client, &name).is_none() {
            push_image(client, &name, &["candidate"], "two");
            assert!(candidate_state(client, &name).is_some());
        }
    });
}

fn candidate_state(client: &OciRegistry, name: &Repository) -> Option<Descriptor> {
    client.resolve(name, &tag("candidate")).unwrap()
}

#[test]
fn a_credential_that_ran_out_is_read_again() {
    let store = |path: &Path, host: &str, password: &str| {
        let config = json!({"auths": {host: {"username": "me", "password": password}}});
        fs::write(path, config.to_string()).unwrap();
    };
    for profile in ALL {
        let server = Server::start(profile);
        server.create(
            &full_name(profile, "python"),
            std::iter::once("3.11".to_owned()),
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let host = server.registry.host();
        store(&path, &host, "first");
        let options = OciOptions::default()
            .credential_files(vec![path.clone()])
            .attempts(1);
        let client = client(&server, profile, options);
        let name = repository("python");
        assert!(client.resolve(&name, &tag("3.11")).unwrap().is_some());
        server.want("second");
        store(&path, &host, "second");
        let found = client.resolve(&name, &tag("3.11"));
        assert!(found.unwrap().is_some(), "{}", profile.name);
        // Of what runs out for good the refusal is the error.
        if !matches!(profile.login, Login::Open) {
            server.want("third");
            let error = client.resolve(&name, &tag("3.11")).unwrap_err();
            assert!(error.is_unauthorized(), "{}: {error}", profile.name);
        }
    }
}
