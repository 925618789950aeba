//! What is pushed is what its digest says, or it is not there.

use std::io::Write as _;

use cssc_registry::{Descriptor, Digest, Manifest};

use crate::client::{blob, read};
use crate::world::{INDEX, MANIFEST, World, bytes, digest, eventually, index_of, manifest_of};

fn of(bytes: &[u8]) -> Digest {
    cssc_registry::digest::of(bytes)
}

/// The same, with another parameter for the digest.
fn with_digest(upload: &str, digest: &str) -> String {
    format!("{upload}?digest={digest}")
}

#[test]
fn an_upload_comes_in_pieces() {
    let world = World::new();
    let (_login, client) = world.login(&[]);
    let content = bytes(3, 700_000);
    let upload = client.upload();
    let empty = client.get(&upload);
    assert_eq!((empty.status, empty.header("range")), (204, Some("0-0")));
    let (first, rest) = content.split_at(300_000);
    let range = [("Content-Range", "0-299999")];
    let reply = client.send("PATCH", &upload, &range, first);
    assert_eq!(
        (reply.status, reply.header("range")),
        (202, Some("0-299999"))
    );
    assert_eq!(reply.location(), upload);
    for wrong in ["0-399999", "299999-699999", "300001-", "x", "-", "-300000"] {
        for method in ["PATCH", "PUT"] {
            let path = with_digest(&upload, of(&content).as_str());
            let reply = client.send(method, &path, &[("Content-Range", wrong)], rest);
            let range = reply.header("range");
            assert_eq!((reply.status, range), (416, Some("0-299999")), "{wrong}");
            assert_eq!(reply.location(), upload);
        }
    }
    let range = [("Content-Range", "300000-399999")];
    let (second, rest) = rest.split_at(100_000);
    assert_eq!(client.send("PATCH", &upload, &range, second).status, 202);
    assert_eq!(client.get(&upload).header("range"), Some("0-399999"));
    let path = with_digest(&upload, of(&content).as_str());
    let reply = client.send("PUT", &path, &[], rest);
    assert_eq!(reply.status, 201);
    assert_eq!(reply.location(), blob(&of(&content)));
    assert!(client.blob(&of(&content)).body == content);
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        assert_eq!(client.send(method, &path, &[], &[]).status, 404, "over");
    }
    assert_eq!(world.partial(), 0);
}

#[test]
fn an_upload_may_be_of_another_algorithm() {
    let world = World::new();
    let (_login, client) = world.login(&[]);
    let other = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
        2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    for (content, status) in [(b"abd", 400), (b"abc", 201)] {
        let path = with_digest(&client.upload(), other);
        assert_eq!(client.send("PUT", &path, &[], content).status, status);
    }
    assert_eq!(client.blob(&other.parse().unwrap()).body, b"abc");
}

#[test]
fn a_blob_of_another_digest_is_not_kept() {
    let world = World::new();
    let (login, client) = world.login(&[]);
    let right = of(b"right");
    let at_once = format!("/v2/team/python/blobs/uploads/?digest={right}");
    let reply = client.send("POST", &at_once, &[], b"wrong");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "DIGEST_INVALID")
    );
    let upload = client.upload();
    assert_eq!(client.send("PATCH", &upload, &[], b"wro").status, 202);
    let reply = client.send("PUT", &with_digest(&upload, right.as_str()), &[], b"ng");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "DIGEST_INVALID")
    );
    assert_eq!(client.get(&upload).status, 404, "it is over");
    for wrong in [
        "",
        "right",
        "sha256:",
        "sha256:AB",
        "md5:abcd",
        "sha256:..%2f..",
    ] {
        let upload = client.upload();
        let reply = client.send("PUT", &with_digest(&upload, wrong), &[], b"right");
        let answer = (reply.status, reply.code());
        assert_eq!(answer, (400, "DIGEST_INVALID".to_owned()), "{wrong}");
        assert_eq!(client.status("DELETE", &upload), 204);
    }
    let upload = client.upload();
    assert_eq!(client.send("PUT", &upload, &[], b"right").status, 400);
    assert_eq!(client.status("DELETE", &upload), 204);
    for digest in [right, of(b"wrong")] {
        assert_eq!(client.blob(&digest).status, 404);
        assert_eq!(world.relay.blob_file(&digest), None);
    }
    assert_eq!(world.partial(), 0);
    assert_eq!(world.relay.figures().stored, 0);
    assert_eq!(login.failure(), None);
}

#[test]
fn a_manifest_of_another_digest_is_not_kept() {
    let world = World::new();
    let image = world.image(&[bytes(1, 100)]);
    let (login, client) = world.login(std::slice::from_ref(&image));
    let mut other = image.clone();
    other.bytes.push(b' ');
    let reply = client.put(digest(&image).as_str(), &other);
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "DIGEST_INVALID")
    );
    assert_eq!(world.relay.manifest(&digest(&other)), None);
    assert_eq!(client.manifest(digest(&other).as_str()).status, 404);
    assert_eq!(login.pushed(), None);
}

