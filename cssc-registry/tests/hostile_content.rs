//! Deletion and referrers on registries that answer anything but what they should.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unnecessary_wraps,
    reason = "tests fail loudly"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cssc_core::{Digest, Repository, Tag};
use cssc_registry::media_type::{IMAGE_INDEX, IMAGE_MANIFEST};
use cssc_registry::testing::{Reply, TestRegistry, TestRequest};
use cssc_registry::{
    Artifact, Descriptor, Manifest, OciOptions, OciRegistry, Reference, ReferrersFallback,
    RegistryClient, RegistryError, TagDeletion, attach, delete_tag,
};
use serde_json::json;

fn python() -> Repository {
    "python".parse().unwrap()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn client(registry: &TestRegistry) -> OciRegistry {
    let options = OciOptions::default().anonymous();
    OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap()
}

/// How a registry answers a request that it does not do as asked.
type Refuse = fn(&Memory) -> Option<Reply>;

/// A registry that keeps manifests, and deletes and overwrites them as it likes.
#[derive(Clone, Copy)]
struct Habits {
    delete_tag: Refuse,
    delete_digest: Refuse,
    overwrite: Refuse,
}

/// Tags and what they point to.
type Memory = BTreeMap<String, Vec<u8>>;

/// Does as it is asked.
fn obeys(_: &Memory) -> Option<Reply> {
    None
}

fn accepts_and_keeps(_: &Memory) -> Option<Reply> {
    Some(Reply::new(202))
}

fn knows_no_tags(_: &Memory) -> Option<Reply> {
    Some(Reply::error(400, "DIGEST_INVALID"))
}

/// As GHCR.
fn method_not_allowed(_: &Memory) -> Option<Reply> {
    Some(Reply::error(405, "UNSUPPORTED"))
}

/// As ECR.
fn says_not_found(_: &Memory) -> Option<Reply> {
    Some(Reply::error(404, "MANIFEST_UNKNOWN"))
}

/// As ECR and Harbor with immutable tags.
fn frozen(memory: &Memory) -> Option<Reply> {
    let is_there = memory.contains_key("candidate");
    is_there.then(|| Reply::error(400, "TAG_INVALID"))
}

fn denied(_: &Memory) -> Option<Reply> {
    Some(Reply::error(403, "DENIED"))
}

fn registry(habits: Habits) -> TestRegistry {
    let memory = Mutex::new(Memory::new());
    TestRegistry::start(move |request: &TestRequest| {
        let mut memory = memory.lock().unwrap();
        if request.path().contains("/blobs/") {
            // Every blob is there.
            return Reply::new(200).header("content-length", "2").body("{}");
        }
        let reference = request.path().rsplit('/').next().unwrap().to_owned();
        let is_digest = reference.contains(':');
        let digest_of = |bytes: &[u8]| cssc_registry::digest::of(bytes).to_string();
        match request.method.as_str() {
            "PUT" => {
                if let Some(refusal) = (habits.overwrite)(&memory) {
                    return refusal;
                }
                memory.insert(reference, request.body.clone());
                Reply::new(201)
            }
            "DELETE" if is_digest => {
                if let Some(refusal) = (habits.delete_digest)(&memory) {
                    return refusal;
                }
                memory.retain(|_, bytes| digest_of(bytes) != reference);
                Reply::new(202)
            }
            "DELETE" => {
                if let Some(refusal) = (habits.delete_tag)(&memory) {
                    return refusal;
                }
                memory.remove(&reference);
                Reply::new(202)
            }
            _ => match memory.get(&reference) {
                Some(bytes) => Reply::new(200)
                    .header("content-type", IMAGE_MANIFEST)
                    .header("docker-content-digest", digest_of(bytes))
                    .body(bytes.clone()),
                None => Reply::error(404, "MANIFEST_UNKNOWN"),
            },
        }
    })
    .unwrap()
}

/// What becomes of a candidate whose manifest is published under another tag, which must stay.
fn deletion(habits: Habits) -> Result<TagDeletion, RegistryError> {
    // The tags are there before the registry begins to refuse.
    let registry = registry(habits);
    let client = client(&registry);
    let image = Manifest {
        media_type: IMAGE_MANIFEST.to_owned(),
        bytes: br#"{"schemaVersion": 2}"#.to_vec(),
    };
    for name in ["3.11-1", "candidate"] {
        client
            .put_manifest(&python(), &Reference::Tag(tag(name)), &image)
            .unwrap();
    }
    let deleted = delete_tag(&client, &python(), &tag("candidate"));
    let published = client.resolve(&python(), &Reference::Tag(tag("3.11-1")));
    let digest = image.descriptor().digest;
    assert_eq!(published.unwrap().unwrap().digest, digest);
    let candidate = client.resolve(&python(), &Reference::Tag(tag("candidate")));
    let candidate = candidate.unwrap().map(|found| found.digest);
    match &deleted {
        Ok(TagDeletion::Removed) => assert_eq!(candidate, None),
        Ok(TagDeletion::Emptied) => assert!(candidate.is_some_and(|found| found != digest)),
        _ => assert_eq!(candidate, Some(digest)),
    }
    deleted
}

#[test]
fn what_becomes_of_a_tag_is_told_whatever_the_registry_says() {
    let habits = |delete_tag: Refuse, delete_digest: Refuse, overwrite: Refuse| Habits {
        delete_tag,
        delete_digest,
        overwrite,
    };
    for delete_tag in [knows_no_tags, method_not_allowed, says_not_found, denied] as [Refuse; 4] {
        let by_digest = deletion(habits(delete_tag, obeys, obeys));
        assert_eq!(by_digest, Ok(TagDeletion::Removed));
        for delete_digest in [
            method_not_allowed,
            says_not_found,
            accepts_and_keeps,
            denied,
        ] as [Refuse; 4]
        {
            let neither = deletion(habits(delete_tag, delete_digest, obeys));
            assert_eq!(neither, Ok(TagDeletion::Emptied));
        }
        let kept = deletion(habits(delete_tag, method_not_allowed, frozen)).unwrap();
        let TagDeletion::Kept(reason) = kept else {
            unreachable!("{kept:?}");
        };
        assert!(reason.to_string().contains("TAG_INVALID"), "{reason}");
    }
    assert_eq!(
        deletion(habits(obeys, obeys, obeys)),
        Ok(TagDeletion::Removed)
    );
    let lies = deletion(habits(accepts_and_keeps, accepts_and_keeps, obeys));
    assert_eq!(lies, Ok(TagDeletion::Emptied));
    let lies_and_freezes = deletion(habits(accepts_and_keeps, obeys, frozen));
    assert!(matches!(lies_and_freezes, Ok(TagDeletion::Kept(_))));
}

/// What becomes of a tag that somebody else moves when a request of this kind arrives, and whether
/// it still stands for theirs.
fn moved_at(is_moment: fn(&TestRequest) -> bool) -> (TagDeletion, bool) {
    let theirs = br#"{"schemaVersion": 2, "theirs": true}"#;
    let memory = Mutex::new(b"{}".to_vec());
    let registry = TestRegistry::start(move |request: &TestRequest| {
        let mut memory = memory.lock().unwrap();
        if request.path().contains("/blobs/") {
            return Reply::new(200);
        }
        if request.method == "PUT" {
            (*memory).clone_from(&request.body);
        }
        if is_moment(request) {
            *memory = theirs.to_vec();
        }
        match request.method.as_str() {
            "PUT" => Reply::new(201),
            "DELETE" => Reply::new(202),
            _ => Reply::new(200)
                .header("content-type", IMAGE_MANIFEST)
                .body(memory.clone()),
        }
    })
    .unwrap();
    let client = client(&registry);
    let deleted = delete_tag(&client, &python(), &tag("candidate")).unwrap();
    let there = client.get_manifest(&python(), &Reference::Tag(tag("candidate")));
    (deleted, there.unwrap().bytes == theirs)
}

#[test]
fn a_tag_that_is_moved_meanwhile_is_left_to_who_moved_it() {
    let is_of_tag = |request: &TestRequest| {
        request.method == "DELETE" && request.path().ends_with("/candidate")
    };
    let is_of_digest =
        |request: &TestRequest| request.method == "DELETE" && request.path().contains("sha256:");
    for is_moment in [is_of_tag, is_of_digest] as [fn(&TestRequest) -> bool; 2] {
        let (deleted, is_theirs) = moved_at(is_moment);
        let TagDeletion::Kept(reason) = deleted else {
            unreachable!("{deleted:?}");
        };
        assert_eq!(
            reason.to_string(),
            "`python:candidate` was moved while it was being deleted"
        );
        assert!(is_theirs);
    }
}

#[test]
fn a_tag_that_was_overwritten_in_word_alone_is_kept() {
    let registry = TestRegistry::start(|request: &TestRequest| match request.method.as_str() {
        "PUT" => Reply::new(201),
        "DELETE" => Reply::error(405, "UNSUPPORTED"),
        _ => Reply::new(200)
            .header("content-type", IMAGE_MANIFEST)
            .body("{}"),
    })
    .unwrap();
    let deleted = delete_tag(&client(&registry), &python(), &tag("candidate")).unwrap();
    let TagDeletion::Kept(reason) = deleted else {
        unreachable!("{deleted:?}");
    };
    assert_eq!(
        reason.to_string(),
        "`python:candidate` stays as it was, although the registry said that it had written \
         another manifest"
    );
}

#[test]
fn a_registry_that_is_away_is_no_answer() {
    let registry = TestRegistry::start(|request: &TestRequest| match request.method.as_str() {
        "DELETE" => Reply::new(503),
        _ => Reply::new(200)
            .header("content-type", IMAGE_MANIFEST)
            .body("{}"),
    })
    .unwrap();
    let options = OciOptions::default()
        .anonymous()
        .timeout(std::time::Duration::from_secs(1));
    let client = OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap();
    let error = delete_tag(&client, &python(), &tag("candidate")).unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

fn subject() -> Digest {
    cssc_registry::digest::of(b"subject")
}

fn referrer(text: &str) -> serde_json::Value {
    let mut referrer = json!(Descriptor::of(IMAGE_MANIFEST, text.as_bytes()));
    referrer["artifactType"] = json!("a/b");
    referrer
}

fn index(manifests: &serde_json::Value) -> Reply {
    let index = json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests});
    Reply::new(200)
        .header("content-type", IMAGE_INDEX)
        .body(index.to_string())
}

