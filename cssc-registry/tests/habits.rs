//! Habits that single registries have and others do not: none of them may end what can go on.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use cssc_core::{Listing, Repository, TagRef};
use cssc_registry::media_type::{DOCKER_MANIFEST, IMAGE_INDEX, IMAGE_MANIFEST};
use cssc_registry::testing::{Reply, TestRegistry, TestRequest};
use cssc_registry::{
    Artifact, Attachment, Credential, Descriptor, Digest, Image, Manifest, NotCoveredReason,
    OciOptions, OciRegistry, Reference, ReferrersFallback, RegistryClient, TagDeletion, attach,
    delete_tag,
};
use serde_json::json;

const TAGS: &str = r#"{"name": "python", "tags": ["3.11"]}"#;
const NOTE: &str = "application/vnd.example.note.v1";

fn python() -> Repository {
    "python".parse().unwrap()
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse().unwrap())
}

fn start(answer: impl Fn(&TestRequest) -> Reply + Send + Sync + 'static) -> TestRegistry {
    TestRegistry::start(answer).unwrap()
}

fn client(registry: &TestRegistry) -> OciRegistry {
    let options = OciOptions::default().anonymous().attempts(1);
    OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap()
}

fn found(listing: &Listing) -> Vec<&str> {
    match listing {
        Listing::Found(tags) => tags.iter().map(TagRef::as_str).collect(),
        listing => panic!("{listing:?}"),
    }
}

/// Blobs and manifests by their digests, and manifests by their tags.
type Kept = BTreeMap<String, Vec<u8>>;

/// A registry that keeps what it is sent, unless `habit` answers otherwise.
fn keeping(
    habit: impl Fn(&TestRequest, &Kept) -> Option<Reply> + Send + Sync + 'static,
) -> TestRegistry {
    let kept = Mutex::new(BTreeMap::new());
    start(move |request| {
        let mut kept = kept.lock().unwrap();
        if let Some(reply) = habit(request, &kept) {
            return reply;
        }
        let name = request.path().rsplit('/').next().unwrap().to_owned();
        let is_manifest = request.path().contains("/manifests/");
        match request.method.as_str() {
            "POST" => Reply::new(202).header("location", "/v2/python/blobs/uploads/1"),
            "PUT" if is_manifest => {
                let digest = cssc_registry::digest::of(&request.body).to_string();
                kept.insert(digest, request.body.clone());
                kept.insert(name, request.body.clone());
                Reply::new(201)
            }
            "PUT" => {
                let digest = request.query("digest").unwrap().replace("%3A", ":");
                kept.insert(digest, request.body.clone());
                Reply::new(201)
            }
            "DELETE" => match kept.remove(&name) {
                Some(_) => Reply::new(202),
                None => Reply::error(404, "MANIFEST_UNKNOWN"),
            },
            _ => match kept.get(&name) {
                Some(bytes) => Reply::new(200)
                    .header(
                        "docker-content-digest",
                        cssc_registry::digest::of(bytes).to_string(),
                    )
                    .body(bytes.clone()),
                None => Reply::error(404, "MANIFEST_UNKNOWN"),
            },
        }
    })
}

#[test]
fn every_code_of_a_404_says_that_it_is_not_there() {
    // As Quay, of tags that were deleted, and others.
    for code in [
        "TAG_EXPIRED",
        "MANIFEST_UNVERIFIED",
        "REPOSITORY_EMPTY",
        "DENIED",
    ] {
        let registry = start(move |_| Reply::error(404, code));
        let client = client(&registry);
        assert_eq!(client.resolve(&python(), &tag("a")), Ok(None), "{code}");
        assert!(
            client
                .get_manifest(&python(), &tag("a"))
                .unwrap_err()
                .is_absent()
        );
        assert_eq!(client.list_tags(&python()), Listing::Absent);
        let nothing = cssc_registry::digest::of(b"");
        assert_eq!(client.has_blob(&python(), &nothing), Ok(false));
        assert_eq!(client.referrers(&python(), &nothing, None), Ok(Vec::new()));
        let error = client.delete(&python(), &tag("a")).unwrap_err();
        assert!(error.is_absent() && error.code() == Some(code), "{error}");
        let tag = "a".parse().unwrap();
        assert_eq!(
            delete_tag(&client, &python(), &tag),
            Ok(TagDeletion::Removed)
        );
    }
    // These say nothing of what was asked for.
    for code in ["UNKNOWN", "UNSUPPORTED", ""] {
        let registry = start(move |_| Reply::error(404, code));
        assert!(
            client(&registry).resolve(&python(), &tag("a")).is_err(),
            "{code}"
        );
    }
}

