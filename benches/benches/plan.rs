//! Planning one repository of many tags, beside what it could cost at least and at most.
//!
//! `touch` reads every byte of the tags once and is the least any planner can do;
//! `straightforward` is a regular expression for each tag and a hash map. Every bench asserts
//! its answer before it is timed.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cssc_benches::{StraightforwardImage, shuffled, straightforward_plan, tags};
use cssc_core::plan::{Verdict, dialect_differences};
use cssc_core::tags::{PatchNumber, PatchTag, TagSet};
use cssc_core::{Dialect, Inventory, Listing, Plan, PlanOptions, Policy};

fn policy(selectors: &str) -> Policy {
    let policy = format!(
        r#"{{"version": "v1", "repositories": [{{"repository": "python", "tags": [{selectors}]}}]}}"#
    );
    policy.parse().expect("a valid policy")
}

/// From the tags as text to the plan: validation, order and planning.
fn plan(policy: &Policy, tags: &[String]) -> Plan {
    let tags = TagSet::new(tags).expect("valid tags");
    plan_set(policy, tags)
}

fn plan_set(policy: &Policy, tags: TagSet) -> Plan {
    let repository = "python".parse().expect("a valid name");
    let inventory = Inventory::from_iter([(repository, Listing::Found(tags))]);
    Plan::new(policy, &inventory, &PlanOptions::default())
}

/// Reads every byte of every tag once, one after the other.
fn touch(tags: &[String]) -> u64 {
    tags.iter()
        .flat_map(|tag| tag.bytes())
        .fold(0, |sum: u64, byte| sum.rotate_left(5) ^ u64::from(byte))
}

fn assert_same(plan: &Plan, expected: &[StraightforwardImage]) {
    let images: Vec<StraightforwardImage> = plan
        .images()
        .map(|image| StraightforwardImage {
            tag: image.tag().to_string(),
            latest: image
                .latest_patch()
                .and_then(PatchTag::number)
                .map_or(0, PatchNumber::get),
        })
        .collect();
    assert!(images == expected, "the two planners differ");
}

fn all_tags(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan-all");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    let policy = policy(r#""*""#);
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let tags = tags(count);
        assert_same(&plan(&policy, &tags), &straightforward_plan(&tags));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("touch", count), &tags, |bench, tags| {
            bench.iter(|| touch(black_box(tags)));
        });
        group.bench_with_input(
            BenchmarkId::new("text-to-plan", count),
            &tags,
            |bench, tags| {
                bench.iter(|| plan(&policy, black_box(tags)));
            },
        );
        let set = TagSet::new(&tags).expect("valid tags");
        group.bench_with_input(BenchmarkId::new("plan", count), &set, |bench, set| {
            bench.iter(|| plan_set(&policy, black_box(set).clone()));
        });
        group.bench_with_input(
            BenchmarkId::new("straightforward", count),
            &tags,
            |bench, tags| bench.iter(|| straightforward_plan(black_box(tags))),
        );
    }
    group.finish();
}

fn random_order(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan-random-order");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    let policy = policy(r#""*""#);
    let sorted = tags(1_000_000);
    let random = shuffled(&sorted);
    assert_same(&plan(&policy, &random), &straightforward_plan(&sorted));
    group.throughput(Throughput::Elements(1_000_000));
    group.bench_function("sort_unstable", |bench| {
        bench.iter_batched(
            || random.iter().map(String::as_str).collect::<Vec<_>>(),
            |mut tags| {
                tags.sort_unstable();
                tags
            },
            criterion::BatchSize::LargeInput,
        );
    });
    group.bench_function("text-to-plan", |bench| {
        bench.iter(|| plan(&policy, black_box(&random)));
    });
    group.finish();
}

