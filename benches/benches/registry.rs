//! Listing the tags of many repositories over HTTP from a server that takes 20 ms to answer and
//! gives pages of 100.
//!
//! `one at a time` is what asking one page after the other over one connection costs. Every
//! listing is compared with what the server holds. Beside the times stand the requests, the
//! connections and the most requests in flight; the last line is the memory that a registry of
//! 5,000 repositories and a million tags takes, in this process, server included.

use std::fs;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use cssc_core::{Inventory, Listing, Repository, TagRef};
use cssc_registry::testing::{PagedTags, Paging, Reply, TestRegistry, TestRequest};
use cssc_registry::{DEFAULT_CONCURRENCY, ListOptions, OciOptions, OciRegistry, list_all};

const DELAY: Duration = Duration::from_millis(20);
const PAGE: usize = 100;

fn tag(number: usize) -> String {
    // In byte order and in the order of numbers alike.
    format!("3.11.{number:07}-slim")
}

/// A server with `repositories` of `tags` tags each.
fn server(repositories: usize, tags: usize) -> TestRegistry {
    let held = (0..repositories).fold(PagedTags::new(Paging::Azure), |held, number| {
        held.repository(&format!("r{number}"), (0..tags).map(tag))
    });
    TestRegistry::start(move |request| held.answer(request).delay(DELAY)).expect("a port")
}

fn names(count: usize) -> Vec<Repository> {
    (0..count)
        .map(|number| format!("r{number}").parse().expect("a valid name"))
        .collect()
}

fn list(server: &TestRegistry, names: &[Repository], concurrency: NonZeroUsize) -> Inventory {
    let options = OciOptions::default().anonymous().concurrency(concurrency);
    let host = server.host().parse().expect("a valid host");
    let client = OciRegistry::new(&host, options).expect("a client");
    let options = ListOptions::default().concurrency(concurrency);
    list_all(&client, names, &options, |_| {})
}

fn assert_right(inventory: &Inventory, repositories: usize, tags: usize) {
    assert_eq!(inventory.iter().count(), repositories);
    let expected: Vec<String> = (0..tags).map(tag).collect();
    for (name, listing) in inventory.iter() {
        let Listing::Found(found) = listing else {
            panic!("{name}: {listing:?}");
        };
        assert!(
            found
                .iter()
                .map(TagRef::as_str)
                .eq(expected.iter().map(String::as_str))
        );
    }
}

fn listing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("list");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    for (repositories, tags) in [(200, 50), (50, 200), (1, 10_000)] {
        let server = server(repositories, tags);
        let names = names(repositories);
        let begun = Instant::now();
        let inventory = list(&server, &names, DEFAULT_CONCURRENCY);
        let elapsed = begun.elapsed();
        assert_right(&inventory, repositories, tags);
        let requests = server.request_count();
        println!(
            "{repositories} repositories of {tags} tags: {elapsed:.3?}, {requests} requests, \
             {} connections, {} in flight at most",
            server.connection_count(),
            server.most_in_flight(),
        );
        assert_eq!(requests, repositories * tags.div_ceil(PAGE));
        assert!(server.most_in_flight() <= DEFAULT_CONCURRENCY.get());
        group.bench_function(format!("{repositories} of {tags}"), |bencher| {
            bencher.iter(|| list(&server, &names, DEFAULT_CONCURRENCY));
        });
        if repositories > 1 {
            let begun = Instant::now();
            let inventory = list(&server, &names, NonZeroUsize::MIN);
            println!("  one at a time: {:.3?}", begun.elapsed());
            assert_right(&inventory, repositories, tags);
        }
    }
    group.finish();
}

/// One repository that hangs delays nothing but its own line.
fn hanging(_: &mut Criterion) {
    let held = (0..200).fold(PagedTags::new(Paging::Azure), |held, number| {
        held.repository(&format!("r{number}"), (0..50).map(tag))
    });
    let answer = move |request: &TestRequest| match request.path() {
        "/v2/r0/tags/list" => Reply::hang(),
        _ => held.answer(request).delay(DELAY),
    };
    let server = TestRegistry::start(answer).expect("a port");
    let options = OciOptions::default()
        .anonymous()
        .timeout(Duration::from_secs(2));
    let host = server.host().parse().expect("a valid host");
    let client = OciRegistry::new(&host, options).expect("a client");
    let begun = Instant::now();
    let mut others = Duration::ZERO;
    let inventory = list_all(&client, &names(200), &ListOptions::default(), |progress| {
        // It goes on to tell that time passes.
        if progress.done == 199 && others.is_zero() {
            others = begun.elapsed();
        }
    });
    let unavailable = |listing: &Listing| matches!(listing, Listing::Unavailable(_));
    assert_eq!(inventory.iter().filter(|(_, l)| unavailable(l)).count(), 1);
    println!(
        "200 repositories, one of which hangs: the others after {others:.3?}, all after {:.3?} \
         with a timeout of 2 s",
        begun.elapsed()
    );
}

fn memory(_: &mut Criterion) {
    let server = TestRegistry::start(|request| {
        let after = request.query("last").and_then(|last| {
            let number = last.strip_prefix("3.11.")?.strip_suffix("-slim")?;
            number.parse::<usize>().ok()
        });
        let start = after.map_or(0, |after| after + 1);
        let tags: Vec<String> = (start..start + PAGE)
            .map(|n| format!("\"{}\"", tag(n)))
            .collect();
        let reply = Reply::json(format!("{{\"tags\": [{}]}}", tags.join(",")));
        if start == 0 {
            reply.header("link", format!("<?last={}>; rel=\"next\"", tag(PAGE - 1)))
        } else {
            reply
        }
    })
    .expect("a port");
    let begun = Instant::now();
    let inventory = list(&server, &names(5_000), DEFAULT_CONCURRENCY);
    let elapsed = begun.elapsed();
    assert_right(&inventory, 5_000, 200);
    println!(
        "5000 repositories of 200 tags, answered at once: {elapsed:.3?}, {} requests, {} \
         connections, {}",
        server.request_count(),
        server.connection_count(),
        peak().unwrap_or_default()
    );
}

/// The most memory this process ever had, as Linux tells it.
fn peak() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

// Memory first: what comes after it does not count.
criterion_group!(benches, memory, listing, hanging);
criterion_main!(benches);