#[test]
fn the_reason_is_told_wherever_it_stands() {
    let manifest = Manifest {
        media_type: IMAGE_MANIFEST.to_owned(),
        bytes: b"{}".to_vec(),
    };
    for (error, told) in [
        (
            json!({"code": "MANIFEST_INVALID", "message": "manifest invalid",
                   "detail": "unknown media type: application/vnd.x"}),
            "(MANIFEST_INVALID: manifest invalid: unknown media type: application/vnd.x)",
        ),
        (
            json!({"code": "MANIFEST_BLOB_UNKNOWN", "detail": {"digest": "sha256:1"}}),
            r#"(MANIFEST_BLOB_UNKNOWN: {"digest":"sha256:1"})"#,
        ),
        (
            json!({"code": "X", "message": "m", "detail": "m"}),
            "(X: m)",
        ),
        (json!({"code": "X", "message": "m", "detail": {}}), "(X: m)"),
        (
            json!({"code": "X", "message": "m", "detail": null}),
            "(X: m)",
        ),
        (
            json!({"code": "X", "detail": "a\u{1b}[2J\nb"}),
            "(X: a [2J b)",
        ),
    ] {
        let body = json!({"errors": [error]}).to_string();
        let registry = start(move |_| Reply::new(400).body(body.clone()));
        let error = client(&registry).put_manifest(&python(), &tag("a"), &manifest);
        let error = error.unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with(&format!("400 Bad Request {told}")),
            "{error}"
        );
        assert_eq!(error.status(), Some(400));
    }
}

/// A registry that holds the types of artifacts and configurations against a list, as GitLab.
fn with_a_list(
    habit: impl Fn(&TestRequest, &Kept) -> Option<Reply> + Send + Sync + 'static,
) -> TestRegistry {
    keeping(move |request, kept| {
        if let Some(reply) = habit(request, kept) {
            return Some(reply);
        }
        if request.path().contains("/referrers/") {
            return Some(Reply::error(404, "NOT_FOUND"));
        }
        let is_manifest = request.method == "PUT" && request.path().contains("/manifests/");
        let document: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let config = document
            .pointer("/config/mediaType")
            .and_then(|kind| kind.as_str());
        let is_known = config.is_none_or(|kind| kind == "application/vnd.oci.image.config.v1+json");
        let is_refused = !is_known || document.get("artifactType").is_some();
        (is_manifest && is_refused).then(|| Reply::error(400, "MANIFEST_INVALID"))
    })
}

#[test]
fn an_artifact_goes_as_an_image_where_its_type_is_refused() {
    let registry = with_a_list(|_, _| None);
    let client = client(&registry);
    let note = Artifact::new(NOTE).layer("text/plain", "a note");
    let stored = note.push(&client, &python(), Some(&tag("note"))).unwrap();
    let there = client.get_manifest(&python(), &tag("note")).unwrap();
    assert_eq!(there.descriptor().digest, stored.digest);
    let document: serde_json::Value = serde_json::from_slice(&there.bytes).unwrap();
    assert_eq!(document["annotations"]["dev.cssc.artifact-type"], NOTE);
    // Its configuration is there, and belongs to these layers.
    let config: Descriptor = serde_json::from_value(document["config"].clone()).unwrap();
    let config = client.get_blob(&python(), &config, 1000).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        document["layers"][0]["digest"]
    );
    // And it is no image for that.
    let told = Image::read(&there).unwrap_err().to_string();
    assert_eq!(told, format!("an artifact of type `{NOTE}`"));

    // What is attached is found by its type.
    let subject = Descriptor::of(IMAGE_MANIFEST, b"subject");
    let about = note.subject(subject.clone());
    let attached = attach(&client, &python(), &about, ReferrersFallback::Tag).unwrap();
    let Attachment::Attached(attached) = attached else {
        panic!("{attached:?}");
    };
    let referrers = client
        .referrers(&python(), &subject.digest, Some(NOTE))
        .unwrap();
    assert_eq!(referrers.len(), 1);
    assert_eq!(referrers[0].descriptor.digest, attached.digest);

    // A tag is emptied there too, again and again.
    let deleted = delete_tag(&client, &python(), &"note".parse().unwrap());
    assert_eq!(deleted, Ok(TagDeletion::Removed));
}

#[test]
fn a_tag_is_emptied_once_where_the_type_is_refused_and_nothing_is_deleted() {
    let registry = with_a_list(|request, _| {
        (request.method == "DELETE").then(|| Reply::error(405, "UNSUPPORTED"))
    });
    let client = client(&registry);
    let image = Manifest {
        media_type: IMAGE_MANIFEST.to_owned(),
        bytes: br#"{"schemaVersion": 2}"#.to_vec(),
    };
    client.put_manifest(&python(), &tag("a"), &image).unwrap();
    let name = "a".parse().unwrap();
    for attempt in 0..2 {
        let before = registry.request_count();
        let deleted = delete_tag(&client, &python(), &name);
        assert_eq!(deleted, Ok(TagDeletion::Emptied));
        let requests = registry.requests();
        let is_write = |request: &&TestRequest| request.method == "PUT";
        let writes = requests[before..].iter().filter(is_write).count();
        assert_eq!(writes > 0, attempt == 0);
    }
}

