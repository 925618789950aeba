//! A login may read what is reachable from its image, write its own tag, and nothing else.

use std::sync::Arc;

use cssc_engine::relay::{Login, ToolingImages, tooling_name};
use cssc_registry::{
    Descriptor, LayoutRegistry, Manifest, Reference, RegistryClient, RegistryError, Repository,
};

use crate::client::{Client, basic, blob, manifest};
use crate::world::{World, bytes, digest, index_of, manifest_of, python};

#[test]
fn without_its_password_a_login_is_none() {
    let world = World::new();
    let image = world.image(&[bytes(1, 100)]);
    let (one, client) = world.login(std::slice::from_ref(&image));
    let (other, _) = world.login(std::slice::from_ref(&image));
    let paths = [
        "/v2/".to_owned(),
        manifest(digest(&image).as_str()),
        blob(&cssc_registry::digest::of(&bytes(1, 100))),
        "/v2/team/python/blobs/uploads/".to_owned(),
        "/".to_owned(),
    ];
    let right = basic(one.user(), one.password());
    let wrong = [
        String::new(),
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic !!!".to_owned(),
        "Basic =".to_owned(),
        right.replace("Basic", "Bearer"),
        right.replace("Basic", "Digest"),
        format!("{right}x"),
        basic("", ""),
        basic(one.user(), ""),
        basic(one.user(), other.password()),
        basic(other.user(), one.password()),
        basic(one.user(), &one.password().to_uppercase().replace('0', "1")),
        basic(one.user(), &format!("{}0", one.password())),
        basic(one.user(), &one.password()[1..]),
        basic(&format!("{} ", one.user()), one.password()),
    ];
    let mut clients: Vec<Client> = wrong.iter().map(|value| client.as_(value)).collect();
    clients.push(client.anonymous());
    for path in &paths {
        for client in &clients {
            for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
                let reply = client.send(method, path, &[], b"abc");
                assert_eq!(reply.status, 401, "{method} {path} {client:?}");
                let asks = reply.header("www-authenticate");
                assert_eq!(asks, Some("Basic realm=\"cssc\""));
            }
        }
    }
    assert_eq!((one.requests(), other.requests()), (0, 0));
    assert_eq!(one.failure(), None);
    for scheme in ["Basic ", "basic ", "BASIC "] {
        let client = client.as_(&right.replace("Basic ", scheme));
        assert_eq!(client.status("GET", "/v2/"), 200);
    }
}

#[test]
fn a_login_that_was_dropped_is_none_any_more() {
    let world = World::new();
    let image = world.image(&[bytes(1, 100)]);
    let (login, client) = world.login(std::slice::from_ref(&image));
    let upload = client.upload();
    assert_eq!(world.partial(), 1);
    assert_eq!(client.status("GET", "/v2/"), 200);
    drop(login);
    assert_eq!(client.status("GET", "/v2/"), 401);
    assert_eq!(client.status("GET", &upload), 401);
    assert_eq!(client.send("PATCH", &upload, &[], b"abc").status, 401);
    assert_eq!(world.partial(), 0, "its uploads went with it");
}

/// What a login must not have: neither manifest nor blob, and nothing is said of either.
fn is_out_of_reach(client: &Client, thing: &cssc_registry::Digest) {
    for path in [manifest(thing.as_str()), blob(thing)] {
        let reply = client.get(&path);
        assert_eq!(reply.status, 404, "{path}");
        let code = reply.code();
        assert!(
            code == "MANIFEST_UNKNOWN" || code == "BLOB_UNKNOWN",
            "{code}"
        );
    }
    let head = client.status("HEAD", &manifest(thing.as_str()));
    assert_eq!(head, 404);
}

