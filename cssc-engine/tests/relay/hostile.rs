//! Clients that do not keep to the protocol, or to any measure, harm themselves only.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::client::{Client, blob, manifest};
use crate::world::{World, bytes, digest, eventually};

fn of(bytes: &[u8]) -> cssc_registry::Digest {
    cssc_registry::digest::of(bytes)
}

/// What comes back for these bytes, until the connection ends or nothing comes any more.
fn exchange(world: &World, request: &[u8]) -> String {
    let mut stream = world.connect();
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    // The server may wait for more, or for another request.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers.
fn statuses(answer: &str) -> Vec<&str> {
    let heads = answer.match_indices("HTTP/1.1 ");
    heads
        .filter_map(|(at, _)| answer.get(at + 9..at + 12))
        .collect()
}

#[test]
fn garbage_is_refused() {
    let world = World::new();
    let (login, client) = world.login(&[]);
    let mut long = b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    long.resize(100_000, b'a');
    let mut many = b"GET /v2/ HTTP/1.1\r\n".to_vec();
    for number in 0..5_000 {
        many.extend_from_slice(format!("X{number}: y\r\n").as_bytes());
    }
    let mut path = b"GET /v2/".to_vec();
    path.resize(100_000, b'a');
    path.extend_from_slice(b" HTTP/1.1\r\n\r\n");
    let mut tls = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    tls.resize(500, 7);
    for request in [
        b"".as_slice(),
        b"\r\n\r\n",
        b"\0\0\0\0\0\0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v2/\r\n\r\n",
        b"GET /v2/ HTTP/9.9\r\n\r\n",
        b"GET  /v2/ HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nA b: c\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n: c\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\nab",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        &long,
        &many,
        &path,
        &tls,
    ] {
        let answer = exchange(&world, request);
        let statuses = statuses(&answer);
        let is_refused = statuses.iter().all(|status| status.starts_with('4'));
        assert!(is_refused && statuses.len() <= 1, "{answer}");
        assert_eq!(client.status("GET", "/v2/"), 200, "it goes on");
    }
    assert_eq!(login.failure(), None);
}

/// What could be read as one request or as two is never a second request.
#[test]
fn requests_cannot_be_smuggled() {
    let world = World::new();
    let (login, client) = world.login(&[]);
    let smuggled = format!("{}\r\n", client.head("GET", "/v2/", &[]));
    let requests = |headers: &[(&str, &str)], body: &str| {
        let before = login.requests();
        let head = client.head("POST", "/v2/team/python/blobs/uploads/", headers);
        let answer = exchange(&world, format!("{head}\r\n{body}{smuggled}").as_bytes());
        assert!(login.requests() - before <= 2, "{headers:?}: {answer}");
        (statuses(&answer).len(), answer)
    };
    let length = smuggled.len().to_string();
    let (answers, _) = requests(&[("Content-Length", &length)], "");
    assert_eq!(answers, 1, "it is the body");
    // Both: the body ends where its chunks do, or there is no answer but an error.
    let both = [
        ("Content-Length", length.as_str()),
        ("Transfer-Encoding", "chunked"),
    ];
    let (answers, answer) = requests(&both, "0\r\n\r\n");
    assert!(answers <= 2, "{answer}");
    for headers in [
        [("Content-Length", "0"), ("Content-Length", length.as_str())],
        [
            ("Transfer-Encoding", "chunked"),
            ("Transfer-Encoding", "identity"),
        ],
        [("Transfer-Encoding", "xchunked"), ("A", "b")],
        [("Transfer-Encoding", "gzip, chunked, gzip"), ("A", "b")],
        [("Content-Length", "+0"), ("A", "b")],
        [("Content-Length", "0x0"), ("A", "b")],
    ] {
        let (answers, answer) = requests(&headers, "");
        assert_eq!(answers, 1, "{headers:?}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers:?}: {answer}");
    }
    for chunks in ["zz\r\n", "-1\r\n", "fffffffffffffffff\r\n", "1\r\nab\r\n"] {
        let (answers, answer) = requests(&[("Transfer-Encoding", "chunked")], chunks);
        assert!(answers <= 1, "{chunks:?}: {answer}");
    }
}

#[test]
fn strange_paths_and_methods_lead_nowhere() {
    let world = World::new();
    let image = world.image(&[bytes(1, 100)]);
    let (login, client) = world.login(std::slice::from_ref(&image));
    let thing = digest(&image);
    let hex = thing.hex().to_owned();
    for path in [
        "/".to_owned(),
        "/v1/".to_owned(),
        "/V2/".to_owned(),
        "//v2/".to_owned(),
        "/v2//".to_owned(),
        "/v2/_catalog".to_owned(),
        "/v2/team/python".to_owned(),
        "/v2/team/python/".to_owned(),
        "/v2/team/python/tags/list".to_owned(),
        "/v2/team/python/tags/list?n=5".to_owned(),
        "/v2/team/python/manifests/".to_owned(),
        format!("/v2/team/../python/manifests/{thing}"),
        format!("/v2/x/../team/python/manifests/{thing}"),
        format!("/v2/./team/python/manifests/{thing}"),
        format!("/v2/team%2fpython/manifests/{thing}"),
        format!("/v2/team%2Fpython/manifests/{thing}"),
        format!("/v2/team/%70ython/manifests/{thing}"),
        format!("/v2/Team/Python/manifests/{thing}"),
        format!("/v2/team//python/manifests/{thing}"),
        format!("/v2//team/python/manifests/{thing}"),
        format!("/v2/team/python//manifests/{thing}"),
        format!("/v2/team/python/manifests//{thing}"),
        format!("/v2/team/python/manifests/{thing}/"),
        format!("/v2/team/python/Manifests/{thing}"),
        format!("/v2/team/python/manifests/sha256:{}", hex.to_uppercase()),
        format!("/v2/team/python/manifests/sha256%3A{hex}"),
        format!("/v2/team/python/manifests/sha256:{}", &hex[1..]),
        format!("/v2/team/python/blobs/{hex}"),
        "/v2/team/python/blobs/sha256:../../lock".to_owned(),
        "/v2/team/python/blobs/../../../etc/passwd".to_owned(),
        "/v2/team/python/blobs/%2e%2e%2flock".to_owned(),
        "/v2/team/python/blobs/uploads/..".to_owned(),
        "/v2/team/python/blobs/uploads/%2e%2e".to_owned(),
        "/v2/team/python/blobs/uploads/a/b".to_owned(),
        format!("/v2/{}/manifests/{thing}", "a/".repeat(2_000)),
        format!("/v2/team/python/manifests/{}", "a".repeat(10_000)),
    ] {
        for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"] {
            assert_eq!(client.status(method, &path), 404, "{method} {path}");
        }
    }
    for (path, methods) in [
        (
            "/v2/".to_owned(),
            "PUT POST PATCH DELETE OPTIONS TRACE BREW",
        ),
        (
            manifest(thing.as_str()),
            "POST PATCH DELETE OPTIONS TRACE BREW",
        ),
        (blob(&thing), "PUT POST PATCH DELETE OPTIONS TRACE BREW"),
        (
            "/v2/team/python/blobs/uploads/".to_owned(),
            "GET PUT PATCH DELETE",
        ),
        (client.upload(), "POST OPTIONS TRACE BREW"),
    ] {
        for method in methods.split(' ') {
            let reply = client.send(method, &path, &[], &[]);
            let answer = (reply.status, reply.code());
            assert_eq!(answer, (405, "UNSUPPORTED".to_owned()), "{method} {path}");
        }
    }
    let connect = format!("{}\r\n", client.head("CONNECT", "example.org:80", &[]));
    assert_eq!(statuses(&exchange(&world, connect.as_bytes())), ["404"]);
    // As a proxy would be asked; the host does not matter.
    let reply = client.get("http://example.org/v2/");
    assert_eq!(reply.status, 200);
    assert_eq!(login.failure(), None);
}

