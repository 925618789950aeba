//! The relay ends, and the next one finds what was kept.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cssc_engine::relay::{Relay, RelayFailure, RelayOnDemand, RelayOptions};
use cssc_registry::RegistryClient;

use crate::client::{Client, blob, read};
use crate::registry::{Fault, Gate};
use crate::world::{World, bytes, digest, eventually};

fn of(bytes: &[u8]) -> cssc_registry::Digest {
    cssc_registry::digest::of(bytes)
}

#[test]
fn its_end_is_the_end_of_every_connection() {
    let world = World::new();
    let layer = bytes(1, 12_000_000);
    let image = world.image(&[layer.clone(), bytes(2, 100_000)]);
    let (login, client) = world.login(&[image]);
    assert!(client.blob(&of(&layer)).is_whole);
    // Held, but not read; coming; being pushed; and idle.
    let slow = client.begin("GET", &blob(&of(&layer)), &[]);
    let gate = Arc::new(Gate::default());
    world.registry.set(Fault::Waits(10, Arc::clone(&gate)));
    let stalled = client.begin("GET", &blob(&of(&bytes(2, 100_000))), &[]);
    eventually("it is asked for", || world.registry.asked("open_blob") == 2);
    let upload = client.upload();
    let mut pushing = client.begin("PATCH", &upload, &[("Content-Length", "1000000")]);
    pushing.write_all(&bytes(3, 500_000)).unwrap();
    let mut idle = world.connect();
    idle.write_all(b"GET /v2").unwrap();
    eventually("all have come", || login.requests() >= 5);
    let World { relay, folder, .. } = world;
    let begun = Instant::now();
    drop(relay);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    for (name, mut stream) in [("stalled", stalled), ("pushing", pushing), ("idle", idle)] {
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        let timed_out = end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "{name}");
    }
    assert!(!read(&slow, false).unwrap().is_whole);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    // What the registry still gives is not kept.
    gate.open();
    std::thread::sleep(Duration::from_millis(50));
    let held = folder
        .path()
        .join("blobs/sha256")
        .join(of(&bytes(2, 100_000)).hex());
    assert!(!held.exists());
    drop(login);
}

#[test]
fn what_is_kept_is_found_again_and_the_rest_may_go() {
    let world = World::new();
    let layer = bytes(1, 100_000);
    let image = world.image(std::slice::from_ref(&layer));
    let (login, client) = world.login(std::slice::from_ref(&image));
    assert!(client.blob(&of(&layer)).is_whole);
    let pushed = bytes(2, 100_000);
    assert_eq!(client.push(&pushed).status, 201);
    assert_eq!(client.put(login.tag().as_str(), &image).status, 201);
    let upload = client.upload();
    assert_eq!(client.send("PATCH", &upload, &[], b"abc").status, 202);
    let put = world.relay.put_blob(b"put").unwrap();
    world.relay.keep([of(&pushed), digest(&image)]);
    drop(login);
    let world = world.restart(1 << 30);
    assert_eq!(world.partial(), 0);
    for kept in [&of(&pushed), &put, &of(&layer)] {
        assert!(world.relay.blob_file(kept).is_some(), "{kept}");
    }
    assert_eq!(world.relay.manifest(&digest(&image)), Some(image.clone()));
    let (_login, client) = world.login(std::slice::from_ref(&image));
    world.registry.set(Fault::Away);
    assert_eq!(client.blob(&of(&layer)).body, layer, "it needs no fetch");
    // With less room what is not kept goes.
    let world = world.restart(108 << 10);
    assert_eq!(world.relay.blob_file(&of(&layer)), None);
    assert!(world.relay.blob_file(&of(&pushed)).is_some());
    assert_eq!(world.relay.manifest(&digest(&image)), Some(image.clone()));
    world
        .relay
        .forget([of(&pushed), digest(&image), put.clone()]);
    let world = world.restart(0);
    for gone in [&of(&pushed), &put] {
        assert_eq!(world.relay.blob_file(gone), None);
    }
    assert_eq!(world.relay.figures().stored, 0);
}