#[test]
fn what_is_not_reachable_is_not_found() {
    let world = World::new();
    let image = world.image(&[bytes(1, 100)]);
    let sibling = world.image(&[bytes(2, 100)]);
    let elsewhere: Repository = "team/secret".parse().unwrap();
    let registry = &world.registry.inner;
    let secret = registry.put_blob(&elsewhere, b"secret").unwrap();
    let held = world.relay.put_blob(b"kept").unwrap();
    let (_login, client) = world.login(std::slice::from_ref(&image));
    let (_other, others) = world.login(std::slice::from_ref(&sibling));
    let pushed = b"pushed by another".as_slice();
    assert_eq!(others.push(pushed).status, 201);
    let layer = world.blob("application/vnd.oci.image.layer.v1.tar", pushed);
    assert_eq!(others.blob(&layer.digest).status, 200);
    // Fetched, and held by now.
    assert_eq!(
        others
            .blob(&cssc_registry::digest::of(&bytes(2, 100)))
            .status,
        200
    );
    for thing in [
        digest(&sibling),
        cssc_registry::digest::of(&bytes(2, 100)),
        secret.clone(),
        held,
        layer.digest,
        cssc_registry::digest::of(b"nowhere"),
        // A manifest is no blob of its own image either.
        cssc_registry::digest::of(b""),
    ] {
        is_out_of_reach(&client, &thing);
    }
    assert_eq!(client.blob(&digest(&image)).status, 404);
    for repository in ["team/secret", "team", "team/python/x", "python", "other"] {
        for part in [
            format!("blobs/{secret}"),
            format!("manifests/{}", digest(&image)),
            "manifests/latest".to_owned(),
        ] {
            let path = format!("/v2/{repository}/{part}");
            assert_eq!(client.status("GET", &path), 404, "{path}");
            assert_eq!(client.status("HEAD", &path), 404, "{path}");
        }
        let path = format!("/v2/{repository}/blobs/uploads/");
        assert_eq!(client.status("POST", &path), 404, "{path}");
        let mount = format!("{path}?mount={secret}&from=team/secret");
        assert_eq!(client.status("POST", &mount), 404, "{path}");
    }
    let mount = format!("/v2/team/python/blobs/uploads/?mount={secret}&from=team/secret");
    assert_eq!(client.status("POST", &mount), 202, "an upload begins");
    assert_eq!(client.blob(&secret).status, 404);
}

/// To refer to something, or to learn that it need not be pushed, does not make it readable.
#[test]
fn to_name_something_does_not_make_it_readable() {
    let world = World::new();
    let image = world.image(&[bytes(1, 100)]);
    let sibling = world.image(&[bytes(2, 100)]);
    let layer = Descriptor::of("application/vnd.oci.image.layer.v1.tar", &bytes(2, 100));
    let (login, client) = world.login(std::slice::from_ref(&image));
    assert_eq!(client.status("HEAD", &blob(&layer.digest)), 200);
    let mount = format!(
        "/v2/{}/blobs/uploads/?mount={}&from=x",
        python(),
        layer.digest
    );
    assert_eq!(client.status("POST", &mount), 201);
    is_out_of_reach(&client, &layer.digest);
    let thief = manifest_of(&layer, std::slice::from_ref(&layer));
    assert_eq!(client.put(login.tag().as_str(), &thief).status, 201);
    let index = index_of(&[sibling.clone(), thief]);
    assert_eq!(client.put(login.tag().as_str(), &index).status, 201);
    assert_eq!(client.manifest(login.tag().as_str()).body, index.bytes);
    is_out_of_reach(&client, &layer.digest);
    is_out_of_reach(&client, &digest(&sibling));
}

/// Clients take the length of this answer for the size of the blob.
#[test]
fn a_blob_that_need_not_be_pushed_has_no_length_of_nothing() {
    let world = World::new();
    let image = world.image(&[bytes(1, 100)]);
    let sibling = world.blob("a", &bytes(2, 100));
    let (_login, client) = world.login(&[image]);
    let head = client.send("HEAD", &blob(&sibling.digest), &[], &[]);
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), None);
}

#[test]
fn only_its_own_tag_is_read_and_written() {
    let world = World::new();
    let image = world.image(&[bytes(1, 100)]);
    let registry = &world.registry.inner;
    let latest = Reference::Tag("latest".parse().unwrap());
    registry.put_manifest(&python(), &latest, &image).unwrap();
    let (one, client) = world.login(std::slice::from_ref(&image));
    let (two, others) = world.login(std::slice::from_ref(&image));
    assert_eq!(others.put(two.tag().as_str(), &image).status, 201);
    let own = one.tag().as_str();
    let near = [
        format!("{own}x"),
        format!("{own}.1"),
        format!("{own}_1"),
        own[1..].to_owned(),
        own[..own.len() - 1].to_owned(),
        format!("x{own}"),
    ];
    let near = near.iter().map(String::as_str);
    for tag in near.chain(["latest", two.tag().as_str(), "a"]) {
        assert_eq!(client.manifest(tag).status, 404, "{tag}");
        assert_eq!(client.put(tag, &image).status, 404, "{tag}");
        assert_eq!(client.status("HEAD", &manifest(tag)), 404, "{tag}");
    }
    assert_eq!(client.manifest(own).status, 404, "nothing was pushed");
    assert_eq!(client.put(own, &image).status, 201);
    assert_eq!(client.manifest(own).body, image.bytes);
    let platform = format!("{own}-arm64");
    assert_eq!(client.put(&platform, &image).status, 201);
    assert_eq!(client.manifest(&platform).body, image.bytes);
    assert_eq!(one.pushed_digest(), Some(digest(&image)));
    assert_eq!(world.registry.asked("put_manifest"), 0);
}