/// What the first page, and then every other one, is answered with.
fn referrers(
    first: impl Fn() -> Reply + Send + Sync + 'static,
    next: impl Fn(&TestRequest) -> Reply + Send + Sync + 'static,
) -> Result<usize, String> {
    let registry = TestRegistry::start(move |request: &TestRequest| {
        if !request.path().contains("/referrers/") {
            return Reply::error(404, "MANIFEST_UNKNOWN");
        }
        if request.query("page").is_some() {
            next(request)
        } else {
            first()
        }
    })
    .unwrap();
    let host = registry.host();
    let found = client(&registry).referrers(&python(), &subject(), None);
    found
        .map(|found| found.len())
        .map_err(|error| error.to_string().replace(&host, "HOST"))
}

#[test]
fn odd_answers_to_who_refers() {
    let none = |_: &TestRequest| Reply::new(500);
    for (manifests, count) in [
        (json!([]), 0),
        (json!(null), 0),
        (json!([referrer("a")]), 1),
    ] {
        assert_eq!(referrers(move || index(&manifests), none), Ok(count));
    }
    // Whatever is no answer of the API means that there is none, and no tag holds any either.
    for reply in [
        || Reply::error(404, "NAME_UNKNOWN"),
        || Reply::new(404).body("<html>"),
        || Reply::new(405),
        || Reply::error(403, "DENIED"),
        || Reply::new(403).body("<html>"),
        || Reply::new(406),
        || Reply::error(501, "UNSUPPORTED"),
        || Reply::json("{}"),
        || {
            Reply::new(200)
                .header("content-type", "text/html")
                .body("<html>")
        },
    ] as [fn() -> Reply; 9]
    {
        assert_eq!(referrers(reply, none), Ok(0));
    }
    let broken = referrers(
        || {
            Reply::new(200)
                .header("content-type", IMAGE_INDEX)
                .body("{\u{1b}")
        },
        none,
    );
    let broken = broken.unwrap_err();
    assert!(
        broken.ends_with("is not an index, at line 1, column 2"),
        "{broken}"
    );
    let many: Vec<_> = (0..10_001)
        .map(|number| referrer(&number.to_string()))
        .collect();
    let many = json!(many);
    let many = referrers(move || index(&many), none).unwrap_err();
    assert!(
        many.ends_with("it has too many referrers: at most 10000 are read"),
        "{many}"
    );
    // Where the repository may not be read either, that is the error.
    let registry = TestRegistry::start(|_| Reply::error(403, "DENIED")).unwrap();
    let refused = client(&registry).referrers(&python(), &subject(), None);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("403"), "{refused}");
    let failed = referrers(|| Reply::error(500, "UNKNOWN"), none).unwrap_err();
    assert!(failed.contains("500"), "{failed}");
}

