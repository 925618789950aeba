//! Storing blobs in registries that take them in one way or another.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cssc_core::Repository;
use cssc_registry::testing::{Reply, TestRegistry, TestRequest};
use cssc_registry::{
    Credential, Digest, Manifest, OciOptions, OciRegistry, Reference, RegistryClient, RegistryError,
};

fn python() -> Repository {
    "python".parse().unwrap()
}

fn client(registry: &TestRegistry) -> OciRegistry {
    let options = OciOptions::default()
        .credential(Credential::password("me", "hunter2"))
        .timeout(Duration::from_secs(60));
    OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap()
}

fn put(registry: &TestRegistry, blob: &[u8]) -> Result<Digest, RegistryError> {
    client(registry).put_blob(&python(), blob)
}

/// A registry whose uploads are answered by `upload`; nothing is there yet.
fn start(upload: impl Fn(&TestRequest) -> Reply + Send + Sync + 'static) -> TestRegistry {
    TestRegistry::start(move |request| match request.method.as_str() {
        "HEAD" => Reply::error(404, "BLOB_UNKNOWN"),
        _ if request.header("authorization").is_none() => {
            Reply::new(401).header("www-authenticate", "Basic realm=x")
        }
        _ => upload(request),
    })
    .unwrap()
}

/// The requests that were let in, without those for what is there.
fn uploads(registry: &TestRegistry) -> Vec<TestRequest> {
    let mut requests = registry.requests();
    requests
        .retain(|request| request.method != "HEAD" && request.header("authorization").is_some());
    requests
}

#[test]
fn the_place_of_an_upload_may_be_written_in_every_way() {
    for location in [
        "/elsewhere/1?state=a%2Fb",
        "1?state=a%2Fb",
        "http://HOST/elsewhere/1?state=a%2Fb",
        "//HOST/elsewhere/1?state=a%2Fb",
        // As those say that do not know of the TLS before them.
        "https://HOST/elsewhere/1?state=a%2Fb",
    ] {
        let registry = start(move |request| match request.method.as_str() {
            "POST" => {
                let host = request.header("host").unwrap();
                Reply::new(202).header("location", location.replace("HOST", host))
            }
            _ => Reply::new(201),
        });
        let digest = put(&registry, b"layer").unwrap();
        let sent = uploads(&registry);
        assert_eq!(sent.len(), 2, "{location}");
        let digest = digest.as_str().replace(':', "%3A");
        assert!(
            (sent[1].target).ends_with(&format!("/1?state=a%2Fb&digest={digest}")),
            "{}",
            sent[1].target
        );
        assert_eq!(sent[1].body, b"layer");
    }
}

#[test]
fn a_place_that_is_missing_or_not_safe_is_refused() {
    for (location, reason) in [
        (None, "does not say where to send a blob"),
        (Some("ftp://a/"), "does not say where to send a blob"),
        (
            Some("http://registry.example.com/"),
            "wants a blob to be sent over plain HTTP",
        ),
    ] {
        let registry = start(move |_| match location {
            Some(location) => Reply::new(202).header("location", location),
            None => Reply::new(202),
        });
        let error = put(&registry, b"layer").unwrap_err().to_string();
        assert!(error.ends_with(reason), "{error}");
    }
}

/// Takes blobs in chunks of at most two megabytes, each of which tells where the next one goes.
fn chunked(status: u16) -> TestRegistry {
    let received = AtomicUsize::new(0);
    start(move |request| {
        let so_far = received.load(Ordering::SeqCst);
        let place = |number: usize| format!("/v2/python/blobs/uploads/1?at={number}");
        match request.method.as_str() {
            "POST" => Reply::new(202).header("location", place(0)),
            "PATCH" => {
                let length = request.body.len();
                let range = format!("{so_far}-{}", so_far + length - 1);
                let at = so_far.to_string();
                if length > 2 << 20
                    || request.header("content-range") != Some(&range)
                    || request.query("at") != Some(&at)
                {
                    return Reply::error(416, "BLOB_UPLOAD_INVALID");
                }
                received.store(so_far + length, Ordering::SeqCst);
                Reply::new(202).header("location", place(so_far + length))
            }
            _ if !request.body.is_empty() => Reply::error(status, "BLOB_UPLOAD_INVALID"),
            _ => Reply::new(201),
        }
    })
}