fn literals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan-literals");
    for (tag_count, literal_count) in [(10_000, 100), (10_000, 1_000), (100_000, 1_000)] {
        let tags = tags(tag_count);
        let all = straightforward_plan(&tags);
        let named: Vec<&StraightforwardImage> = all
            .iter()
            .step_by(all.len() / literal_count)
            .take(literal_count)
            .collect();
        let selectors: Vec<String> = named
            .iter()
            .map(|image| format!("{:?}", image.tag))
            .collect();
        let policy = policy(&selectors.join(","));
        let expected: Vec<StraightforwardImage> = named.into_iter().cloned().collect();
        assert_same(&plan(&policy, &tags), &expected);
        let set = TagSet::new(&tags).expect("valid tags");
        let id = BenchmarkId::new(format!("{literal_count}-of"), tag_count);
        group.bench_with_input(id, &set, |bench, set| {
            bench.iter(|| plan_set(&policy, black_box(set).clone()));
        });
    }
    group.finish();
}

/// The globs of one rule, beside a rule for each of them.
fn globs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan-globs");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    let tags = tags(100_000);
    let set = TagSet::new(&tags).expect("valid tags");
    for (name, glob) in [
        ("prefix", (|at| format!("{at}.*")) as fn(usize) -> String),
        ("inner", |at| format!("*.{at}*-slim*")),
        ("alternatives", |at| format!("{{3.{at},4.{at}}}.*[0-9]")),
    ] {
        let globs: Vec<String> = (0..1000).map(glob).collect();
        let quoted: Vec<String> = globs.iter().map(|glob| format!("{glob:?}")).collect();
        let one = policy(&quoted.join(","));
        let rules = quoted
            .iter()
            .map(|glob| format!(r#"{{"repository": "python", "tags": [{glob}]}}"#));
        let rules: Vec<String> = rules.collect();
        let many: Policy = format!(
            r#"{{"version": "v1", "repositories": [{}]}}"#,
            rules.join(",")
        )
        .parse()
        .expect("a valid policy");
        let names = |policy: &Policy| {
            let plan = plan_set(policy, set.clone());
            let mut names: Vec<String> =
                plan.images().map(|image| image.tag().to_string()).collect();
            names.sort_unstable();
            (names, plan.not_found().count())
        };
        let (of_one, of_many) = (names(&one), names(&many));
        assert!(!of_one.0.is_empty());
        assert!(of_one == of_many, "one rule and many differ");
        for (id, policy) in [("one-rule", &one), ("rule-each", &many)] {
            group.bench_with_input(BenchmarkId::new(id, name), &set, |bench, set| {
                bench.iter(|| plan_set(policy, black_box(set).clone()));
            });
        }
    }
    group.finish();
}

/// Very many literals, read and explained in both dialects, beside the documented plan alone.
fn readings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("readings-10000-literals");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    let tags = tags(100_000);
    let all = straightforward_plan(&tags);
    let step = (all.len() / 10_000).max(1);
    let named: Vec<String> = all
        .iter()
        .step_by(step)
        .take(10_000)
        .map(|image| format!("{:?}", image.tag))
        .collect();
    let policy = policy(&named.join(","));
    let repository: cssc_core::Repository = "python".parse().expect("a valid name");
    let set = TagSet::new(&tags).expect("valid tags");
    let inventory = Inventory::from_iter([(repository, Listing::Found(set))]);
    let plan = |dialect| {
        let options = PlanOptions {
            dialect,
            ..PlanOptions::default()
        };
        Plan::new(&policy, &inventory, &options)
    };
    let [documented, service] = Dialect::ALL.map(plan);
    assert_eq!(documented.matches(), named.len());
    assert!(service.matches() >= named.len());
    for dialect in Dialect::ALL {
        group.bench_function(BenchmarkId::new("plan", dialect), |bench| {
            bench.iter(|| plan(black_box(dialect)));
        });
    }
    group.bench_function("differences", |bench| {
        bench.iter(|| dialect_differences(&policy, black_box(&inventory)));
    });
    for plan in [&documented, &service] {
        let explained = || {
            let rows = plan.explain(&inventory);
            rows.filter(|row| row.verdict == Verdict::Selected && row.decided_by.is_some())
                .count()
        };
        assert!(explained() > 0);
        group.bench_function(BenchmarkId::new("explain", plan.dialect()), |bench| {
            bench.iter(explained);
        });
    }
    group.finish();
}

criterion_group!(benches, all_tags, random_order, literals, globs, readings);
criterion_main!(benches);
