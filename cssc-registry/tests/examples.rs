//! The examples, run on a tree of layouts and on a registry on loopback.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]
#![allow(dead_code, reason = "the examples have a `main` each")]

#[path = "../examples/list_tags.rs"]
mod list_tags;
#[path = "../examples/pull_and_push_artifact.rs"]
mod pull_and_push_artifact;
#[path = "../examples/referrers.rs"]
mod referrers;
#[path = "../examples/watch_repository.rs"]
mod watch_repository;

use std::error::Error;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use cssc_registry::testing::{Reply, TestRegistry};

type Run = fn(&[String], &mut dyn Write) -> Result<(), Box<dyn Error>>;

fn output(run: Run, arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
    let mut out = Vec::new();
    run(&arguments, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn artifacts_and_referrers_in_a_layout() {
    let folder = tempfile::tempdir().unwrap();
    let layout = format!("layout:{}", folder.path().display());
    let file = folder.path().join("note.txt");
    std::fs::write(&file, "clean since Monday\n").unwrap();
    let file = file.display().to_string();
    let pushed = output(
        pull_and_push_artifact::run,
        &[&layout, "team/notes", "v1", &file],
    );
    assert!(pushed.starts_with("stored team/notes@sha256:"), "{pushed}");
    assert!(pushed.ends_with("\nclean since Monday\n"), "{pushed}");
    let mut count = 1;
    for note in ["first", "second"] {
        let attached = output(referrers::run, &[&layout, "team/notes", "v1", note]);
        assert!(attached.starts_with("attached sha256:"), "{attached}");
        count += 1;
        assert_eq!(attached.lines().count(), count, "{attached}");
    }
    let listed = output(list_tags::run, &[&layout, "team/notes", "team/none"]);
    assert_eq!(
        listed,
        "team/none: there is no such repository\nteam/notes:v1\n"
    );
}

#[test]
fn tags_of_a_registry() {
    let registry = TestRegistry::start(|request| match request.path() {
        "/v2/python/tags/list" => Reply::json(r#"{"name": "python", "tags": ["3.12", "3.11"]}"#),
        "/v2/redis/tags/list" => Reply::error(400, "NAME_INVALID"),
        _ => Reply::error(404, "NAME_UNKNOWN"),
    })
    .unwrap();
    let listed = output(
        list_tags::run,
        &[&registry.host(), "redis", "python", "ubuntu"],
    );
    assert_eq!(
        listed.replace(&registry.host(), "HOST"),
        "python:3.11\npython:3.12\n\
         redis: unavailable: `HOST` answered 400 Bad Request (NAME_INVALID: so it is)\n\
         ubuntu: there is no such repository\n"
    );
}

#[test]
fn a_repository_is_watched() {
    let round = AtomicUsize::new(0);
    let digest = |fill: &str| format!("sha256:{}", fill.repeat(64));
    let registry = TestRegistry::start(move |request| match request.path() {
        "/v2/python/tags/list" => match round.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::json(r#"{"name": "python", "tags": ["3.11", "3.12"]}"#),
            1 => Reply::error(403, "DENIED"),
            _ => Reply::json(r#"{"name": "python", "tags": ["3.11", "3.11-1"]}"#),
        },
        "/v2/python/manifests/3.11" if round.load(Ordering::Relaxed) > 1 => {
            Reply::new(200).header("Docker-Content-Digest", digest("b"))
        }
        path if path.starts_with("/v2/python/manifests/") => {
            Reply::new(200).header("Docker-Content-Digest", digest("a"))
        }
        _ => Reply::error(404, "NAME_UNKNOWN"),
    })
    .unwrap();
    let told = output(
        watch_repository::run,
        &[&registry.host(), "python", "0", "3"],
    );
    let lines: Vec<&str> = told.lines().collect();
    let [first, error, moved, new, gone] = lines[..] else {
        panic!("{told}");
    };
    assert_eq!(first, "python: 2 tags");
    assert!(error.starts_with("cannot read python: "), "{error}");
    assert!(new.starts_with("new: 3.11-1 sha256:a"), "{told}");
    assert!(moved.starts_with("moved: 3.11 sha256:b"), "{told}");
    assert_eq!(gone, "gone: 3.12");
}