/// Tooling images of one registry, in a layout.
struct Tools(Arc<LayoutRegistry>);

impl ToolingImages for Tools {
    fn registry(
        &self,
        host: &cssc_engine::relay::Registry,
    ) -> Result<Arc<dyn RegistryClient>, RegistryError> {
        if host.as_str() == "tools.example.org" {
            return Ok(self.0.clone());
        }
        Err(RegistryError::absent("no such registry"))
    }
}

fn tooling_world() -> (World, Arc<LayoutRegistry>, tempfile::TempDir) {
    let mut world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let tools = Arc::new(LayoutRegistry::open(folder.path()).unwrap());
    world.relay = world.relay.with_tooling(Arc::new(Tools(tools.clone())));
    (world, tools, folder)
}

fn tool_path(part: &str) -> String {
    let host = "tools.example.org".parse().unwrap();
    let name = tooling_name(&host, &"copa/tool".parse().unwrap());
    format!("/v2/{name}/{part}")
}

fn tooling_login(world: &World, roots: &[Manifest]) -> (Login, Client) {
    let login = world.relay.login_with_tooling(&python(), roots);
    let client = Client::of(&login);
    (login, client)
}

#[test]
fn tooling_images_are_read_by_those_who_may() {
    let (world, tools, _folder) = tooling_world();
    let repository: Repository = "copa/tool".parse().unwrap();
    let layer = Descriptor::of("application/vnd.oci.image.layer.v1.tar", b"tool");
    tools.put_blob(&repository, b"tool").unwrap();
    let image = manifest_of(&layer, std::slice::from_ref(&layer));
    let tag = Reference::Tag("v1".parse().unwrap());
    tools.put_manifest(&repository, &tag, &image).unwrap();
    let (login, client) = tooling_login(&world, &[]);
    let by_digest = tool_path(&format!("manifests/{}", digest(&image)));
    let content = tool_path(&format!("blobs/{}", layer.digest));
    assert_eq!(client.status("GET", &content), 404, "not reachable yet");
    assert_eq!(client.get(&tool_path("manifests/v1")).body, image.bytes);
    assert_eq!(client.get(&content).body, b"tool");
    assert_eq!(client.get(&by_digest).body, image.bytes);
    assert_eq!(login.failure(), None);
    for (method, path) in [
        ("PUT", tool_path("manifests/v1")),
        ("POST", tool_path("blobs/uploads/")),
        ("DELETE", by_digest.clone()),
    ] {
        assert_eq!(client.status(method, &path), 405, "{method} {path}");
    }
    let (_login, others) = world.login(&[]);
    for path in [by_digest, content, tool_path("manifests/v1")] {
        assert_eq!(others.status("GET", &path), 404, "{path}");
    }
    let unknown = "/v2/tooling/other.example.org/a/manifests/v1";
    assert_eq!(client.status("GET", unknown), 404);
}

/// All manifests of a tooling repository may be read, and only those.
#[test]
fn a_tooling_repository_is_no_way_to_what_is_held() {
    let (world, _tools, _folder) = tooling_world();
    let secret = world.image(&[bytes(1, 100)]);
    let (_owner, others) = world.login(std::slice::from_ref(&secret));
    assert_eq!(others.put(digest(&secret).as_str(), &secret).status, 201);
    world.relay.put_manifest(&secret).unwrap();
    let (_login, client) = tooling_login(&world, &[]);
    let path = tool_path(&format!("manifests/{}", digest(&secret)));
    assert_eq!(client.status("GET", &path), 404);
    let layer = cssc_registry::digest::of(&bytes(1, 100));
    let path = tool_path(&format!("blobs/{layer}"));
    assert_eq!(client.status("GET", &path), 404);
}
