//! Against a registry in this process that does all that registries do, and must not.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use cssc_core::inventory::UnavailableKind;
use cssc_core::{Listing, Repository, TagRef};
use cssc_registry::testing::{PagedTags, Paging, Reply, TestRegistry, TestRequest};
use cssc_registry::{
    Credential, Descriptor, ListOptions, OciOptions, OciRegistry, Reference, RegistryClient,
    list_all,
};

const TAGS: &str = r#"{"name": "python", "tags": ["3.11"]}"#;
/// So long that no test passes by waiting for it, so short that a failing test ends.
const LONG: Duration = Duration::from_secs(60);

fn start(answer: impl Fn(&TestRequest) -> Reply + Send + Sync + 'static) -> TestRegistry {
    TestRegistry::start(answer).unwrap()
}

fn options() -> OciOptions {
    OciOptions::default().anonymous().timeout(LONG)
}

fn client(registry: &TestRegistry, options: OciOptions) -> OciRegistry {
    OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap()
}

fn four_at_a_time() -> ListOptions {
    ListOptions::default().concurrency(NonZeroUsize::new(4).unwrap())
}

fn python() -> Repository {
    "python".parse().unwrap()
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse().unwrap())
}

fn list(registry: &TestRegistry, options: OciOptions) -> Listing {
    client(registry, options).list_tags(&python())
}

fn found(listing: &Listing) -> Vec<&str> {
    match listing {
        Listing::Found(tags) => tags.iter().map(TagRef::as_str).collect(),
        listing => panic!("{listing:?}"),
    }
}

/// Why a listing is unavailable, with `HOST` for the host.
fn unavailable(registry: &TestRegistry, options: OciOptions) -> String {
    match list(registry, options) {
        Listing::Unavailable(reason) => reason.to_string().replace(&registry.host(), "HOST"),
        listing => panic!("{listing:?}"),
    }
}

fn many_tags(count: usize) -> Vec<String> {
    // In no order, and not in the order of a sort either.
    let mut tags: Vec<String> = (0..count)
        .map(|n| format!("v{}", n * 7919 % count))
        .collect();
    tags.reverse();
    tags
}

#[test]
fn every_way_of_paging_gives_all_tags() {
    for paging in Paging::ALL {
        for count in [0, 1, 99, 100, 101, 250, 1000, 1001] {
            if paging == Paging::Stuck && count > 100 {
                continue;
            }
            let tags = many_tags(count);
            let pages = PagedTags::new(paging).repository("python", tags.clone());
            let registry = start(move |request| pages.answer(request));
            let listing = list(&registry, options());
            let mut expected: Vec<&str> = tags.iter().map(String::as_str).collect();
            expected.sort_unstable();
            assert_eq!(found(&listing), expected, "{paging:?} {count}");
            let pages = count.div_ceil(if paging == Paging::Sparse { 5 } else { 50 }) + 2;
            assert!(registry.request_count() <= pages, "{paging:?} {count}");
        }
    }
}

#[test]
fn a_cursor_that_is_not_honored_ends() {
    // 250 tags, of which this registry gives the first 100 again and again.
    let pages = PagedTags::new(Paging::Stuck).repository("python", many_tags(250));
    let registry = start(move |request| pages.answer(request));
    assert_eq!(found(&list(&registry, options())).len(), 100);
    assert_eq!(registry.request_count(), 2);
}