#[test]
fn what_was_damaged_is_not_served() {
    let world = World::new();
    let layer = bytes(1, 100_000);
    let image = world.image(std::slice::from_ref(&layer));
    let index = world.index(std::slice::from_ref(&image));
    let (login, client) = world.login(std::slice::from_ref(&index));
    assert!(client.manifest(digest(&image).as_str()).is_whole);
    assert!(client.blob(&of(&layer)).is_whole);
    let put = world.relay.put_blob(b"put").unwrap();
    drop(login);
    let file = |kind: &str, digest: &cssc_registry::Digest| {
        let folder = world.folder.path().join(kind).join("sha256");
        folder.join(digest.hex())
    };
    let (one, two, three) = (
        file("blobs", &of(&layer)),
        file("manifests", &digest(&image)),
        file("blobs", &put),
    );
    let World {
        registry,
        relay,
        folder,
        layouts,
    } = world;
    drop(relay);
    let mut damaged = layer.clone();
    damaged[50_000] ^= 1;
    std::fs::write(&one, damaged).unwrap();
    let mut manifest = std::fs::read(&two).unwrap();
    manifest.pop();
    std::fs::write(&two, manifest).unwrap();
    std::fs::write(&three, b"").unwrap();
    std::fs::write(folder.path().join("blobs/sha256/other"), b"of another").unwrap();
    let world = World::over(registry, folder, layouts, 1 << 30);
    assert_eq!(world.relay.blob_file(&put), None);
    assert_eq!(world.relay.manifest(&digest(&image)), None);
    let (login, client) = world.login(&[index]);
    assert_eq!(client.manifest(digest(&image).as_str()).body, image.bytes);
    assert_eq!(client.blob(&of(&layer)).body, layer);
    assert_eq!(world.registry.asked("open_blob"), 2, "it was fetched anew");
    assert_eq!(login.failure(), None);
}

#[test]
fn a_folder_is_of_one_relay() {
    let world = World::new();
    let client: Arc<dyn RegistryClient> = world.registry.clone();
    let start = |folder: &std::path::Path| {
        Relay::start(folder, Arc::clone(&client), &RelayOptions::default())
    };
    let error = start(world.folder.path()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ResourceBusy);
    let World { relay, folder, .. } = world;
    drop(relay);
    drop(start(folder.path()).unwrap());
    let link = folder.path().join("link");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(start(&link).is_err(), "a link is not a folder of this user");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(start(&file).is_err());
}