#[test]
fn a_registry_that_takes_no_blob_at_once_gets_it_in_chunks() {
    let blob: Vec<u8> = (0..(5 << 19)).map(|n: u32| n.to_le_bytes()[1]).collect();
    for status in [400, 405, 411, 413, 415, 501] {
        let registry = chunked(status);
        let digest = put(&registry, &blob).unwrap();
        let sent = uploads(&registry);
        let methods: Vec<&str> = sent.iter().map(|request| request.method.as_str()).collect();
        assert_eq!(
            methods,
            ["POST", "PUT", "POST", "PATCH", "PATCH", "PATCH", "PUT"],
            "{status}"
        );
        let received: Vec<u8> = (sent[3..6].iter())
            .flat_map(|request| request.body.clone())
            .collect();
        assert_eq!(received, blob);
        let digest = digest.as_str().replace(':', "%3A");
        assert_eq!(
            sent[6].target,
            format!(
                "/v2/python/blobs/uploads/1?at={}&digest={digest}",
                blob.len()
            )
        );
    }
    // What is refused for another reason is not tried in another way.
    let registry = chunked(507);
    assert!(put(&registry, &blob).is_err());
    assert!(
        uploads(&registry)
            .iter()
            .all(|request| request.method != "PATCH")
    );
    let registry = start(|request| match request.method.as_str() {
        "POST" => Reply::new(202).header("location", "/up"),
        _ => Reply::error(400, "DIGEST_INVALID"),
    });
    let error = put(&registry, b"layer").unwrap_err().to_string();
    assert!(error.contains("400 Bad Request (DIGEST_INVALID"), "{error}");
}

#[test]
fn chunks_are_as_long_as_the_registry_wants_them() {
    let registry = start(|request| match request.method.as_str() {
        "POST" => Reply::new(202)
            .header("location", "/up")
            .header("oci-chunk-min-length", "3000000"),
        "PUT" if !request.body.is_empty() => Reply::new(413),
        // Some do not say again where to go on.
        _ => Reply::new(202),
    });
    put(&registry, &vec![0; 4_000_000]).unwrap();
    let sent = uploads(&registry);
    let lengths: Vec<usize> = (sent.iter())
        .filter(|request| request.method == "PATCH")
        .map(|request| request.body.len())
        .collect();
    assert_eq!(lengths, [3_000_000, 1_000_000]);
}

#[test]
fn what_writes_follows_redirects_that_keep_the_method() {
    for status in [307, 308] {
        let elsewhere = TestRegistry::start(|_| Reply::new(201)).unwrap();
        let storage = format!("http://{}/blob?signature=s", elsewhere.host());
        let registry = start(
            move |request| match (request.method.as_str(), request.path()) {
                ("POST", "/v2/python/blobs/uploads/") => {
                    Reply::new(status).header("location", "/moved/uploads/")
                }
                ("POST", "/moved/uploads/") => Reply::new(202).header("location", "1"),
                ("PUT", "/moved/uploads/1") => {
                    Reply::new(status).header("location", storage.clone())
                }
                ("PUT", "/v2/python/manifests/a") => {
                    Reply::new(status).header("location", "/moved/manifests/a")
                }
                ("PUT", "/moved/manifests/a") => Reply::new(201),
                _ => Reply::new(400),
            },
        );
        put(&registry, b"layer").unwrap();
        let stored = elsewhere.requests();
        assert_eq!(stored.len(), 1);
        assert_eq!(
            (stored[0].method.as_str(), &stored[0].body[..]),
            ("PUT", &b"layer"[..])
        );
        assert_eq!(stored[0].header("authorization"), None);

        let manifest = Manifest {
            media_type: "application/json".to_owned(),
            bytes: b"{}".to_vec(),
        };
        let tag = Reference::Tag("a".parse().unwrap());
        client(&registry)
            .put_manifest(&python(), &tag, &manifest)
            .unwrap();
    }
    // Another status asks for the result to be fetched, which is not the same.
    for status in [301, 302, 303] {
        let registry = start(move |_| Reply::new(status).header("location", "/moved"));
        let error = put(&registry, b"layer").unwrap_err().to_string();
        assert!(error.contains(&format!("answered {status}")), "{error}");
        assert!(
            uploads(&registry)
                .iter()
                .all(|request| request.path() != "/moved")
        );
    }
}