#[test]
fn another_refusal_of_an_artifact_stays_one() {
    let registry = keeping(|request, _| {
        let is_manifest = request.method == "PUT" && request.path().contains("/manifests/");
        is_manifest.then(|| Reply::error(400, "TAG_INVALID"))
    });
    let note = Artifact::new(NOTE);
    let error = note
        .push(&client(&registry), &python(), Some(&tag("a")))
        .unwrap_err();
    assert!(error.to_string().contains("TAG_INVALID"), "{error}");
    let writes = registry.requests();
    let writes = writes
        .iter()
        .filter(|r| r.method == "PUT" && r.path().contains("/manifests/"));
    assert_eq!(writes.count(), 1);
    // Refused in both forms: the first refusal is the error.
    let registry = keeping(|request, _| {
        let is_manifest = request.method == "PUT" && request.path().contains("/manifests/");
        let has_type = String::from_utf8_lossy(&request.body).contains("artifactType");
        let status = if has_type { 400 } else { 422 };
        is_manifest.then(|| Reply::error(status, "MANIFEST_INVALID"))
    });
    let error = Artifact::new(NOTE).push(&client(&registry), &python(), Some(&tag("a")));
    assert_eq!(error.unwrap_err().status(), Some(400));
}

#[test]
fn the_tag_of_referrers_may_be_the_subject_itself() {
    for is_kept in [true, false] {
        // An index, which could be taken for one of referrers.
        let child = Descriptor::of(IMAGE_MANIFEST, b"child");
        let subject = json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [child]});
        let subject = subject.to_string().into_bytes();
        let digest = cssc_registry::digest::of(&subject);
        let shadow = digest.as_str().replace(':', "-");
        let bytes = subject.clone();
        let registry = keeping(move |request, kept| {
            let name = request.path().rsplit('/').next().unwrap();
            let is_shadowed =
                request.method == "GET" && name == shadow && !(is_kept && kept.contains_key(name));
            if request.path().contains("/referrers/") {
                return Some(Reply::error(404, "NOT_FOUND"));
            }
            is_shadowed.then(|| {
                Reply::new(200)
                    .header("content-type", IMAGE_INDEX)
                    .body(bytes.clone())
            })
        });
        let client = client(&registry);
        assert_eq!(client.referrers(&python(), &digest, None), Ok(Vec::new()));
        let about = Descriptor::of(IMAGE_INDEX, &subject);
        let note = Artifact::new(NOTE).subject(about);
        let attached = attach(&client, &python(), &note, ReferrersFallback::Tag).unwrap();
        let referrers = client.referrers(&python(), &digest, None).unwrap();
        if is_kept {
            assert!(matches!(attached, Attachment::Attached(_)));
            assert_eq!(referrers.len(), 1);
        } else {
            assert_eq!(attached, Attachment::Unsupported);
            assert_eq!(referrers.len(), 0);
        }
    }
}

#[test]
fn one_bad_entry_among_referrers_is_left_out() {
    let digest = cssc_registry::digest::of(b"subject");
    let good = json!(Descriptor::of(IMAGE_MANIFEST, b"good"));
    let mut with_nulls = json!(Descriptor::of(IMAGE_MANIFEST, b"nulls"));
    with_nulls["artifactType"] = json!(null);
    with_nulls["annotations"] = json!({"a": null, "b": 1, "c": "d"});
    let mut untyped = json!(Descriptor::of(IMAGE_MANIFEST, b"untyped"));
    untyped["mediaType"] = json!(null);
    let entries = json!([
        null, good, 1, {"digest": "sha256:short"}, with_nulls, [], untyped, {"size": -1},
    ]);
    let index = json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": entries});
    for by_api in [true, false] {
        let index = index.to_string();
        let registry = start(move |request| {
            if request.path().contains("/referrers/") != by_api {
                return Reply::error(404, "NOT_FOUND");
            }
            Reply::new(200)
                .header("content-type", IMAGE_INDEX)
                .body(index.clone())
        });
        let referrers = client(&registry)
            .referrers(&python(), &digest, None)
            .unwrap();
        assert_eq!(referrers.len(), 3, "{referrers:?}");
        assert_eq!(referrers[1].annotations.len(), 1);
    }
}