#[test]
fn only_near_addresses_are_listened_at() {
    let world = World::new();
    let client: Arc<dyn RegistryClient> = world.registry.clone();
    for address in [
        "0.0.0.0",
        "8.8.8.8",
        "::",
        "169.254.1.1",
        "100.64.0.1",
        "::ffff:8.8.8.8",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let options = RelayOptions {
            listen: Some(address.parse().unwrap()),
            ..RelayOptions::default()
        };
        let error = Relay::start(folder.path(), Arc::clone(&client), &options).unwrap_err();
        assert!(error.to_string().contains("RFC 1918"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    let folder = tempfile::tempdir().unwrap();
    let taken = world.relay.authority().rsplit_once(':').unwrap().1;
    let options = RelayOptions {
        port: taken.parse().unwrap(),
        ..RelayOptions::default()
    };
    let error = Relay::start(folder.path(), Arc::clone(&client), &options).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let options = RelayOptions {
        listen: Some("127.0.0.1".parse().unwrap()),
        name: Some("relay.internal".to_owned()),
        ..RelayOptions::default()
    };
    let on_demand = RelayOnDemand::new(folder.path().to_owned(), client, options, None);
    assert!(on_demand.started().is_none());
    let authority = on_demand.get().unwrap().authority().to_owned();
    assert!(authority.starts_with("relay.internal:"), "{authority}");
    assert!(on_demand.started().is_some());
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    // Three layers of 25 blocks each, one block for each configuration and manifest.
    let world = World::with_space(100 * 4096);
    let layers: Vec<Vec<u8>> = (1..5).map(|seed| bytes(seed, 100_000)).collect();
    let image = world.image(&layers);
    let (login, client) = world.login(&[image]);
    for layer in &layers[..3] {
        assert!(client.blob(&of(layer)).is_whole);
    }
    assert!(client.blob(&of(&layers[0])).is_whole);
    let is_held = |layer: &Vec<u8>| {
        let folder = world.folder.path().join("blobs/sha256");
        folder.join(of(layer).hex()).exists()
    };
    assert_eq!(client.push(&bytes(9, 150_000)).status, 201);
    let held: Vec<bool> = layers.iter().map(is_held).collect();
    assert_eq!(held, [true, false, true, false]);
    assert!(client.blob(&of(&layers[3])).is_whole);
    let held: Vec<bool> = layers.iter().map(is_held).collect();
    assert_eq!(held, [true, false, false, true]);
    assert!(world.relay.figures().stored <= 100 * 4096);
    assert_eq!(login.failure(), None);
}

#[test]
fn what_was_pushed_stays_until_the_relay_is_full() {
    let world = World::with_space(100 * 4096);
    let layer = bytes(1, 200_000);
    let image = world.image(std::slice::from_ref(&layer));
    let (login, client) = world.login(std::slice::from_ref(&image));
    let kept = world.relay.put_blob(&bytes(2, 100_000)).unwrap();
    let first = bytes(3, 150_000);
    assert_eq!(client.push(&first).status, 201);
    let (other, others) = world.login(std::slice::from_ref(&image));
    let reply = others.push(&bytes(4, 200_000));
    assert_eq!((reply.status, reply.code().as_str()), (507, "DENIED"));
    let full = Some(RelayFailure::Full { space: 100 * 4096 });
    assert_eq!(other.failure(), full);
    let upload = others.upload();
    let reply = others.send("PATCH", &upload, &[], &bytes(4, 200_000));
    assert_eq!(reply.status, 507);
    assert_eq!(others.status("DELETE", &upload), 204);
    // What there is no room for is passed through.
    let reply = others.blob(&of(&layer));
    assert!(reply.is_whole && reply.body == layer);
    assert_eq!(world.relay.blob_file(&of(&layer)), None);
    assert!(world.relay.put_blob(&bytes(5, 200_000)).is_err());
    for held in [&kept, &of(&first)] {
        assert!(world.relay.blob_file(held).is_some());
    }
    assert_eq!(login.failure(), None);
    assert_eq!(world.partial(), 0);
    // When its login goes there is room again.
    drop(login);
    assert_eq!(others.push(&bytes(4, 200_000)).status, 201);
    assert_eq!(world.relay.blob_file(&of(&first)), None);
    world.relay.forget([kept.clone()]);
    assert_eq!(Client::of(&other).push(&bytes(6, 150_000)).status, 201);
    assert_eq!(world.relay.blob_file(&kept), None);
}

/// What is read is not taken away from the one who reads it.
#[test]
fn what_is_read_stays() {
    let world = World::with_space(3_800 * 4096);
    let layer = bytes(1, 12_000_000);
    let image = world.image(std::slice::from_ref(&layer));
    let (_login, client) = world.login(&[image]);
    assert!(client.blob(&of(&layer)).is_whole);
    let slow = client.begin("GET", &blob(&of(&layer)), &[]);
    slow.peek(&mut [0]).unwrap();
    assert_eq!(client.push(&bytes(2, 6_000_000)).status, 507);
    let reply = read(&slow, false).unwrap();
    assert!(reply.is_whole && reply.body == layer);
    eventually("the reader is seen to have ended", || {
        client.push(&bytes(2, 6_000_000)).status == 201
    });
}
