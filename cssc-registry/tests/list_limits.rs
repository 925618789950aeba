//! The limits of a listing of many repositories: memory and time.
//!
//! Memory is measured in a process of its own, this program once more, so that neither the server
//! nor another test counts.
#![cfg(all(feature = "http", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail loudly"
)]

use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cssc_core::{Inventory, Listing, Repository};
use cssc_registry::testing::{Reply, TestRegistry};
use cssc_registry::{
    LayoutRegistry, ListOptions, OciOptions, OciRegistry, Reference, RegistryClient, list_all,
};

const MEMORY_LIMIT: u64 = 48 << 20;

fn names(count: usize) -> Vec<Repository> {
    (0..count)
        .map(|n| format!("r{n}").parse().unwrap())
        .collect()
}

fn oci(host: &str) -> OciRegistry {
    OciRegistry::new(&host.parse().unwrap(), OciOptions::default().anonymous()).unwrap()
}

/// Lists the ten repositories of `CSSC_TEST_REGISTRY`, a host or a folder of layouts, and prints
/// what came of each and by how many KiB the memory of this process grew at most.
#[test]
fn child() {
    let Ok(registry) = std::env::var("CSSC_TEST_REGISTRY") else {
        return;
    };
    let client: Box<dyn RegistryClient> = if Path::new(&registry).is_dir() {
        Box::new(LayoutRegistry::open(Path::new(&registry)).unwrap())
    } else {
        Box::new(oci(&registry))
    };
    let before = peak_kib();
    let options = ListOptions::default()
        .memory_limit(MEMORY_LIMIT)
        .concurrency(NonZeroUsize::new(8).unwrap());
    let listed = list_all(&*client, &names(10), &options, |_| {});
    for (name, listing) in listed.iter() {
        match listing {
            Listing::Found(tags) => println!("<{name} has {}>", tags.len()),
            Listing::Absent => {}
            Listing::Unavailable(reason) => println!("<{name} {reason}>"),
        }
    }
    let tag = Reference::Tag("nowhere".parse().unwrap());
    let _ = client.resolve(&names(1)[0], &tag);
    println!("<grew {}>", peak_kib() - before);
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().trim_end_matches(" kB");
    peak.parse().unwrap()
}

/// What the child prints, and by how many MiB it grew.
fn measure(registry: &str) -> (Vec<String>, u64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("CSSC_TEST_REGISTRY", registry)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let told = text.split('<').skip(1);
    let mut told: Vec<String> = told
        .map(|told| told.split('>').next().unwrap().to_owned())
        .collect();
    let grew = told.pop().expect("what the child prints");
    let grew: u64 = grew.strip_prefix("grew ").unwrap().parse().unwrap();
    (told, grew >> 10)
}