/// A list of 1,001 tags whose pages go on where `link` says, the cursor put in for `?`.
fn linking(path: &'static str, link: &'static str) -> TestRegistry {
    start(move |request| {
        let host = request.header("host").unwrap();
        match (request.path() == path, request.query("last")) {
            (true, Some("999")) => Reply::json(r#"{"tags": ["z"]}"#),
            (true, None) => {
                let tags: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
                let link = link.replace("HOST", host).replace('?', "?last=999&n=1000");
                Reply::json(json!({ "tags": tags }).to_string())
                    .header("link", format!("<{link}>; rel=\"next\""))
            }
            _ => Reply::error(404, "NAME_UNKNOWN"),
        }
    })
}

#[test]
fn only_the_query_of_a_link_is_taken() {
    for link in [
        "/v2/python/tags/list?",
        // Without what a proxy puts before it, or with it, or with a path of its own.
        "/v2/tags/list?",
        "/artifactory/api/docker/key/v2/python/tags/list?",
        "http://HOST/repository/docker/v2/python/tags/list?",
        // Without the port, or with the one that is not seen from outside.
        "http://127.0.0.1/v2/python/tags/list?",
        "https://127.0.0.1:443/v2/python/tags/list?",
        "?",
    ] {
        let registry = linking("/v2/python/tags/list", link);
        assert_eq!(
            found(&client(&registry).list_tags(&python())).len(),
            1001,
            "{link}"
        );
        assert_eq!(registry.request_count(), 2);
    }
}

#[test]
fn a_link_that_leads_nowhere_is_not_needed_where_all_tags_are_given_at_once() {
    for (link, is_followed) in [
        ("</elsewhere?page=2>; rel=next", true),
        (
            "<http://example.com/v2/python/tags/list?last=a>; rel=next",
            false,
        ),
        ("<javascript:alert(1)>; rel=next", false),
    ] {
        let registry = start(
            move |request| match (request.query("n"), request.query("page")) {
                (Some(_), _) => Reply::json(TAGS).header("link", link),
                (_, Some(_)) => Reply::error(400, "PAGINATION_INVALID"),
                _ => Reply::json(r#"{"tags": ["3.11", "3.12"]}"#),
            },
        );
        let listing = client(&registry).list_tags(&python());
        assert_eq!(found(&listing), ["3.11", "3.12"], "{link}");
        assert_eq!(registry.request_count(), if is_followed { 3 } else { 2 });
    }
}

#[test]
fn a_number_of_tags_that_is_refused_is_not_asked_for() {
    for status in [400, 405, 422] {
        let registry = start(move |request| match request.query("n") {
            Some(_) => Reply::error(status, "UNSUPPORTED"),
            None => Reply::json(TAGS),
        });
        assert_eq!(
            found(&client(&registry).list_tags(&python())),
            ["3.11"],
            "{status}"
        );
        let always = start(move |_| Reply::error(status, "UNSUPPORTED"));
        let listing = client(&always).list_tags(&python());
        assert!(matches!(listing, Listing::Unavailable(_)), "{listing:?}");
    }
}

#[test]
fn a_head_that_is_refused_is_followed_by_a_get() {
    let manifest = br#"{"schemaVersion": 2}"#;
    let digest = cssc_registry::digest::of(manifest);
    for status in [400, 403, 405, 406, 415, 501] {
        let registry = start(move |request| match request.method.as_str() {
            "HEAD" => Reply::new(status),
            _ => Reply::new(200)
                .header("content-type", IMAGE_MANIFEST)
                .body(manifest),
        });
        let client = client(&registry);
        let resolved = client.resolve(&python(), &tag("a")).unwrap().unwrap();
        assert_eq!(resolved.digest, digest, "{status}");
        assert_eq!(client.has_blob(&python(), &digest), Ok(true), "{status}");
    }
    for status in [401, 429, 500, 503] {
        let registry = start(move |request| match request.method.as_str() {
            "HEAD" => Reply::new(status),
            _ => Reply::new(200)
                .header("content-type", IMAGE_MANIFEST)
                .body(manifest),
        });
        let client = client(&registry);
        assert!(client.resolve(&python(), &tag("a")).is_err(), "{status}");
        assert!(client.has_blob(&python(), &digest).is_err(), "{status}");
        assert!(
            registry
                .requests()
                .iter()
                .all(|request| request.method == "HEAD")
        );
    }
    // What may not be read at all is denied.
    let registry = start(|_| Reply::error(403, "DENIED"));
    let error = client(&registry).resolve(&python(), &tag("a")).unwrap_err();
    assert!(
        error.is_unauthorized() && error.to_string().contains("DENIED"),
        "{error}"
    );
}

#[test]
fn where_looking_for_a_blob_is_refused_it_is_written() {
    for status in [400, 403, 405] {
        let registry =
            keeping(move |request, _| (request.method == "HEAD").then(|| Reply::new(status)));
        let digest = client(&registry).put_blob(&python(), b"blob").unwrap();
        let methods: Vec<_> = registry
            .requests()
            .iter()
            .map(|r| r.method.clone())
            .collect();
        assert_eq!(methods, ["HEAD", "POST", "PUT"], "{status}");
        let blob = Descriptor::of("", b"blob");
        assert_eq!(blob.digest, digest);
        assert_eq!(
            client(&registry).get_blob(&python(), &blob, 9).unwrap(),
            b"blob"
        );
    }
}

#[test]
fn whether_blobs_may_be_written_is_tried_and_not_guessed() {
    for (method, status, may_write) in [
        ("none", 0, true),
        // It may not be cancelled, which is no matter.
        ("DELETE", 405, true),
        // What is there already could be "written" by an account that only reads.
        ("POST", 403, false),
        ("POST", 401, false),
        ("POST", 503, false),
    ] {
        let registry = keeping(move |request, _| {
            let is_it = request.method == method;
            let is_look = request.method == "HEAD";
            if is_look {
                return Some(Reply::new(200));
            }
            is_it.then(|| Reply::new(status))
        });
        let checked = client(&registry).check_push(&python());
        assert_eq!(checked.is_ok(), may_write, "{method} {status}: {checked:?}");
        let methods: Vec<_> = registry
            .requests()
            .iter()
            .map(|r| r.method.clone())
            .collect();
        if may_write {
            assert_eq!(methods, ["POST", "DELETE"]);
        } else {
            assert!(methods.iter().all(|method| method == "POST"));
        }
    }
}

#[test]
fn a_repository_that_is_not_made_by_writing_is_told_to_be_missing() {
    let registry = start(|_| Reply::error(404, "NAME_UNKNOWN"));
    let error = client(&registry).put_blob(&python(), b"blob").unwrap_err();
    let told = "cannot write to `python`: the repository has to be created first: `";
    assert!(error.to_string().starts_with(told), "{error}");
}

#[test]
fn a_page_for_people_is_no_answer_of_a_registry() {
    let page = || {
        Reply::new(200)
            .header("content-type", "text/html; charset=utf-8")
            .body("<html>Log in</html>")
    };
    let login = start(move |_| page());
    let client_of = |registry: &TestRegistry| client(registry);
    let client = client(&login);
    let manifest = Manifest {
        media_type: IMAGE_MANIFEST.to_owned(),
        bytes: b"{}".to_vec(),
    };
    let digest = manifest.descriptor().digest;
    let mut errors = vec![
        client
            .put_manifest(&python(), &tag("a"), &manifest)
            .unwrap_err(),
        client.resolve(&python(), &tag("a")).unwrap_err(),
        client.get_manifest(&python(), &tag("a")).unwrap_err(),
        client.has_blob(&python(), &digest).unwrap_err(),
        client.put_blob(&python(), b"blob").unwrap_err(),
        client.delete(&python(), &tag("a")).unwrap_err(),
    ];
    // One that says where to go on, as if it were a registry.
    let other = start(move |request| match request.method.as_str() {
        "POST" => Reply::new(202).header("location", "/upload"),
        _ => page(),
    });
    errors.push(client_of(&other).put_blob(&python(), b"blob").unwrap_err());
    for error in errors {
        assert!(error.is_invalid_answer(), "{error}");
        let text = error.to_string();
        let told = "answered 200 with a page for people, as a login does, and not as a registry";
        assert!(text.ends_with(told), "{text}");
    }
    assert!(matches!(
        client.list_tags(&python()),
        Listing::Unavailable(_)
    ));
    // A blob may be a page.
    let blob = Descriptor::of("", b"<html>Log in</html>");
    assert!(client.get_blob(&python(), &blob, 100).is_ok());
}

#[test]
fn manifests_of_servers_of_files_are_manifests() {
    let config = |media_type: &str| json!({"mediaType": media_type, "digest": cssc_registry::digest::of(b""), "size": 0});
    let oci = "application/vnd.oci.image.config.v1+json";
    let docker = "application/vnd.docker.container.image.v1+json";
    for (document, expected) in [
        (
            json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX}),
            IMAGE_INDEX,
        ),
        (json!({"schemaVersion": 2, "manifests": []}), IMAGE_INDEX),
        (
            json!({"schemaVersion": 2, "config": config(oci), "layers": []}),
            IMAGE_MANIFEST,
        ),
        (
            json!({"schemaVersion": 2, "config": config(docker), "layers": []}),
            DOCKER_MANIFEST,
        ),
        (json!({"name": "no manifest"}), "text/plain"),
    ] {
        for content_type in ["text/plain", "text/plain; charset=utf-8"] {
            let bytes = document.to_string();
            let digest: Digest = cssc_registry::digest::of(bytes.as_bytes());
            let registry = start(move |_| {
                Reply::new(200)
                    .header("content-type", content_type)
                    .header("docker-content-digest", digest.to_string())
                    .body(bytes.clone())
            });
            let client = client(&registry);
            let manifest = client.get_manifest(&python(), &tag("a")).unwrap();
            assert_eq!(manifest.media_type, expected);
            let resolved = client.resolve(&python(), &tag("a")).unwrap().unwrap();
            assert_eq!(resolved, manifest.descriptor());
        }
    }
    let image = json!({"schemaVersion": 2, "config": config(oci), "layers": []});
    let manifest = Manifest {
        media_type: "application/octet-stream".to_owned(),
        bytes: image.to_string().into_bytes(),
    };
    assert!(matches!(Image::read(&manifest), Ok(Image::Manifest(_))));
}