#[test]
fn odd_lists() {
    for (body, tags) in [
        (r#"{"name": "python", "tags": null}"#, vec![]),
        (r#"{"name": "python"}"#, vec![]),
        (
            r#"{"tags": ["b", "a", "b"], "more": {"x": [1]}}"#,
            vec!["a", "b"],
        ),
        (
            r#"{"tags": ["a", "not a tag", "", ".b", "\u0063"]}"#,
            vec!["a", "c"],
        ),
    ] {
        let registry = start(move |_| Reply::json(body));
        assert_eq!(found(&list(&registry, options())), tags, "{body}");
    }
    for (body, reason) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("<html>", "expected value at line 1 column 1"),
        (
            "[]",
            "invalid type: sequence, expected an object with `tags` at line 1 column 0",
        ),
        (
            r#"{"tags": [1]}"#,
            "invalid type: integer `1`, expected a tag at line 1 column 11",
        ),
        (
            r#"{"tags": ["a"]"#,
            "EOF while parsing an object at line 1 column 14",
        ),
        (
            r#"{"tags": []} x"#,
            "trailing characters at line 1 column 14",
        ),
        (
            r#"{"errors": [{"code": "UNKNOWN"}]}"#,
            "it holds `errors` at line 1 column 33",
        ),
        (
            r#"{"tags": null, "errors": [{}]}"#,
            "it holds `errors` at line 1 column 30",
        ),
        (
            r#"{"status": "maintenance"}"#,
            "neither `name` nor `tags` is there at line 1 column 25",
        ),
        (
            "{}",
            "neither `name` nor `tags` is there at line 1 column 2",
        ),
    ] {
        let registry = start(move |_| Reply::json(body));
        assert_eq!(
            unavailable(&registry, options()),
            format!("`HOST` did not answer with a list of tags: {reason}")
        );
    }
    let deep = format!("{{\"x\": {}", "[".repeat(1 << 20));
    let registry = start(move |_| Reply::json(deep.clone()));
    assert!(unavailable(&registry, options()).contains("EOF while parsing a list"));
}

/// The first page is `first`, all others `reply`.
fn second_page(first: Reply, reply: Reply) -> TestRegistry {
    start(move |request| match request.query("last") {
        None => first.clone(),
        Some(_) => reply.clone(),
    })
}

#[test]
fn a_later_page_that_is_absent_is_no_absent_repository() {
    let link = r#"</v2/python/tags/list?last=3.11>; rel="next""#;
    for link in [link, "</v2/python/tags/list?last=3.11>"] {
        let first = Reply::json(TAGS).header("link", link);
        let registry = second_page(first, Reply::error(404, "NAME_UNKNOWN"));
        let reason = unavailable(&registry, options());
        assert_eq!(
            reason,
            "`HOST` answered 404 Not Found (NAME_UNKNOWN: so it is), \
             in the middle of a list of tags"
        );
    }
}

#[test]
fn a_guessed_page_that_is_refused_ends_the_list() {
    let tags: Vec<String> = (0..100).map(|n| format!("\"v{n}\"")).collect();
    let first = Reply::json(format!("{{\"tags\": [{}]}}", tags.join(",")));
    for (status, code) in [
        (400, "PAGINATION_NUMBER_INVALID"),
        (404, "NAME_UNKNOWN"),
        (405, "UNSUPPORTED"),
        (422, "UNKNOWN"),
    ] {
        let registry = second_page(first.clone(), Reply::error(status, code));
        assert_eq!(found(&list(&registry, options())).len(), 100, "{status}");
    }
    // There may be a page, and it cannot be had now.
    let registry = second_page(first, Reply::error(500, "UNKNOWN"));
    let reason = unavailable(&registry, options().attempts(1));
    assert!(reason.contains("500 Internal Server Error"), "{reason}");
}

#[test]
fn cursors_without_end_are_reported() {
    let circle = start(|request| {
        let next = if request.query("last") == Some("a") {
            "b"
        } else {
            "a"
        };
        let link = format!("</v2/python/tags/list?last={next}>; rel=\"next\"");
        Reply::json(TAGS).header("link", link)
    });
    assert_eq!(
        unavailable(&circle, options()),
        "`HOST` pages form a cycle: the same page was named twice"
    );
    let endless = |tags: fn(usize) -> String| {
        let count = AtomicUsize::new(0);
        start(move |_| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let link = format!("</v2/python/tags/list?last={number}>; rel=\"next\"");
            Reply::json(format!("{{\"tags\": [{}]}}", tags(number))).header("link", link)
        })
    };
    for tags in [|_| String::new(), |_| "\"same\"".to_owned()] {
        assert!(
            unavailable(&endless(tags), options())
                .starts_with("`HOST` pages do not end: 16 pages in a row brought no new tag")
        );
    }
    // New tags for ever, in pages of a megabyte.
    let large = endless(|page| {
        let tags: Vec<String> = (0..9000).map(|n| format!("\"{page}-{n:0100}\"")).collect();
        tags.join(",")
    });
    let reason = unavailable(&large, options());
    assert!(
        reason.starts_with("`HOST` pages do not end: stopped after "),
        "{reason}"
    );
}

#[test]
fn links_lead_nowhere_else() {
    let elsewhere = start(|_| Reply::json(TAGS));
    let other = elsewhere.host();
    for link in [
        format!("<http://{other}/v2/python/tags/list?last=a>; rel=next"),
        format!("<//{other}/v2/python/tags/list?last=a>; rel=next"),
        format!("<https://{other}/v2/python/tags/list?last=a>; rel=next"),
    ] {
        let registry = start(move |_| Reply::json(TAGS).header("link", link.clone()));
        let me = options().credential(Credential::password("me", "hunter2"));
        assert_eq!(
            unavailable(&registry, me),
            format!(
                "`HOST` continues its list of tags on another host, `{other}`, \
                 which is not followed"
            )
        );
    }
    for link in ["<javascript:alert(1)>; rel=next", "<http://a@b/>; rel=next"] {
        let registry = start(move |_| Reply::json(TAGS).header("link", link));
        assert_eq!(
            unavailable(&registry, options()),
            "`HOST` continues its list of tags at an invalid address"
        );
    }
    assert_eq!(elsewhere.connection_count(), 0);
}