#[test]
fn many_large_pages_at_once_share_one_budget() {
    // Pages of 12 MiB, each of which takes some 100 MiB when it is read to its end.
    let mut page = String::from(r#"{"tags": ["0""#);
    for tag in 0.. {
        if page.len() >= 12 << 20 {
            break;
        }
        write!(page, ",\"t{tag}\"").unwrap();
    }
    page.push_str("]}");
    let registry = TestRegistry::start(move |request| match request.path() {
        "/v2/r8/tags/list" | "/v2/r9/tags/list" => Reply::json(r#"{"tags": ["a"]}"#),
        _ => Reply::json(page.clone()),
    })
    .unwrap();
    let (told, grew) = measure(&registry.host());
    assert_eq!(told[8..], ["r8 has 1", "r9 has 1"]);
    for told in &told[..8] {
        assert!(
            told.ends_with(
                "its tags take too much memory: more than 50331648 bytes, the limit for all \
                 repositories together"
            ),
            "{told}"
        );
    }
    assert!(grew < 160, "grew by {grew} MiB");
}

#[test]
fn long_cursors_are_not_kept() {
    let padding = "x".repeat(14 << 10);
    let registry = TestRegistry::start(move |request| {
        let page: u32 = match request.query("page") {
            Some(page) => page.parse().unwrap(),
            None if request.path().starts_with("/v2/r0/") => 0,
            None => return Reply::error(404, "NAME_UNKNOWN"),
        };
        let reply = Reply::json(format!(r#"{{"tags": ["{page}"]}}"#));
        if page == 4000 {
            return reply;
        }
        let next = page + 1;
        let link = format!("</v2/r0/tags/list?page={next}&cursor={padding}>; rel=\"next\"");
        reply.header("link", link)
    })
    .unwrap();
    let (told, grew) = measure(&registry.host());
    assert_eq!(told, ["r0 has 4001"]);
    // All cursors together are 55 MiB.
    assert!(grew < 32, "grew by {grew} MiB");
}

#[test]
fn a_large_index_of_a_layout_is_never_held() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, index: String| {
        fs::create_dir(directory.path().join(name)).unwrap();
        fs::write(directory.path().join(name).join("index.json"), index).unwrap();
    };
    let digest = cssc_registry::digest::of(b"{}");
    let entry = |name: &str| {
        format!(
            r#"{{"digest": "{digest}", "size": 2,
                "annotations": {{"org.opencontainers.image.ref.name": "{name}"}}}}"#
        )
    };
    // Eight million entries that say nothing, and one that does.
    write(
        "r0",
        format!(
            r#"{{"manifests": [{}{}]}}"#,
            "{},".repeat(8 << 20),
            entry("a")
        ),
    );
    let mut many = String::new();
    for number in 0..600_000 {
        write!(
            many,
            r#"{{"annotations": {{"org.opencontainers.image.ref.name": "{number:0100}"}}}},"#
        )
        .unwrap();
    }
    write("r1", format!(r#"{{"manifests": [{many}{}]}}"#, entry("b")));
    let (told, grew) = measure(directory.path().to_str().unwrap());
    assert_eq!(told[0], "r0 has 1");
    assert!(
        told[1].contains("its tags take too much memory"),
        "{told:?}"
    );
    assert!(grew < 128, "grew by {grew} MiB");
}

fn reason<'a>(listed: &'a Inventory, name: &str) -> &'a str {
    match listed.listing(&name.parse().unwrap()) {
        Listing::Unavailable(reason) => reason.message(),
        listing => panic!("{name}: {listing:?}"),
    }
}

#[test]
fn all_repositories_together_have_a_time_limit_and_progress_is_told() {
    // One hangs, and one pages for ever.
    let registry = TestRegistry::start(|request| match request.path() {
        "/v2/r1/tags/list" => Reply::hang(),
        "/v2/r2/tags/list" => {
            let last = request.query("last").unwrap_or("0");
            let next = last.parse::<u64>().unwrap() + 1;
            Reply::json(format!(r#"{{"tags": ["{next}"]}}"#))
                .header("link", format!("<?last={next}>; rel=next"))
                .delay(Duration::from_millis(20))
        }
        _ => Reply::json(r#"{"tags": ["a"]}"#),
    })
    .unwrap();
    let options = ListOptions::default()
        .timeout(Duration::from_secs(4))
        .concurrency(NonZeroUsize::new(2).unwrap());
    let begun = Instant::now();
    let (mut ticks, mut pages, mut tags) = (0, 0, 0);
    let listed = list_all(&oci(&registry.host()), &names(20), &options, |progress| {
        assert!(progress.pages >= pages && progress.tags >= tags);
        (pages, tags) = (progress.pages, progress.tags);
        ticks += usize::from(progress.finished.is_none());
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(ticks > 0 && pages > 10 && tags > 10);
    assert!(matches!(
        listed.listing(&"r0".parse().unwrap()),
        Listing::Found(_)
    ));
    // Those behind them are not even asked.
    for name in ["r1", "r2", "r19"] {
        assert_eq!(
            reason(&listed, name),
            "it was not listed within 4s, the time limit for all repositories together"
        );
    }
}
