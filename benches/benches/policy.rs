//! Reading a policy, beside its JSON Schema alone.
//!
//! `schema-alone` parses with `serde_json` and asks the compiled schema: what an editor does. Every
//! bench asserts its answer before it is timed.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use cssc_core::Policy;
use cssc_core::policy::{POLICY_SCHEMA, PolicySchema};

fn text(rules: usize) -> String {
    let rules: Vec<String> = (0..rules)
        .map(|at| format!(r#"{{"repository": "team/app-{at}", "tags": ["1.{at}", "2.*-slim"]}}"#))
        .collect();
    format!(
        r#"{{"version": "v1", "repositories": [{}]}}"#,
        rules.join(",")
    )
}

fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policy-check");
    let text = text(3);
    assert!(Policy::check(text.as_bytes()).policy.is_some());
    group.bench_function("typed", |bench| {
        bench.iter(|| Policy::check(black_box(text.as_bytes())));
    });
    let schema = PolicySchema::new();
    assert!(schema.check(text.as_bytes()).policy.is_some());
    group.bench_function("typed-and-schema", |bench| {
        bench.iter(|| schema.check(black_box(text.as_bytes())));
    });
    group.bench_function("schema-compiled", |bench| bench.iter(PolicySchema::new));
    let peer = serde_json::from_str(POLICY_SCHEMA).expect("a schema");
    let peer = jsonschema::draft202012::new(&peer).expect("a schema");
    group.bench_function("schema-alone", |bench| {
        bench.iter(|| {
            let value = serde_json::from_str(black_box(&text)).expect("JSON");
            assert!(peer.is_valid(&value));
        });
    });
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);
