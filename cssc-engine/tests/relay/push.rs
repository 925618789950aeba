//! What is pushed is taken, and stays.

use crate::world::{World, bytes, digest};

#[test]
fn an_image_is_pushed_under_the_tag_of_the_login() {
    let world = World::new();
    let image = world.image(&[bytes(1, 1_000)]);
    let (login, client) = world.login(std::slice::from_ref(&image));
    let layer = bytes(2, 200_000);
    let patched = {
        let elsewhere = World::new();
        elsewhere.image(&[bytes(1, 1_000), layer.clone()])
    };
    assert_eq!(login.pushed(), None);
    let tag = login.tag().to_string();
    let reply = client.put(&tag, &patched);
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "MANIFEST_BLOB_UNKNOWN")
    );
    assert_eq!(client.push(&layer).status, 201);
    let document: serde_json::Value = serde_json::from_slice(&patched.bytes).unwrap();
    let diffs = [bytes(1, 1_000), layer.clone()].map(|layer| cssc_registry::digest::of(&layer));
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diffs},
    });
    assert_eq!(client.push(config.to_string().as_bytes()).status, 201);
    assert_eq!(
        document["config"]["digest"],
        cssc_registry::digest::of(config.to_string().as_bytes()).as_str()
    );
    let reply = client.put(&tag, &patched);
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(
        reply.header("docker-content-digest"),
        Some(digest(&patched).as_str())
    );
    assert_eq!(login.pushed(), Some(patched.clone()));
    assert_eq!(client.manifest(&tag).body, patched.bytes);
    assert_eq!(client.blob(&cssc_registry::digest::of(&layer)).body, layer);
    assert_eq!(
        world.registry.asked("put_blob") + world.registry.asked("put_manifest"),
        0
    );
}