#[test]
fn absent_is_what_a_registry_says_is_absent() {
    for reply in [
        Reply::error(404, "NAME_UNKNOWN"),
        Reply::error(404, "NOT_FOUND"),
        Reply::new(404).header("docker-distribution-api-version", "registry/2.0"),
    ] {
        let registry = start(move |_| reply.clone());
        assert_eq!(list(&registry, options()), Listing::Absent);
    }
    for (reply, reason) in [
        (Reply::new(404), "404 Not Found, but not as a registry does"),
        (
            Reply::new(404).body("<html>not here</html>"),
            "404 Not Found, but not as a registry does",
        ),
        (
            Reply::error(404, "UNKNOWN"),
            "404 Not Found (UNKNOWN: so it is), but not as a registry does",
        ),
        (
            Reply::error(400, "NAME_INVALID"),
            "400 Bad Request (NAME_INVALID: so it is)",
        ),
        (Reply::new(302), "redirect"),
        (Reply::new(418), "418 I'm a teapot"),
        (Reply::new(299).body("?"), "list of tags"),
        (
            Reply::error(503, "UNAVAILABLE"),
            "503 Service Unavailable (UNAVAILABLE: so it is), try again later",
        ),
        (
            Reply::error(500, "UNKNOWN"),
            "500 Internal Server Error (UNKNOWN: so it is)",
        ),
    ] {
        let registry = start(move |_| reply.clone());
        let told = unavailable(&registry, options().attempts(1));
        assert!(told.contains(reason), "{told}");
    }
    let forbidden = start(|_| Reply::error(403, "DENIED"));
    let told = unavailable(&forbidden, options());
    assert!(
        told.starts_with("`HOST` answered 403 Forbidden (DENIED: so it is); there are no"),
        "{told}"
    );
}

#[test]
fn what_a_registry_says_does_not_reach_the_terminal_as_a_command() {
    let body = r#"{"errors": [{"code": "DENIED", "message": "\u001b]0;x\u0007 \u202etxt\u2069"}]}"#;
    let registry = start(move |_| Reply::new(403).body(body));
    let told = unavailable(&registry, options());
    assert!(told.contains("(DENIED:  ]0;x   txt )"), "{told:?}");
}

#[test]
fn an_unavailable_listing_says_whether_another_attempt_can_help() {
    for (status, expected) in [
        (401, UnavailableKind::Unauthorized),
        (403, UnavailableKind::Unauthorized),
        (429, UnavailableKind::Transient),
        (503, UnavailableKind::Transient),
        (418, UnavailableKind::Permanent),
    ] {
        let registry = start(move |_| Reply::new(status));
        match list(&registry, options().attempts(1)) {
            Listing::Unavailable(error) => {
                assert_eq!(error.kind(), expected, "{status}: {error}");
                assert_eq!(error.is_transient(), expected == UnavailableKind::Transient);
            }
            listing => panic!("{status}: {listing:?}"),
        }
    }
}

/// Fails `times` times in one way, and then answers.
fn failing(times: usize, reply: Reply) -> TestRegistry {
    let count = AtomicUsize::new(0);
    start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        number if number < times => reply.clone(),
        _ => Reply::json(TAGS),
    })
}

#[test]
fn what_passes_is_asked_again() {
    for reply in [
        Reply::error(500, "UNKNOWN"),
        Reply::new(502).body("<html>"),
        Reply::new(503).header("retry-after", "0"),
        Reply::new(504),
        Reply::new(408),
        Reply::new(429),
        Reply::new(429).header("retry-after", "in a moment"),
        Reply::json(TAGS).claiming_length(1000),
    ] {
        let registry = failing(3, reply.clone());
        assert_eq!(found(&list(&registry, options())), ["3.11"], "{reply:?}");
        assert_eq!(registry.request_count(), 4, "{reply:?}");
    }
    for reply in [
        Reply::new(500),
        Reply::new(429),
        Reply::json(TAGS).claiming_length(99),
    ] {
        let registry = failing(3, reply.clone());
        unavailable(&registry, options().attempts(3));
        assert_eq!(registry.request_count(), 3, "{reply:?}");
    }
    for reply in [Reply::error(400, "X"), Reply::new(501), Reply::new(404)] {
        // Asked once with a number of tags, and for a 400 once without.
        let registry = failing(3, reply);
        unavailable(&registry, options());
        assert!(registry.request_count() <= 2);
    }
}

#[test]
fn servers_say_when_to_come_back() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(1));
    for after in ["1".to_owned(), date] {
        // More often than requests are repeated otherwise.
        let registry = failing(2, Reply::new(429).header("retry-after", after));
        let begun = Instant::now();
        assert_eq!(found(&list(&registry, options().attempts(1))), ["3.11"]);
        assert!(begun.elapsed() < LONG);
    }
    // Longer than anybody waits: told at once.
    let registry = start(|_| Reply::new(429).header("retry-after", "86400"));
    let begun = Instant::now();
    assert_eq!(
        unavailable(&registry, options()),
        "`HOST` answered 429 Too Many Requests and asks to wait (`Retry-After: 86400`)"
    );
    // And to nobody else is it worth waiting for; but after two minutes one may ask.
    let client = client(&registry, options());
    for reason in [
        "and asks to wait (`Retry-After: 86400`)",
        "wants no requests for another 119 s",
    ] {
        let listing = client.list_tags(&python());
        assert!(
            matches!(&listing, Listing::Unavailable(told) if told.message().contains(reason)),
            "{listing:?}"
        );
    }
    assert!(begun.elapsed() < LONG);
}

