//! What goes wrong at the registry is seen, and nothing is kept of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cssc_engine::relay::RelayFailure;
use cssc_registry::{Digest, Manifest};

use crate::client::{Client, blob, read};
use crate::registry::{Fault, Gate};
use crate::world::{World, bytes, digest, eventually};

const SIZE: usize = 200_000;

fn layer() -> Vec<u8> {
    bytes(1, SIZE)
}

fn layer_digest() -> Digest {
    cssc_registry::digest::of(&layer())
}

fn image(world: &World) -> Manifest {
    world.image(&[layer()])
}

fn is_good(client: &Client) {
    let reply = client.blob(&layer_digest());
    assert_eq!(reply.status, 200);
    assert!(reply.is_whole && reply.body == layer());
}

/// With room for the blob, and without.
fn worlds() -> [World; 2] {
    [World::new(), World::with_space(16 << 10)]
}

#[test]
fn a_registry_that_is_away_is_said() {
    for world in worlds() {
        let (login, client) = world.login(&[image(&world)]);
        world.registry.set(Fault::Away);
        let reply = client.blob(&layer_digest());
        assert_eq!((reply.status, reply.code().as_str()), (502, "UNAVAILABLE"));
        let failure = login.failure().unwrap();
        assert!(matches!(failure, RelayFailure::Registry(_)), "{failure:?}");
        assert_eq!(failure.to_string(), "the registry is away");
        world.registry.set(Fault::None);
        is_good(&client);
        eventually("nothing is left", || world.partial() == 0);
    }
}

#[test]
fn a_blob_that_goes_wrong_on_the_way_is_not_given_as_a_whole() {
    for fault in [
        Fault::Dies(0),
        Fault::Dies(1),
        Fault::Dies(SIZE / 2),
        Fault::Dies(SIZE - 1),
        Fault::Ends(0),
        Fault::Ends(SIZE - 1),
        Fault::Lies,
    ] {
        for world in worlds() {
            let (login, client) = world.login(&[image(&world)]);
            let (other, others) = world.login(&[image(&world)]);
            world.registry.set(fault.clone());
            for client in [&client, &others] {
                let reply = client.blob(&layer_digest());
                let is_refused = reply.status == 502 && reply.is_whole;
                assert!(is_refused || !reply.is_whole, "{fault:?} {}", reply.status);
                let range = [("Range", "bytes=199990-")];
                let reply = client.send("GET", &blob(&layer_digest()), &range, &[]);
                let is_refused = reply.status == 502 && reply.is_whole;
                assert!(is_refused || !reply.is_whole, "{fault:?} {}", reply.status);
            }
            for login in [&login, &other] {
                let failure = login.failure();
                let is_said = matches!(failure, Some(RelayFailure::Registry(_)));
                assert!(is_said, "{fault:?} {failure:?}");
            }
            assert_eq!(world.relay.blob_file(&layer_digest()), None);
            assert_eq!(world.partial(), 0, "{fault:?}");
            world.registry.set(Fault::None);
            is_good(&client);
        }
    }
}

#[test]
fn a_client_of_the_registry_that_panics_harms_one_request() {
    for world in worlds() {
        let (login, client) = world.login(&[image(&world)]);
        world.registry.set(Fault::Panics);
        let reply = client.blob(&layer_digest());
        assert!(reply.status >= 500, "{}", reply.status);
        assert!(login.failure().is_some());
        world.registry.set(Fault::None);
        is_good(&client);
        eventually("nothing is left", || world.partial() == 0);
    }
}

#[test]
fn a_manifest_that_is_another_is_not_given() {
    let world = World::new();
    let child = image(&world);
    let index = world.index(std::slice::from_ref(&child));
    let (login, client) = world.login(&[index]);
    for (fault, status) in [(Fault::Lies, 502), (Fault::Away, 502), (Fault::Panics, 502)] {
        world.registry.set(fault.clone());
        let reply = client.manifest(digest(&child).as_str());
        assert_eq!(reply.status, status, "{fault:?}");
        assert_eq!(world.relay.manifest(&digest(&child)), None);
    }
    let failure = login.failure().unwrap().to_string();
    assert!(failure.contains("is another"), "{failure}");
    world.registry.set(Fault::None);
    assert_eq!(
        client.blob(&layer_digest()).status,
        404,
        "not reachable yet"
    );
    assert_eq!(client.manifest(digest(&child).as_str()).body, child.bytes);
    is_good(&client);
}

