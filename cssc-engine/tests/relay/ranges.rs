//! Parts of blobs, and what is no part.

use cssc_registry::Digest;

use crate::client::{Client, Reply, blob};
use crate::world::{World, bytes};

fn range(client: &Client, digest: &Digest, range: &str) -> Reply {
    client.send("GET", &blob(digest), &[("Range", range)], &[])
}

/// Each is asked for while the blob is fetched, while it is held, and where there is no room.
#[test]
fn parts_of_a_blob_are_given() {
    const SIZE: usize = 300_000;
    for space in [1 << 30, 4096] {
        let layer = bytes(1, SIZE);
        let digest = cssc_registry::digest::of(&layer);
        for (wanted, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-", 0..SIZE),
            ("bytes=65536-131071", 65_536..131_072),
            ("bytes=65535-65536", 65_535..65_537),
            ("bytes=299999-", SIZE - 1..SIZE),
            ("bytes=-1", SIZE - 1..SIZE),
            ("bytes=-400000", 0..SIZE),
            ("bytes=200000-999999999999999999999999", 200_000..SIZE),
        ] {
            let world = World::with_space(space);
            let image = world.image(std::slice::from_ref(&layer));
            let (login, client) = world.login(&[image]);
            for _ in 0..2 {
                let reply = range(&client, &digest, wanted);
                assert_eq!(reply.status, 206, "{wanted} {space}");
                assert!(reply.is_whole && reply.body == layer[part.clone()]);
                let header = format!("bytes {}-{}/{SIZE}", part.start, part.end - 1);
                assert_eq!(reply.header("content-range"), Some(header.as_str()));
            }
            assert_eq!(login.failure(), None);
        }
    }
}

#[test]
fn what_is_no_part_is_refused_and_what_is_no_range_is_not_looked_at() {
    let world = World::new();
    let layer = bytes(1, 1_000);
    let digest = cssc_registry::digest::of(&layer);
    let image = world.image(std::slice::from_ref(&layer));
    let (login, client) = world.login(&[image]);
    for wanted in [
        "bytes=1000-",
        "bytes=1000-2000",
        "bytes=-0",
        "bytes=99999999999999999999-",
    ] {
        let reply = range(&client, &digest, wanted);
        assert_eq!(reply.status, 416, "{wanted}");
        assert_eq!(reply.header("content-range"), Some("bytes */1000"));
        assert_eq!(reply.code(), "BLOB_UNKNOWN");
    }
    for nonsense in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=0-1,3-4",
        "bytes=0-0,-1",
        "bytes= 1-2",
        "BYTES=1-2",
        "items=1-2",
        "\u{fc}",
    ] {
        let reply = range(&client, &digest, nonsense);
        assert_eq!(reply.status, 200, "{nonsense}");
        assert!(reply.is_whole && reply.body == layer);
    }
    let head = client.send("HEAD", &blob(&digest), &[("Range", "bytes=0-0")], &[]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("1000"))
    );
    assert_eq!(login.failure(), None);
}

#[test]
fn an_empty_blob_has_no_parts() {
    for space in [1 << 30, 0] {
        let world = World::with_space(space);
        let image = world.image(&[Vec::new()]);
        let (_login, client) = world.login(&[image]);
        let digest = cssc_registry::digest::of(b"");
        let reply = client.blob(&digest);
        assert_eq!(
            (reply.status, reply.header("content-length")),
            (200, Some("0"))
        );
        assert_eq!(range(&client, &digest, "bytes=0-").status, 416);
        assert_eq!(range(&client, &digest, "bytes=-1").status, 416);
    }
}