#[test]
fn a_storm_of_429_passes() {
    // Answers three at a time, and says to each more that it is too many.
    let in_flight = AtomicUsize::new(0);
    let registry = start(move |_| {
        let reply = if in_flight.fetch_add(1, Ordering::SeqCst) >= 3 {
            Reply::new(429).header("retry-after", "0")
        } else {
            std::thread::sleep(Duration::from_millis(2));
            Reply::json(TAGS)
        };
        in_flight.fetch_sub(1, Ordering::SeqCst);
        reply
    });
    let names: Vec<Repository> = (0..200).map(|n| format!("r{n}").parse().unwrap()).collect();
    let client = client(&registry, options());
    let inventory = list_all(&client, &names, &ListOptions::default(), |_| {});
    for (name, listing) in inventory.iter() {
        assert_eq!(found(listing), ["3.11"], "{name}");
    }
}

/// Also when it is the first one that is asked, by which the others want to know what is spoken.
#[test]
fn one_that_hangs_delays_its_own_line_alone() {
    for hanging in ["r7", "r0"] {
        let path = format!("/v2/{hanging}/tags/list");
        let registry = start(move |request| match request.path() {
            asked if asked == path => Reply::hang(),
            _ => Reply::json(TAGS),
        });
        let names: Vec<Repository> = (0..50).map(|n| format!("r{n}").parse().unwrap()).collect();
        let client = client(&registry, options().timeout(Duration::from_millis(700)));
        let mut order = Vec::new();
        let inventory = list_all(&client, &names, &four_at_a_time(), |progress| {
            let finished = progress.finished;
            order.extend(finished.map(|(repository, _)| repository.to_string()));
        });
        assert_eq!(order.last().map(String::as_str), Some(hanging));
        for (name, listing) in inventory.iter() {
            match listing {
                Listing::Unavailable(reason) => {
                    assert_eq!(name.as_str(), hanging);
                    assert!(
                        reason.message().ends_with("did not answer within 700ms"),
                        "{reason}"
                    );
                }
                listing => assert_eq!(found(listing), ["3.11"]),
            }
        }
        assert!(registry.most_in_flight() <= 4);
    }
}

#[test]
fn slow_and_endless_answers_end() {
    let soon = options().timeout(Duration::from_millis(500));
    for reply in [
        Reply::json(TAGS).dripping(Duration::from_millis(200)),
        Reply::json(" ")
            .endless()
            .dripping(Duration::from_millis(100)),
        Reply::json(TAGS).delay(Duration::from_secs(5)),
        Reply::hang(),
    ] {
        let registry = start(move |_| reply.clone().body(TAGS));
        let begun = Instant::now();
        assert_eq!(
            unavailable(&registry, soon.clone()),
            "`HOST` did not answer within 500ms"
        );
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
    let registry = start(|_| Reply::json(" ".repeat(1 << 16)).endless());
    assert_eq!(
        unavailable(&registry, options()),
        "the answer of `HOST` is too large: more than 33554432 bytes"
    );
    let registry = start(|_| Reply::json(TAGS).header("x", "y".repeat(1 << 20)));
    let reason = unavailable(&registry, options().attempts(1));
    assert!(reason.contains("bytes of headers"), "{reason}");
    let registry = start(|_| Reply::json(TAGS).header("x", "y".repeat(1 << 16)));
    assert_eq!(
        unavailable(&registry, options()),
        "the answer of `HOST` is too large: more than 65536 bytes of headers"
    );
}

#[test]
fn broken_http() {
    let list = "{\"tags\": [\"3.11\"]}";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let good = format!(
        "{chunked}8\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &list[..8],
        list.len() - 8,
        &list[8..]
    );
    let informed = format!("HTTP/1.1 103 Early Hints\r\n\r\n{good}");
    let until_closed = format!("HTTP/1.0 200 OK\r\n\r\n{list}");
    let cases: Vec<(Vec<u8>, bool)> = vec![
        (good.into(), true),
        (informed.into(), true),
        (until_closed.into(), true),
        (format!("{chunked}8\r\n{{").into(), false),
        (format!("{chunked}zz\r\n{list}").into(), false),
        (format!("{chunked}-1\r\n{list}").into(), false),
        (
            format!("{chunked}ffffffffffffffffff\r\n{list}").into(),
            false,
        ),
        (
            format!("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{list}").into(),
            false,
        ),
        (
            format!("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n{list}").into(),
            false,
        ),
        (
            format!("HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n{list}").into(),
            false,
        ),
        (b"HTTP/1.1 200".to_vec(), false),
        (b"HTTP/9.9 200 OK\r\n\r\n".to_vec(), false),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), false),
        (b"\x15\x03\x01\x00\x02\x02\x46".to_vec(), false),
        (
            [
                &b"HTTP/1.1 200 OK\r\nx: "[..],
                &[0xff, 0x00, 0x0a],
                b"\r\n\r\n{}",
            ]
            .concat(),
            false,
        ),
        (Vec::new(), false),
    ];
    for (bytes, is_good) in cases {
        let raw = bytes.clone();
        let registry = start(move |request| match request.path() {
            "/v2/first/tags/list" => Reply::json(TAGS),
            _ => Reply::raw(raw.clone()),
        });
        let client = client(&registry, options().attempts(2));
        // It is known to speak HTTP.
        found(&client.list_tags(&"first".parse().unwrap()));
        let listing = client.list_tags(&python());
        let is_found = matches!(&listing, Listing::Found(tags) if tags.contains("3.11"));
        let is_unavailable = matches!(&listing, Listing::Unavailable(_));
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            is_found == is_good && is_unavailable != is_good,
            "{text:?}: {listing:?}"
        );
    }
}