/// A registry with a token service that knows no other actions than these, each alone or `pull,push`.
/// Its tokens are the actions that they are for.
fn with_tokens(
    known: &'static [&'static str],
    challenge: &'static str,
    answer: impl Fn(&TestRequest, &str) -> Option<Reply> + Send + Sync + 'static,
) -> TestRegistry {
    start(move |request| {
        let host = request.header("host").unwrap();
        if request.path() == "/token" {
            let scope = request
                .query("scope")
                .unwrap()
                .replace("%3A", ":")
                .replace("%2C", ",");
            let actions = scope.rsplit(':').next().unwrap().replace("%2A", "*");
            return if known.contains(&actions.as_str()) {
                Reply::json(json!({"token": actions.replace(',', "+")}).to_string())
            } else {
                Reply::error(400, "SCOPE_INVALID")
            };
        }
        let token = request.header("authorization").unwrap_or_default();
        let token = token.strip_prefix("Bearer ").unwrap_or_default();
        answer(request, token).unwrap_or_else(|| {
            let name = request
                .path()
                .trim_start_matches("/v2/")
                .split('/')
                .next()
                .unwrap();
            let mut header = format!("Bearer realm=\"http://{host}/token\"");
            if !challenge.is_empty() {
                header = format!("{header},scope=\"repository:{name}:{challenge}\"");
            }
            Reply::error(401, "UNAUTHORIZED").header("www-authenticate", header)
        })
    })
}