#[test]
fn pages_of_referrers_end() {
    fn linked(to: &str) -> Reply {
        index(&json!([referrer(to)])).header("link", format!("<{to}>; rel=\"next\""))
    }
    let last = |_: &TestRequest| index(&json!([referrer("last")]));
    let page = format!("/v2/python/referrers/{}?page=2", subject());
    let start = page.clone();
    assert_eq!(referrers(move || linked(&start), last), Ok(2));
    let (start, circle) = (page.clone(), page.clone());
    let circle = referrers(move || linked(&start), move |_| linked(&circle)).unwrap_err();
    assert!(
        circle.ends_with("`HOST` pages form a cycle: the same page was named twice"),
        "{circle}"
    );
    // Pages without a referrer, each of which leads to another.
    let start = page.clone();
    let number = AtomicUsize::new(3);
    let endless = move |_: &TestRequest| {
        let next = number.fetch_add(1, Ordering::SeqCst);
        index(&json!([])).header("link", format!("<?page={next}>; rel=\"next\""))
    };
    let endless = referrers(move || linked(&start), endless).unwrap_err();
    assert!(
        endless.ends_with("`HOST` pages do not end: stopped after 200 pages of referrers"),
        "{endless}"
    );
    let start = page.clone();
    let gone = referrers(
        move || linked(&start),
        |_| Reply::error(404, "NAME_UNKNOWN"),
    );
    let gone = gone.unwrap_err();
    assert!(
        gone.ends_with("in the middle of a list of referrers"),
        "{gone}"
    );
    let away = referrers(|| linked("http://example.com/v2/x?page=2"), last).unwrap_err();
    assert!(
        away.contains("continues its list of referrers on another host, `example.com`"),
        "{away}"
    );
}

