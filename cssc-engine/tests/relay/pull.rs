//! What is reachable is given, once it was fetched.

use crate::client::{blob, manifest};
use crate::world::{World, bytes, digest, python};

#[test]
fn an_image_is_pulled_by_digest_and_fetched_once() {
    let world = World::new();
    let layer = bytes(1, 300_000);
    let image = world.image(std::slice::from_ref(&layer));
    let (login, client) = world.login(std::slice::from_ref(&image));
    assert_eq!(client.status("GET", "/v2/"), 200);
    let reply = client.manifest(digest(&image).as_str());
    assert_eq!((reply.status, &reply.body), (200, &image.bytes));
    assert_eq!(
        reply.header("content-type"),
        Some(image.media_type.as_str())
    );
    assert_eq!(
        reply.header("docker-content-digest"),
        Some(digest(&image).as_str())
    );
    let layer_digest = cssc_registry::digest::of(&layer);
    for _ in 0..3 {
        let reply = client.blob(&layer_digest);
        assert_eq!(reply.status, 200);
        assert!(reply.body == layer && reply.is_whole);
        assert_eq!(
            reply.header("docker-content-digest"),
            Some(layer_digest.as_str())
        );
    }
    let head = client.send("HEAD", &blob(&layer_digest), &[], &[]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("300000"))
    );
    let head = client.send("HEAD", &manifest(digest(&image).as_str()), &[], &[]);
    let length = image.bytes.len().to_string();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some(length.as_str()))
    );
    assert_eq!(world.registry.asked("open_blob"), 1);
    assert_eq!(world.registry.asked("get_manifest"), 0, "it is a root");
    assert_eq!(login.requests(), 7);
    assert_eq!(login.failure(), None);
    let figures = world.relay.figures();
    assert_eq!((figures.fetched, figures.served), (300_000, 900_000));
    assert_eq!(
        world
            .relay
            .blob_file(&layer_digest)
            .map(std::fs::read)
            .unwrap()
            .unwrap(),
        layer
    );
    assert_eq!(world.partial(), 0);
    assert_eq!(python(), *login.repository());
}