#[test]
fn a_token_to_delete_is_asked_for_in_the_words_of_the_service() {
    for (known, challenge, allowing) in [
        // As Quay, which names what it knows, or nothing.
        (
            &["pull", "push", "pull,push", "*"][..],
            "pull,push",
            "pull+push",
        ),
        (&["pull", "push", "pull,push", "*"], "", "pull+push"),
        (&["pull", "*"], "pull", "*"),
        (&["pull", "*"], "", "*"),
        // As distribution.
        (&["pull", "delete"], "delete", "delete"),
        (&["pull", "delete"], "", "delete"),
        // As Azure.
        (
            &["pull", "delete,metadata_write"],
            "delete,metadata_write",
            "delete,metadata_write",
        ),
    ] {
        let registry = with_tokens(known, challenge, move |request, token| {
            let is_good = match request.method.as_str() {
                "DELETE" => token.replace('+', ",") == allowing.replace('+', ","),
                _ => !token.is_empty(),
            };
            is_good.then(|| Reply::new(202))
        });
        let client = client(&registry);
        let told = format!("{known:?} {challenge}");
        assert_eq!(client.delete(&python(), &tag("a")), Ok(()), "{told}");
        // The next one is asked for in the words that were understood.
        let before = registry.request_count();
        let other = "other".parse().unwrap();
        assert_eq!(client.delete(&other, &tag("a")), Ok(()), "{told}");
        assert_eq!(registry.request_count() - before, 2, "{told}");
    }
    // Who is refused in every word learns why in the first.
    let registry = with_tokens(&[], "delete", |_, _| None);
    let error = client(&registry).delete(&python(), &tag("a")).unwrap_err();
    assert!(
        error.is_unauthorized() && error.to_string().contains("SCOPE_INVALID"),
        "{error}"
    );
}