#[test]
fn nothing_is_known_to_refer_to_anything() {
    let world = World::new();
    let (_login, client) = world.login(&[]);
    let path = format!("/v2/team/python/referrers/{}?artifactType=a", of(b"a"));
    let reply = client.get(&path);
    assert_eq!(reply.status, 200);
    let kind = "application/vnd.oci.image.index.v1+json";
    assert_eq!(reply.header("content-type"), Some(kind));
    let index: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(index["mediaType"], kind);
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(0));
    assert_eq!(client.status("HEAD", &path), 200);
    assert_eq!(client.status("PUT", &path), 405);
}

/// Connections without a login, and heads that do not end, make way for others.
#[test]
fn connections_that_only_wait_make_way() {
    let world = World::new();
    let (_login, client) = world.login(&[]);
    let waiting: Vec<TcpStream> = (0..600)
        .map(|number| {
            let mut stream = world.connect();
            if number % 2 == 0 {
                stream.write_all(b"GET /v2/ HT").unwrap();
            }
            stream
        })
        .collect();
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(client.status("GET", "/v2/"), 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(waiting);
}

/// Those who read or write slowly, with a login, leave others alone.
#[test]
fn slow_readers_and_writers_hold_up_no_others() {
    for space in [1 << 30, 1 << 20] {
        let world = World::with_space(space);
        let layer = bytes(1, 12_000_000);
        let image = world.image(&[layer.clone(), bytes(2, 1_000)]);
        let (slow, slowly) = world.login(std::slice::from_ref(&image));
        let (_login, client) = world.login(std::slice::from_ref(&image));
        let read = || slowly.begin("GET", &blob(&of(&layer)), &[]);
        let write = || {
            let path = format!("/v2/team/python/blobs/uploads/?digest={}", of(b"slow"));
            slowly.begin("POST", &path, &[("Content-Length", "1000")])
        };
        let readers: Vec<TcpStream> = (0..20).map(|_| read()).collect();
        eventually("they are there", || slow.blob_requests() == 20);
        let writers: Vec<TcpStream> = (0..400).map(|_| write()).collect();
        eventually("they could have taken all connections", || {
            slow.requests() >= 276
        });
        let begun = Instant::now();
        for _ in 0..5 {
            assert_eq!(client.status("GET", "/v2/"), 200);
            assert_eq!(client.push(&bytes(3, 1_000)).status, 201);
            assert!(client.blob(&of(&bytes(2, 1_000))).is_whole);
        }
        assert!(client.blob(&of(&layer)).is_whole, "{space}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?} {space}");
        assert_eq!(slowly.status("GET", "/v2/"), 429, "it has too many");
        drop((readers, writers));
        eventually("it is seen that they ended", || {
            slowly.status("GET", "/v2/") == 200
        });
    }
}

/// One of two logins does something.
#[derive(Debug, Clone)]
struct Step {
    is_second: bool,
    method: &'static str,
    what: What,
    body: usize,
    range: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum What {
    /// A manifest or blob, of those that are known by number.
    Manifest(usize),
    Blob(usize),
    Tag(bool),
    Begin(Option<usize>, Option<usize>),
    Upload(usize, Option<usize>),
    Other(String),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..8_usize;
    let what = prop_oneof![
        number.clone().prop_map(What::Manifest),
        number.clone().prop_map(What::Blob),
        any::<bool>().prop_map(What::Tag),
        (
            proptest::option::of(0..8_usize),
            proptest::option::of(0..8_usize)
        )
            .prop_map(|(digest, mount)| What::Begin(digest, mount)),
        (0..4_usize, proptest::option::of(0..8_usize))
            .prop_map(|(upload, digest)| What::Upload(upload, digest)),
        "/[!-~]{0,30}".prop_map(What::Other),
    ];
    let method = prop_oneof![
        Just("GET"),
        Just("HEAD"),
        Just("PUT"),
        Just("POST"),
        Just("PATCH"),
        Just("DELETE")
    ];
    let range = proptest::option::of(prop_oneof![Just("bytes=1-2"), Just("0-2"), Just("3-x")]);
    (any::<bool>(), method, what, number, range).prop_map(
        |(is_second, method, what, body, range)| Step {
            is_second,
            method,
            what,
            body,
            range,
        },
    )
}

/// Two logins, each with an image of its own, and what there is.
struct Two {
    world: World,
    logins: [(cssc_engine::relay::Login, Client); 2],
    contents: Vec<Vec<u8>>,
    /// Which of the contents each may read from the start.
    readable: [Vec<usize>; 2],
    uploads: Vec<String>,
}

impl Two {
    fn new() -> Self {
        let world = World::with_space(1 << 20);
        let images = [1, 2].map(|seed| world.image(&[bytes(seed, 5_000)]));
        let logins = [&images[0], &images[1]].map(|image| world.login(std::slice::from_ref(image)));
        let contents = vec![
            bytes(1, 5_000),
            bytes(2, 5_000),
            images[0].bytes.clone(),
            images[1].bytes.clone(),
            b"one".to_vec(),
            b"two".to_vec(),
            Vec::new(),
            crate::world::index_of(&images).bytes,
        ];
        Self {
            world,
            logins,
            contents,
            readable: [vec![0, 2], vec![1, 3]],
            uploads: vec!["/v2/team/python/blobs/uploads/x".to_owned()],
        }
    }

    fn run(&mut self, step: &Step) {
        let who = usize::from(step.is_second);
        let (login, client) = &self.logins[who];
        let digest = |number: &usize| of(&self.contents[*number]);
        let path = match &step.what {
            What::Manifest(number) => manifest(digest(number).as_str()),
            What::Blob(number) => blob(&digest(number)),
            What::Tag(is_own) => {
                let other = &self.logins[1 - who].0;
                manifest(if *is_own { login.tag() } else { other.tag() }.as_str())
            }
            What::Begin(of, mount) => {
                let of = of.as_ref().map(|of| format!("digest={}", digest(of)));
                let mount = mount.as_ref().map(|of| format!("mount={}", digest(of)));
                let query: Vec<String> = of.into_iter().chain(mount).collect();
                format!("/v2/team/python/blobs/uploads/?{}", query.join("&"))
            }
            What::Upload(number, of) => {
                let upload = &self.uploads[number % self.uploads.len()];
                let query = of.as_ref().map(|of| format!("?digest={}", digest(of)));
                format!("{upload}{}", query.unwrap_or_default())
            }
            What::Other(path) => path.clone(),
        };
        let range = step
            .range
            .map(|range| [("Range", range), ("Content-Range", range)]);
        let headers = range.as_ref().map_or(&[][..], |range| &range[..]);
        let body = if matches!(step.method, "GET" | "HEAD") {
            &[][..]
        } else {
            &self.contents[step.body]
        };
        let reply = client.send(step.method, &path, headers, body);
        assert!(
            matches!(reply.status, 200..=206 | 400..=416),
            "{step:?} {reply:?}"
        );
        assert!(reply.is_whole, "{step:?} {reply:?}");
        if reply.status == 202 {
            self.uploads.push(reply.location().to_owned());
        }
        // What it pushed it has.
        if matches!(step.method, "PUT" | "POST") && reply.status == 201 {
            self.readable[who].push(step.body);
        }
        if step.method == "GET" && matches!(reply.status, 200 | 206) {
            self.is_allowed(who, &step.what, &reply.body);
        }
    }

    fn is_allowed(&self, who: usize, what: &What, body: &[u8]) {
        let (What::Manifest(_) | What::Blob(_) | What::Tag(_)) = what else {
            return;
        };
        let mut readable = self.readable[who]
            .iter()
            .map(|number| &self.contents[*number]);
        let is_config = body.starts_with(b"{\"architecture\"");
        let is_known = readable.any(|content| content == body || content.get(1..3) == Some(body));
        assert!(is_known || is_config, "{who} read {what:?}: {body:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_neither_login_reads_what_it_may_not(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut two = Two::new();
        for step in &steps {
            two.run(step);
        }
        for (login, client) in &two.logins {
            prop_assert_eq!(client.status("GET", "/v2/"), 200);
            prop_assert_eq!(login.failure(), None);
        }
        prop_assert!(two.world.relay.figures().stored <= 1 << 20);
    }
}