#[test]
fn all_who_ask_at_once_are_given_what_one_fetch_brings() {
    let world = World::new();
    let gate = Arc::new(Gate::default());
    world
        .registry
        .set(Fault::Waits(SIZE / 2, Arc::clone(&gate)));
    let logins: Vec<_> = (0..3).map(|_| world.login(&[image(&world)])).collect();
    let first = logins[0].1.begin("GET", &blob(&layer_digest()), &[]);
    eventually("it is asked for", || world.registry.asked("open_blob") == 1);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..9)
            .map(|number: usize| {
                let client = &logins[number % 3].1;
                scope.spawn(|| is_good(client))
            })
            .collect();
        eventually("all have asked", || {
            logins.iter().map(|one| one.0.blob_requests()).sum::<u64>() == 10
        });
        // The first goes away; the others go on with what it began.
        drop(first);
        std::thread::sleep(Duration::from_millis(50));
        gate.open();
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(world.registry.asked("open_blob"), 1);
    assert_eq!(world.relay.figures().fetched, 200_000);
    for (login, _) in &logins {
        assert_eq!(login.failure(), None);
    }
}

#[test]
fn a_manifest_is_asked_for_once_too() {
    let world = World::new();
    let child = image(&world);
    let index = world.index(std::slice::from_ref(&child));
    let (login, client) = world.login(&[index]);
    let gate = Arc::new(Gate::default());
    world.registry.set(Fault::Waits(0, Arc::clone(&gate)));
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let reply = client.manifest(digest(&child).as_str());
                assert_eq!(reply.body, child.bytes);
            });
        }
        eventually("all have asked", || login.requests() == 5);
        std::thread::sleep(Duration::from_millis(50));
        gate.open();
    });
    assert_eq!(world.registry.asked("get_manifest"), 1);
}

/// A fetch that no login waits for any more ends, and can be begun anew.
#[test]
fn a_fetch_ends_with_its_logins() {
    let world = World::new();
    let gate = Arc::new(Gate::default());
    world
        .registry
        .set(Fault::Waits(SIZE / 2, Arc::clone(&gate)));
    let (login, client) = world.login(&[image(&world)]);
    let stream = client.begin("GET", &blob(&layer_digest()), &[]);
    eventually("it is asked for", || world.registry.asked("open_blob") == 1);
    drop(login);
    gate.open();
    let begun = Instant::now();
    // Not all of it comes, or no answer at all.
    assert!(!read(&stream, false).is_ok_and(|reply| reply.is_whole));
    assert!(begun.elapsed() < Duration::from_secs(5));
    eventually("nothing is left", || world.partial() == 0);
    world.registry.set(Fault::None);
    let (_login, client) = world.login(&[image(&world)]);
    is_good(&client);
}

/// A registry that gives nothing holds up those who wait for it, and no others.
#[test]
fn a_registry_that_stalls_holds_up_no_others() {
    let world = World::new();
    let held = image(&world);
    let (_login, client) = world.login(std::slice::from_ref(&held));
    is_good(&client);
    let stuck: Vec<Vec<u8>> = (10..60).map(|seed| bytes(seed, 100_000)).collect();
    let stalled = world.image(&stuck);
    let gate = Arc::new(Gate::default());
    world.registry.set(Fault::Waits(10, Arc::clone(&gate)));
    let (_other, others) = world.login(&[stalled]);
    let waiting: Vec<_> = stuck
        .iter()
        .map(|layer| others.begin("GET", &blob(&cssc_registry::digest::of(layer)), &[]))
        .collect();
    eventually("calls are made", || world.registry.asked("open_blob") >= 16);
    let begun = Instant::now();
    is_good(&client);
    assert_eq!(client.push(b"pushed").status, 201);
    assert_eq!(client.manifest(digest(&held).as_str()).status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5));
    gate.open();
    for (stream, layer) in waiting.iter().zip(&stuck) {
        let reply = read(stream, false).unwrap();
        assert!(reply.is_whole && reply.body == *layer);
    }
}