#[test]
fn a_manifest_must_be_one_and_complete() {
    let world = World::new();
    let image = world.image(&[bytes(1, 100)]);
    let (login, client) = world.login(std::slice::from_ref(&image));
    let tag = login.tag().to_string();
    let manifest = |media_type: &str, bytes: &[u8]| Manifest {
        media_type: media_type.to_owned(),
        bytes: bytes.to_vec(),
    };
    let unknown = Descriptor::of("a", b"unknown");
    let huge = Descriptor {
        size: u64::MAX,
        ..unknown.clone()
    };
    let mut big = image.clone();
    big.bytes.resize(4 << 20, b' ');
    let mut bigger = big.clone();
    bigger.bytes.push(b' ');
    for (wrong, status, code) in [
        (manifest(MANIFEST, b""), 400, "MANIFEST_INVALID"),
        (manifest(MANIFEST, b"{"), 400, "MANIFEST_INVALID"),
        (manifest(MANIFEST, b"[]"), 400, "MANIFEST_INVALID"),
        (manifest(MANIFEST, b"null"), 400, "MANIFEST_INVALID"),
        (
            manifest(MANIFEST, &vec![b'['; 100_000]),
            400,
            "MANIFEST_INVALID",
        ),
        (manifest(MANIFEST, b"\xff\xfe"), 400, "MANIFEST_INVALID"),
        (manifest("text/html", &image.bytes), 400, "MANIFEST_INVALID"),
        (manifest("", &image.bytes), 400, "MANIFEST_INVALID"),
        (manifest(INDEX, &image.bytes), 400, "MANIFEST_INVALID"),
        (bigger, 413, "MANIFEST_INVALID"),
        (manifest_of(&unknown, &[]), 400, "MANIFEST_BLOB_UNKNOWN"),
        (
            manifest_of(&huge, std::slice::from_ref(&huge)),
            400,
            "MANIFEST_BLOB_UNKNOWN",
        ),
        (
            index_of(&[manifest(MANIFEST, b"unknown")]),
            400,
            "MANIFEST_BLOB_UNKNOWN",
        ),
    ] {
        let reply = client.put(&tag, &wrong);
        let answer = (reply.status, reply.code());
        assert_eq!(answer, (status, code.to_owned()), "{}", wrong.media_type);
    }
    assert_eq!(login.pushed(), None);
    assert_eq!(client.put(&tag, &big).status, 201);
    assert_eq!(login.pushed(), Some(big));
    // A client may leave it to the manifest.
    let path = crate::client::manifest(&tag);
    assert_eq!(client.send("PUT", &path, &[], &image.bytes).status, 201);
    assert_eq!(login.pushed(), Some(image));
    assert_eq!(login.failure(), None);
}

/// Each reference that is not here is a question to the registry.
#[test]
fn a_manifest_asks_the_registry_only_so_much() {
    let world = World::new();
    let (login, client) = world.login(&[]);
    let layers: Vec<Descriptor> = (0..600_u32)
        .map(|number| world.blob("a", &number.to_le_bytes()))
        .collect();
    let reply = client.put(login.tag().as_str(), &manifest_of(&layers[0], &layers));
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "MANIFEST_INVALID")
    );
    assert!(world.registry.asked("has_blob") <= 512);
}

#[test]
fn open_uploads_are_bounded() {
    let world = World::new();
    let (_login, client) = world.login(&[]);
    let begin = || client.status("POST", "/v2/team/python/blobs/uploads/");
    let open = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..250 {
                    match begin() {
                        202 => drop(open.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
                        status => assert_eq!(status, 429),
                    }
                }
            });
        }
    });
    assert_eq!(open.into_inner(), 64);
    assert_eq!(world.partial(), 64);
    let (_other, others) = world.login(&[]);
    let upload = others.upload();
    assert_eq!(client.get(&upload).status, 404, "another's");
    assert_eq!(client.status("DELETE", &upload), 404);
    assert_eq!(others.get(&upload).status, 204);
}

#[test]
fn one_request_at_a_time_writes_to_an_upload() {
    let world = World::new();
    let (_login, client) = world.login(&[]);
    let upload = client.upload();
    let mut slow = client.begin("PATCH", &upload, &[("Content-Length", "6")]);
    slow.write_all(b"abc").unwrap();
    // The first has the turn when the second is refused.
    eventually("the turn is taken", || {
        client.send("PATCH", &upload, &[], b"").status == 409
    });
    let path = with_digest(&upload, of(b"abcdef").as_str());
    assert_eq!(client.send("PUT", &path, &[], b"").status, 409);
    slow.write_all(b"def").unwrap();
    assert_eq!(read(&slow, false).unwrap().status, 202);
    assert_eq!(client.send("PUT", &path, &[], b"").status, 201);
    assert_eq!(client.blob(&of(b"abcdef")).body, b"abcdef");
}

#[test]
fn an_upload_that_breaks_off_can_be_gone_on_with() {
    let world = World::new();
    let (_login, client) = world.login(&[]);
    let upload = client.upload();
    let mut broken = client.begin("PATCH", &upload, &[("Content-Length", "600000")]);
    broken.write_all(&bytes(1, 300_000)).unwrap();
    eventually("some of it was written", || {
        client.get(&upload).header("range") != Some("0-0")
    });
    drop(broken);
    let mut size: usize = 0;
    eventually("the connection is seen to have ended", || {
        let reply = client.send("PATCH", &upload, &[], b"");
        if reply.status == 202 {
            let last = reply.header("range").unwrap().strip_prefix("0-");
            size = last.unwrap().parse::<usize>().unwrap() + 1;
        }
        reply.status == 202
    });
    let rest = &bytes(1, 600_000)[size..];
    let path = with_digest(&upload, of(&bytes(1, 600_000)).as_str());
    let reply = client.send("PUT", &path, &[], rest);
    assert_eq!(reply.status, 201, "{size}: {reply:?}");
    let at_once = format!(
        "/v2/team/python/blobs/uploads/?digest={}",
        of(&bytes(2, 600_000))
    );
    let mut broken = client.begin("POST", &at_once, &[("Content-Length", "600000")]);
    broken.write_all(&bytes(2, 599_999)).unwrap();
    drop(broken);
    eventually("nothing is left of it", || world.partial() == 0);
    assert_eq!(client.blob(&of(&bytes(2, 600_000))).status, 404);
}