#[test]
fn nobody_there_is_found_out_quickly() {
    let gone = start(|_| Reply::new(200));
    let host = gone.host();
    drop(gone);
    let client = OciRegistry::new(&host.parse().unwrap(), options()).unwrap();
    let names: Vec<Repository> = (0..100).map(|n| format!("r{n}").parse().unwrap()).collect();
    let begun = Instant::now();
    let inventory = list_all(&client, &names, &four_at_a_time(), |_| {});
    for (_, listing) in inventory.iter() {
        assert!(
            matches!(listing, Listing::Unavailable(reason)
                if reason.message() == format!("`{host}` refuses connections: is a registry running there?")),
            "{listing:?}"
        );
    }
    // A hundred times all the repetitions would be well over ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(8));
}

/// A registry with a token service beside it, as most are.
fn with_tokens(
    challenge: impl Fn(&TestRequest) -> String + Send + Sync + 'static,
    token: impl Fn(&TestRequest) -> Reply + Send + Sync + 'static,
) -> TestRegistry {
    start(move |request| match request.path() {
        "/token" | "/oauth2/token" | "/oauth2/exchange" => token(request),
        _ => match request.header("authorization") {
            Some("Bearer good") => Reply::json(TAGS),
            _ => Reply::error(401, "UNAUTHORIZED").header("www-authenticate", challenge(request)),
        },
    })
}

fn own_realm(request: &TestRequest, path: &str) -> String {
    let host = request.header("host").unwrap();
    let name = request
        .path()
        .trim_start_matches("/v2/")
        .split("/tags")
        .next()
        .unwrap();
    format!(
        "Bearer realm=\"http://{host}{path}\",service=\"the service\",\
         scope=\"repository:{name}:pull,metadata_read\""
    )
}