#[test]
fn a_credential_that_ran_out_is_read_again_however_that_is_said() {
    let denials: [fn() -> Reply; 4] = [
        || Reply::error(403, "DENIED"),
        || Reply::new(403).body("<html>"),
        || Reply::error(400, "DENIED"),
        || Reply::error(400, "UNAUTHORIZED"),
    ];
    for (number, denial) in denials.into_iter().enumerate() {
        let good = std::sync::Arc::new(Mutex::new("b25l"));
        let wanted = std::sync::Arc::clone(&good);
        let registry = start(move |request| {
            let shown = request.header("authorization").unwrap_or_default();
            match shown.strip_prefix("Basic ") {
                None => Reply::new(401).header("www-authenticate", "Basic realm=x"),
                Some(shown) if shown.starts_with(*wanted.lock().unwrap()) => Reply::json(TAGS),
                Some(_) => denial(),
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let store = |auth: &str| {
            let config = json!({"auths": {registry.host(): {"auth": auth}}});
            std::fs::write(&file, config.to_string()).unwrap();
        };
        store("b25lOm9uZQ==");
        let options = OciOptions::default()
            .credential_files(vec![file.clone()])
            .attempts(1);
        let client = OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap();
        assert_eq!(found(&client.list_tags(&python())), ["3.11"]);
        *good.lock().unwrap() = "dHdv";
        store("dHdvOnR3bw==");
        assert_eq!(found(&client.list_tags(&python())), ["3.11"], "{number}");
        // What is refused with the only credential there is stays refused, and is not asked twice
        // each time.
        *good.lock().unwrap() = "none";
        client.list_tags(&python());
        let before = registry.request_count();
        let listing = client.list_tags(&python());
        assert_eq!(registry.request_count(), before + 1, "{number}");
        let Listing::Unavailable(error) = listing else {
            panic!("{listing:?}");
        };
        assert!(
            error.message().contains("the credentials used were"),
            "{error}"
        );
    }
    // Another 400 is about something else.
    let registry = start(|request| match request.header("authorization") {
        None => Reply::new(401).header("www-authenticate", "Basic realm=x"),
        Some(_) => Reply::error(400, "NAME_INVALID"),
    });
    let options = OciOptions::default().credential(Credential::password("me", "hunter2"));
    let client = OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap();
    let error = client.resolve(&python(), &tag("a")).unwrap_err();
    assert!(error.is_invalid_answer(), "{error}");
}

#[test]
fn a_repository_that_is_not_there_yet_can_be_written() {
    // As Quay, where a token for `pull,push` makes the repository, and none is given for less.
    let quay = with_tokens(&["pull,push"], "pull", |request, token| {
        let answer = || match request.method.as_str() {
            "POST" => Reply::new(202).header("location", "/v2/python/blobs/uploads/1"),
            "PUT" => Reply::new(201),
            _ => Reply::error(404, "MANIFEST_UNKNOWN"),
        };
        (token == "pull+push").then(answer)
    });
    // As GHCR, which denies to look for it.
    let ghcr = keeping(|request, kept| {
        let is_look = matches!(request.method.as_str(), "GET" | "HEAD");
        (is_look && kept.is_empty()).then(|| Reply::error(403, "DENIED"))
    });
    for registry in [quay, ghcr] {
        let client = client(&registry);
        let client: &dyn RegistryClient = &client;
        assert!(
            client
                .resolve(&python(), &tag("a"))
                .unwrap_err()
                .is_unauthorized()
        );
        assert_eq!(client.resolve_to_write(&python(), &tag("a")), Ok(None));
        Artifact::new(NOTE)
            .push(client, &python(), Some(&tag("a")))
            .unwrap();
    }
    // Where writing is refused as well, that is the error; what does not answer is not taken for
    // empty.
    let denying = start(|_| Reply::error(403, "DENIED"));
    let client_of = |registry: &TestRegistry| client(registry);
    let client = client_of(&denying);
    assert_eq!(client.resolve_to_write(&python(), &tag("a")), Ok(None));
    let error = Artifact::new(NOTE)
        .push(&client, &python(), Some(&tag("a")))
        .unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    let away = start(|_| Reply::new(503));
    assert!(
        client_of(&away)
            .resolve_to_write(&python(), &tag("a"))
            .is_err()
    );
}

#[test]
fn what_is_open_to_all_needs_no_credential_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{").unwrap();
    let helped = folder.path().join("helped.json");
    std::fs::write(&helped, json!({"credsStore": "cssc-none"}).to_string()).unwrap();
    for file in [broken, helped] {
        let list = |registry: &TestRegistry| {
            let options = OciOptions::default().credential_files(vec![file.clone()]);
            let client = OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap();
            client.list_tags(&python())
        };
        let open = with_tokens(&["pull"], "pull", |_, token| {
            (token == "pull").then(|| Reply::json(TAGS))
        });
        assert_eq!(found(&list(&open)), ["3.11"]);
        // Refused, the error says what could not be read.
        let closed = with_tokens(&["pull"], "pull", |_, _| None);
        let no_token = with_tokens(&[], "pull", |_, _| None);
        for registry in [closed, no_token] {
            let Listing::Unavailable(error) = list(&registry) else {
                panic!();
            };
            let reasons = ["cannot read credentials from", "the credential helper"];
            assert!(
                reasons.iter().any(|told| error.message().contains(told)),
                "{error}"
            );
        }
    }
}

#[test]
fn a_token_may_end_with_a_newline() {
    let registry = start(|request| match request.path() {
        "/token" => Reply::json(r#"{"token": "good\n"}"#),
        _ if request.header("authorization") == Some("Bearer good") => Reply::json(TAGS),
        _ => {
            let host = request.header("host").unwrap();
            let challenge = format!("Bearer realm=\"http://{host}/token\"");
            Reply::new(401).header("www-authenticate", challenge)
        }
    });
    assert_eq!(found(&client(&registry).list_tags(&python())), ["3.11"]);
}

#[test]
fn a_platform_that_the_index_does_not_name_is_that_of_the_configuration() {
    let registry = keeping(|_, _| None);
    let client = client(&registry);
    let image = |config: &serde_json::Value, kind: &str| {
        let config = config.to_string();
        client.put_blob(&python(), config.as_bytes()).unwrap();
        let config = Descriptor::of(kind, config.as_bytes());
        let manifest = Manifest {
            media_type: IMAGE_MANIFEST.to_owned(),
            bytes: json!({"schemaVersion": 2, "config": config, "layers": []})
                .to_string()
                .into(),
        };
        let digest = manifest.descriptor().digest;
        client
            .put_manifest(&python(), &digest.clone().into(), &manifest)
            .unwrap();
        digest
    };
    let oci = "application/vnd.oci.image.config.v1+json";
    let amd64 = image(&json!({"os": "linux", "architecture": "amd64"}), oci);
    let arm64 = json!({"os": "Linux", "architecture": "aarch64", "variant": ""});
    let arm64 = image(&arm64, oci);
    // An attestation, an artifact, and one that says nothing.
    let attestation = image(&json!({"os": "unknown", "architecture": "unknown"}), oci);
    let chart = image(
        &json!({"name": "chart"}),
        "application/vnd.cncf.helm.config.v1+json",
    );
    let silent = image(&json!({"rootfs": {}}), oci);
    let gone = cssc_registry::digest::of(b"gone");
    let all = [&amd64, &arm64, &attestation, &chart, &silent, &gone];
    let entries: Vec<_> = all
        .iter()
        .map(|digest| json!({"digest": digest, "size": 1}))
        .collect();
    let index = Manifest {
        media_type: IMAGE_INDEX.to_owned(),
        bytes: json!({"schemaVersion": 2, "manifests": entries})
            .to_string()
            .into(),
    };
    assert!(Image::read(&index).is_err());
    let read = Image::read_from(&client, &python(), &index)
        .unwrap()
        .unwrap();
    let Image::Index(read) = read else {
        panic!("{read:?}");
    };
    let platforms: Vec<_> = read
        .platforms()
        .iter()
        .map(|one| one.platform.to_string())
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    let reasons: Vec<_> = read.not_covered().iter().collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    for (not_covered, digest) in reasons.iter().zip([&silent, &gone]) {
        assert_eq!(not_covered.digest.as_ref(), Some(digest));
        assert_eq!(not_covered.reason, NotCoveredReason::NoPlatform);
    }

    // A configuration that the registry has lost is no absence.
    let lossy = keeping(move |request, kept| {
        let is_config = request.path().contains("/blobs/") && request.method == "GET";
        is_config.then(|| {
            assert!(!kept.is_empty());
            Reply::error(404, "BLOB_UNKNOWN")
        })
    });
    let client_of_lossy = OciRegistry::new(
        &lossy.host().parse().unwrap(),
        OciOptions::default().anonymous(),
    );
    let client_of_lossy = client_of_lossy.unwrap();
    let manifest = client
        .get_manifest(&python(), &amd64.clone().into())
        .unwrap();
    client_of_lossy
        .put_manifest(&python(), &amd64.into(), &manifest)
        .unwrap();
    let error = Image::read_from(&client_of_lossy, &python(), &index).unwrap_err();
    assert!(error.is_invalid_answer() && !error.is_absent(), "{error}");
    let told = "the registry has lost what a manifest there names";
    assert!(error.to_string().ends_with(told), "{error}");
    // A registry that is away is no reason to leave a platform out.
    let away = start(|_| Reply::new(503));
    let client_of_away = OciRegistry::new(
        &away.host().parse().unwrap(),
        OciOptions::default().anonymous().attempts(1),
    );
    let error = Image::read_from(&client_of_away.unwrap(), &python(), &index);
    assert!(error.unwrap_err().is_retryable());
}