#[test]
fn what_the_registry_does_not_filter_is_filtered() {
    let registry = TestRegistry::start(|request: &TestRequest| {
        let mut other = referrer("other");
        other["artifactType"] = json!("c/d");
        let mut untyped = referrer("untyped");
        untyped.as_object_mut().unwrap().remove("artifactType");
        let all = index(&json!([referrer("a"), other, untyped]));
        match request.query("artifactType") {
            Some("a%2Fb") | None => all,
            // As asked for, and said so.
            Some(_) => index(&json!([other])).header("oci-filters-applied", "artifactType"),
        }
    })
    .unwrap();
    let client = client(&registry);
    let count = |artifact_type| {
        let found = client.referrers(&python(), &subject(), artifact_type);
        found.unwrap().len()
    };
    assert_eq!(count(Some("a/b")), 1);
    assert_eq!(count(Some("c/d")), 1);
    assert_eq!(count(None), 3);
}

/// Attaches a note where the referrers and the fallback tag are answered so.
fn attached(
    referrers: fn() -> Reply,
    fallback_tag: fn() -> Reply,
    fallback: ReferrersFallback,
) -> (String, TestRegistry) {
    let registry = TestRegistry::start(move |request: &TestRequest| {
        let path = request.path();
        match request.method.as_str() {
            "PUT" => Reply::new(201),
            _ if path.contains("/referrers/") => referrers(),
            _ if path.contains("/blobs/") => Reply::new(200),
            _ => fallback_tag(),
        }
    })
    .unwrap();
    let subject = Descriptor::of(IMAGE_MANIFEST, b"subject");
    let note = Artifact::new("a/b").subject(subject);
    let error = attach(&client(&registry), &python(), &note, fallback).unwrap_err();
    (error.to_string(), registry)
}

#[test]
fn what_is_attached_is_listed_or_told_not_to_be() {
    let absent = || Reply::error(404, "MANIFEST_UNKNOWN");
    let (told, _) = attached(|| index(&json!([])), absent, ReferrersFallback::Tag);
    let digest = subject();
    assert!(
        told.ends_with(&format!(
            "is stored, but the registry does not list it among the referrers of `{digest}`"
        )),
        "{told}"
    );
    // An image under the tag of the fallback stays one.
    let image = || {
        Reply::new(200)
            .header("content-type", IMAGE_MANIFEST)
            .body(r#"{"schemaVersion": 2, "layers": []}"#)
    };
    let (told, registry) = attached(absent, image, ReferrersFallback::Tag);
    let tag = digest.as_str().replace(':', "-");
    assert_eq!(
        told,
        format!("`python:{tag}` is not the index of referrers that clients keep under this tag")
    );
    let requests = registry.requests();
    let is_written = |request: &&TestRequest| request.method == "PUT";
    let written: Vec<&str> = requests
        .iter()
        .filter(is_written)
        .map(TestRequest::path)
        .collect();
    assert!(
        written.iter().all(|path| !path.ends_with(&tag)),
        "{written:?}"
    );
}