#[test]
fn tokens_for_nobody_in_particular() {
    let registry = with_tokens(
        |request| own_realm(request, "/token"),
        |_| Reply::json(r#"{"token": "good", "expires_in": 300}"#),
    );
    let client = client(&registry, options());
    assert_eq!(found(&client.list_tags(&python())), ["3.11"]);
    let targets = |registry: &TestRegistry| -> Vec<String> {
        let requests = registry.requests();
        requests
            .iter()
            .map(|request| request.target.clone())
            .collect()
    };
    let list = "/v2/python/tags/list?n=1000";
    let token = "/token?service=the%20service&scope=repository%3Apython%3Apull%2Cmetadata_read";
    assert_eq!(targets(&registry), [list, token, list]);
    // The token is kept, and the next repository's is asked for in the registry's own words.
    registry.reset();
    assert_eq!(found(&client.list_tags(&python())), ["3.11"]);
    assert_eq!(targets(&registry), [list]);
    registry.reset();
    client.list_tags(&"org/app".parse().unwrap());
    assert_eq!(
        targets(&registry),
        [
            "/token?service=the%20service&scope=repository%3Aorg%2Fapp%3Apull%2Cmetadata_read",
            "/v2/org/app/tags/list?n=1000"
        ]
    );
}

#[test]
fn tokens_that_run_out_are_renewed() {
    // Every token is good for one request, whatever is said of it; the last for none at all.
    for life in ["300", "0", "1e300", "-1", "null", r#""60""#, "[]"] {
        let tokens = AtomicUsize::new(0);
        let good_ones = AtomicUsize::new(0);
        let registry = start(move |request| {
            if request.path() == "/token" {
                let number = tokens.fetch_add(1, Ordering::SeqCst) + 1;
                let token = format!(r#"{{"access_token": "t{number}", "expires_in": {life}}}"#);
                return Reply::json(token);
            }
            let used = good_ones.load(Ordering::SeqCst);
            let good = format!("Bearer t{}", used + 1);
            if request.header("authorization") == Some(good.as_str()) {
                good_ones.store(used + 1, Ordering::SeqCst);
                Reply::json(TAGS)
            } else {
                Reply::error(401, "UNAUTHORIZED")
                    .header("www-authenticate", own_realm(request, "/token"))
            }
        });
        let client = client(&registry, options());
        for _ in 0..3 {
            assert_eq!(found(&client.list_tags(&python())), ["3.11"], "{life}");
        }
    }
}

#[test]
fn a_password_is_shown_to_the_token_service_alone() {
    let registry = with_tokens(
        |request| own_realm(request, "/token"),
        |request| match request.header("authorization") {
            Some("Basic bWU6aHVudGVyMg==") => Reply::json(r#"{"token": "good"}"#),
            _ => Reply::error(401, "UNAUTHORIZED"),
        },
    );
    let me = options().credential(Credential::password("me", "hunter2"));
    assert_eq!(found(&list(&registry, me)), ["3.11"]);
    for request in registry.requests() {
        let shown = request.header("authorization").unwrap_or_default();
        assert_eq!(shown.starts_with("Basic"), request.path() == "/token");
    }
}

#[test]
fn a_token_service_may_redirect_on_its_own_host() {
    let registry = start(|request| match request.path() {
        "/token" => Reply::new(307).header("location", "/v2/token?moved=1"),
        "/v2/token" => Reply::json(r#"{"token": "good"}"#),
        _ if request.header("authorization") == Some("Bearer good") => Reply::json(TAGS),
        _ => Reply::new(401).header("www-authenticate", own_realm(request, "/token")),
    });
    assert_eq!(found(&list(&registry, options())), ["3.11"]);
    let elsewhere = start(|_| Reply::json(r#"{"token": "good"}"#));
    let target = format!("http://{}/token", elsewhere.host());
    let registry = with_tokens(
        |request| own_realm(request, "/token"),
        move |_| Reply::new(307).header("location", target.clone()),
    );
    let told = unavailable(&registry, options());
    assert!(
        told.starts_with("the token service of `HOST` refused: `HOST` answered 307"),
        "{told}"
    );
    assert_eq!(elsewhere.request_count(), 0);
}

#[test]
fn azure_after_az_acr_login() {
    let registry = with_tokens(
        |request| own_realm(request, "/oauth2/token"),
        |request| {
            let form = String::from_utf8(request.body.clone()).unwrap();
            let has = |pair: &str| form.split('&').any(|given| given == pair);
            let is_post = request.method == "POST";
            match request.path() {
                "/oauth2/token"
                    if is_post
                        && has("grant_type=refresh_token")
                        && has("refresh_token=identity%2Btoken")
                        && has("service=the%20service")
                        && has("scope=repository%3Apython%3Apull%2Cmetadata_read") =>
                {
                    Reply::json(r#"{"access_token": "good"}"#)
                }
                "/oauth2/exchange"
                    if is_post
                        && has("grant_type=access_token")
                        && form.contains("access_token=h.") =>
                {
                    Reply::json(r#"{"refresh_token": "identity+token"}"#)
                }
                _ => Reply::error(400, "TOKEN_INVALID"),
            }
        },
    );
    // As `az acr login` leaves it in docker's configuration.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let config = serde_json::json!({"auths": {registry.host(): {
        "auth": "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==",
        "identitytoken": "identity+token",
    }}});
    std::fs::write(&file, config.to_string()).unwrap();
    let stored = OciOptions::default().credential_files(vec![file]);
    assert_eq!(found(&list(&registry, stored)), ["3.11"]);
    // As `az account get-access-token` prints it: `{"aud":"https://management.azure.com"}`.
    let entra = "h.eyJhdWQiOiJodHRwczovL21hbmFnZW1lbnQuYXp1cmUuY29tIn0.s";
    let entra = options().credential(Credential::token(entra));
    assert_eq!(found(&list(&registry, entra)), ["3.11"]);
    // An identity token that is good no more.
    let old = options().credential(Credential::token("old"));
    assert_eq!(
        unavailable(&registry, old),
        "the token service of `HOST` refused: `HOST` answered 400 Bad Request \
         (TOKEN_INVALID: so it is); the credentials used were those given"
    );
}

#[test]
fn a_token_service_that_fails_is_reported_as_that() {
    for (reply, reason) in [
        (Reply::error(503, "X"), "refused: `HOST` answered 503"),
        (
            Reply::error(403, "DENIED"),
            "refused: `HOST` answered 403 Forbidden (DENIED: so it is); there are no credentials",
        ),
        (Reply::json("{}"), "failed: `HOST` answered without a token"),
        (
            Reply::json("[]"),
            "failed: `HOST` did not answer with the expected JSON",
        ),
        (
            Reply::json(r#"{"token": "a\r\nb: c"}"#),
            "failed: `HOST` returned an invalid token",
        ),
        (Reply::raw("no"), "failed: `HOST` does not answer in HTTP"),
        (
            Reply::json("  ".repeat(1 << 20)),
            "failed: the answer of `HOST` is too large",
        ),
    ] {
        let registry = with_tokens(
            |request| own_realm(request, "/token"),
            move |_| reply.clone(),
        );
        let told = unavailable(&registry, options().attempts(1));
        let expected = format!("the token service of `HOST` {reason}");
        assert!(told.starts_with(&expected), "{told}");
    }
}

#[test]
fn odd_challenges() {
    for (challenge, reason) in [
        (
            "",
            "answered 401 Unauthorized without saying which authentication it requires",
        ),
        (
            "Negotiate",
            "answered 401 Unauthorized and wants `negotiate`, which is not supported",
        ),
        (
            "Bearer",
            "answered 401 Unauthorized and wants `bearer`, which is not supported",
        ),
        (
            "Basic realm=\"x",
            "answered 401 Unauthorized (UNAUTHORIZED: so it is); there are no credentials",
        ),
        (
            "Bearer realm=\"/token\"",
            "names `/token` as its token service, which is not an address",
        ),
        (
            "Bearer realm=\"http://tokens.example.com/\"",
            "wants credentials to be sent to `tokens.example.com` over plain HTTP, \
             which is only done if plain HTTP is enabled",
        ),
    ] {
        let registry =
            start(move |_| Reply::error(401, "UNAUTHORIZED").header("www-authenticate", challenge));
        let told = unavailable(&registry, options());
        assert!(told.starts_with(&format!("`HOST` {reason}")), "{told}");
        assert!(registry.request_count() <= 3);
    }
    // A token that is never good enough.
    let registry = with_tokens(
        |request| own_realm(request, "/token"),
        |_| Reply::json(r#"{"token": "bad"}"#),
    );
    let told = unavailable(&registry, options());
    assert!(
        told.starts_with("`HOST` answered 401 Unauthorized"),
        "{told}"
    );
    assert!(registry.request_count() <= 6);
}

#[test]
fn credentials_stay_with_their_host() {
    let content = b"layer";
    let elsewhere = start(move |_| Reply::new(200).body(content));
    let target = format!("http://{}/blob?signature=hunter2", elsewhere.host());
    let registry = start(move |request| {
        if request.header("authorization").is_none() {
            Reply::new(401).header("www-authenticate", "Basic realm=x")
        } else {
            Reply::new(307).header("location", target.clone())
        }
    });
    let log = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&log);
    let options = options()
        .credential(Credential::password("me", "hunter2"))
        .observer(move |event| {
            let mut log = told.lock().unwrap();
            *log = format!("{log}{event}\n{event:?}\n");
        });
    let shown = format!("{options:?}");
    let client = client(&registry, options);
    let blob = Descriptor::of("text/plain", content);
    assert_eq!(client.get_blob(&python(), &blob, 5).unwrap(), content);
    let requests = elsewhere.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    let log = log.lock().unwrap();
    assert!(log.contains("/v2/python/blobs/sha256:"), "{log}");
    for text in [log.as_str(), &shown, &format!("{client:?}")] {
        assert!(
            !text.contains("hunter2") && !text.contains("aHVudGVyMg"),
            "{text}"
        );
    }
}

/// Registries and token services that repeat in a refusal what they were sent.
#[test]
fn credentials_that_are_sent_back_are_not_shown() {
    let echo = |request: &TestRequest| {
        let sent = request.header("authorization").unwrap_or_default();
        let form = String::from_utf8_lossy(&request.body);
        let text = format!("{sent} {form} me:hunter2 aHVudGVyMg==");
        Reply::new(403).body(format!(
            r#"{{"errors": [{{"code": "DENIED", "message": "{text}"}}]}}"#
        ))
    };
    let basic = start(move |request| match request.header("authorization") {
        Some(_) => echo(request),
        None => Reply::new(401).header("www-authenticate", "Basic realm=x"),
    });
    let me = options().credential(Credential::password("me", "hunter2"));
    let told = unavailable(&basic, me);
    assert!(told.contains("(DENIED: Basic ***  me:*** ***)"), "{told}");

    let tokens = with_tokens(|request| own_realm(request, "/token"), echo);
    let told = unavailable(
        &tokens,
        options().credential(Credential::token("top-secret")),
    );
    assert!(told.contains("refresh_token=***"), "{told}");
    assert!(!told.contains("top-secret"), "{told}");
}

#[test]
fn redirects_end() {
    let round = start(|request| Reply::new(302).header("location", request.target.clone()));
    assert_eq!(
        unavailable(&round, options()),
        "`HOST` redirects again and again"
    );
    assert_eq!(round.request_count(), 6);
    let nowhere = start(|_| Reply::new(302).header("location", "ftp://example.com/"));
    assert_eq!(
        unavailable(&nowhere, options()),
        "`HOST` redirects to an invalid address"
    );
}

#[test]
fn lying_digests_and_lengths() {
    let manifest = br#"{"schemaVersion": 2}"#;
    let digest = cssc_registry::digest::of(manifest);
    let answer = |reply: Reply| start(move |_| reply.clone());
    let good = answer(
        Reply::new(200)
            .header("content-type", "application/json; charset=utf-8")
            .header("docker-content-digest", digest.to_string())
            .body(manifest),
    );
    let good = client(&good, options())
        .get_manifest(&python(), &tag("a"))
        .unwrap();
    assert_eq!(
        (good.media_type.as_str(), good.bytes.as_slice()),
        ("application/json", &manifest[..])
    );

    let other = cssc_registry::digest::of(b"other");
    let lying = answer(
        Reply::new(200)
            .header("docker-content-digest", other.to_string())
            .body(manifest),
    );
    let client_of_lying = client(&lying, options());
    let error = client_of_lying
        .get_manifest(&python(), &tag("a"))
        .unwrap_err();
    assert!(error.is_invalid_answer());
    assert_eq!(
        error.to_string(),
        format!(
            "cannot read `python:a`: the content of `{}/python:a` does not match its digest",
            lying.host()
        )
    );
    let by_digest = Reference::Digest(other.clone());
    assert!(client_of_lying.get_manifest(&python(), &by_digest).is_err());
    // What HEAD says of another digest than the one asked for is not believed.
    let by_own = Reference::Digest(digest.clone());
    let resolved = client_of_lying.resolve(&python(), &by_own).unwrap();
    assert_eq!(resolved.map(|found| found.digest), Some(digest));

    for body in [&b"lay"[..], b"layers, and more", b"lager"] {
        let registry = answer(Reply::new(200).body(body));
        let blob = Descriptor::of("text/plain", b"layer");
        let error = client(&registry, options())
            .get_blob(&python(), &blob, 5)
            .unwrap_err();
        assert!(error.is_invalid_answer(), "{error}");
    }
    let huge = answer(Reply::new(200).body(" ".repeat(1 << 16)).endless());
    let error = client(&huge, options())
        .get_manifest(&python(), &tag("a"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("is too large: more than 4194304 bytes"),
        "{error}"
    );
}

#[test]
fn a_head_that_tells_nothing_is_followed_by_a_get() {
    let manifest = br#"{"schemaVersion": 2}"#;
    let registry = start(move |_| Reply::new(200).body(manifest));
    let found = client(&registry, options())
        .resolve(&python(), &tag("a"))
        .unwrap();
    assert_eq!(found.unwrap().digest, cssc_registry::digest::of(manifest));
    let methods: Vec<String> = registry
        .requests()
        .iter()
        .map(|r| r.method.clone())
        .collect();
    assert_eq!(methods, ["HEAD", "GET"]);
}

#[test]
fn a_deletion_whose_answer_was_lost_is_one() {
    let digest = Reference::Digest(cssc_registry::digest::of(b"{}"));
    let count = AtomicUsize::new(0);
    let registry = start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(502),
        _ => Reply::error(404, "MANIFEST_UNKNOWN"),
    });
    let client = client(&registry, options());
    assert_eq!(client.delete(&python(), &digest), Ok(()));
    assert!(client.delete(&python(), &digest).unwrap_err().is_absent());
}

#[test]
fn helpers_are_asked_with_a_time_limit() {
    // No helper of this name is installed anywhere.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    for (name, reason) in [
        (
            "cssc-none",
            "the credential helper `docker-credential-cssc-none` cannot be started: ",
        ),
        (
            "../evil",
            "the credential helper `docker-credential-../evil` has a path in its name",
        ),
    ] {
        std::fs::write(&file, serde_json::json!({"credsStore": name}).to_string()).unwrap();
        let registry = start(|_| Reply::new(401).header("www-authenticate", "Basic realm=x"));
        let stored = OciOptions::default().credential_files(vec![file.clone()]);
        let told = unavailable(&registry, stored);
        assert!(told.starts_with(reason), "{told}");
    }
}

#[test]
fn requests_say_who_asks() {
    let registry = start(|_| Reply::json(TAGS));
    list(&registry, options());
    let requests = registry.requests();
    let agent = requests
        .first()
        .and_then(|request| request.header("user-agent"));
    assert_eq!(agent, Some(concat!("cssc/", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn credentials_that_changed_are_read_again() {
    let good = Arc::new(Mutex::new("Basic bWU6b25l"));
    let wanted = Arc::clone(&good);
    let registry = start(move |request| {
        if request.header("authorization") == Some(*wanted.lock().unwrap()) {
            Reply::json(TAGS)
        } else {
            Reply::new(401).header("www-authenticate", "Basic realm=x")
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let store = |auth: &str| {
        let config = serde_json::json!({"auths": {registry.host(): {"auth": auth}}});
        std::fs::write(&file, config.to_string()).unwrap();
    };
    // A file that cannot be read is not remembered as one.
    std::fs::write(&file, "{").unwrap();
    let stored = OciOptions::default().credential_files(vec![file.clone()]);
    let client = client(&registry, stored);
    let listing = client.list_tags(&python());
    assert!(matches!(listing, Listing::Unavailable(_)), "{listing:?}");
    std::thread::sleep(Duration::from_millis(50));
    store("bWU6b25l");
    assert_eq!(found(&client.list_tags(&python())), ["3.11"]);
    store("bWU6dHdv");
    *good.lock().unwrap() = "Basic bWU6dHdv";
    assert_eq!(found(&client.list_tags(&python())), ["3.11"]);
}

#[test]
fn a_404_to_a_head_is_no_absence_by_itself() {
    let server = start(|_| Reply::new(404).body("<html>not here</html>"));
    let error = client(&server, options())
        .resolve(&python(), &tag("a"))
        .unwrap_err();
    assert!(!error.is_absent(), "{error}");
    let registry = start(|_| Reply::error(404, "MANIFEST_UNKNOWN"));
    let resolved = client(&registry, options()).resolve(&python(), &tag("a"));
    assert_eq!(resolved, Ok(None));
}

#[test]
fn queries_of_redirects_are_not_logged() {
    let registry = start(|request| match request.path() {
        "/elsewhere/tags/list" => Reply::json(TAGS),
        _ => Reply::new(307).header("location", "/elsewhere/tags/list?signature=hunter2"),
    });
    let log = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&log);
    let options =
        options().observer(move |event| told.lock().unwrap().push_str(&event.to_string()));
    assert_eq!(found(&list(&registry, options)), ["3.11"]);
    let log = log.lock().unwrap();
    assert!(
        log.contains("/elsewhere/tags/list:") && !log.contains("hunter2"),
        "{log}"
    );
}
