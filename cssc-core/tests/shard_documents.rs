//! Documents of a cycle are foreign input: what no plan says is refused with a reason.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::num::NonZeroU32;

use cssc_core::cycle::{
    Cause, CycleDocument, CycleId, CycleImage, CycleOptions, CyclePlatform, DocumentErrorKind,
    LatestPatch, NextStep, PinnedPolicy, PlanOutcome, ScanOutcome, Shard, ShardResult, StepFailure,
};
use cssc_core::scan::{Finding, ScanVerdict, Severity};
use cssc_core::tags::TagConvention;
use cssc_core::{Cycle, Digest};
use serde_json::{Value, json};

fn digest(number: u32) -> Digest {
    format!("sha256:{number:064}").parse().unwrap()
}

fn now() -> chrono::DateTime<chrono::Utc> {
    "2026-01-07T09:30:00Z".parse().unwrap()
}

fn image(tag: &str, number: u32) -> CycleImage {
    CycleImage {
        repository: "python".parse().unwrap(),
        tag: tag.parse().unwrap(),
        digest: digest(number),
        platforms: vec![CyclePlatform {
            platform: "linux/amd64".parse().unwrap(),
            digest: digest(number),
            size: 1000,
            patch: None,
        }],
        unselected: Vec::new(),
        latest_patch: Some(LatestPatch {
            tag: format!("{tag}-1").parse().unwrap(),
            digest: digest(90),
            is_foreign: false,
        }),
        patch_tag: Some(format!("{tag}-2").parse().unwrap()),
    }
}

fn document() -> CycleDocument {
    let options = CycleOptions {
        plan_only: true,
        ..CycleOptions::default()
    };
    let mut cycle = Cycle::new(CycleId::new(now(), 7), Cause::Immediate, options, now());
    let NextStep::Assigned(work) = cycle.next_step(now()) else {
        unreachable!()
    };
    let outcome = PlanOutcome {
        // The first and the last share their work.
        images: vec![image("3.10", 1), image("3.11", 2), image("3.12", 1)],
        policy: Some(PinnedPolicy {
            digest: digest(80),
            tag_convention: TagConvention::Incremental,
        }),
        ..PlanOutcome::default()
    };
    cycle
        .report(&work.run, work.attempt, outcome.into(), now())
        .unwrap();
    CycleDocument::new(&cycle, "localhost:5000", NonZeroU32::new(2).unwrap()).unwrap()
}

/// The result of a shard, whose first image failed and whose others are vulnerable.
fn result(shard: &str) -> ShardResult {
    let shard: Shard = shard.parse().unwrap();
    let options = CycleOptions::default();
    let mut cycle = document().cycle_of(shard, None, options, now()).unwrap();
    while let NextStep::Assigned(work) = cycle.next_step(now()) {
        let outcome = match &work.step {
            cssc_core::cycle::Step::Scan(_) => ScanOutcome {
                verdict: ScanVerdict::Patch { fixable: 1 },
                fixable: vec![Finding::new(
                    "CVE-1",
                    "libc6",
                    "1",
                    Some("2"),
                    Severity::High,
                )],
                unfixed: 0,
                database: Some(now()),
            }
            .into(),
            _ => StepFailure::permanent("no shell").into(),
        };
        cycle
            .report(&work.run, work.attempt, outcome, now())
            .unwrap();
    }
    ShardResult::new(&cycle, shard, None)
}

fn refused(change: impl FnOnce(&mut Value)) -> (DocumentErrorKind, String) {
    let mut value = serde_json::to_value(document()).unwrap();
    change(&mut value);
    let error = CycleDocument::from_slice(value.to_string().as_bytes()).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn images_that_share_their_work_are_in_one_shard() {
    let value = serde_json::to_value(document()).unwrap();
    assert_eq!(value["shardOf"], json!([1, 2, 1]));
}

#[test]
fn a_document_that_was_changed_is_refused() {
    use DocumentErrorKind::Changed;

    let patch_tag = |tag: &str| {
        let tag = tag.to_owned();
        refused(|value| value["plan"]["images"][0]["patchTag"] = tag.into())
    };
    assert_eq!(
        patch_tag("latest"),
        (
            Changed,
            "the cycle document was changed: `latest` is no patch tag of `python:3.10`".to_owned()
        )
    );
    // Of another image, and of the other convention.
    assert_eq!(patch_tag("3.11-2").0, Changed);
    assert_eq!(patch_tag("3.10-patched").0, Changed);
    let latest = refused(|value| value["plan"]["images"][0]["latestPatch"]["tag"] = "3".into());
    assert_eq!(latest.0, Changed);
    for shards in [
        json!([1, 2]),
        json!([1, 2, 2]),
        json!([1, 3, 1]),
        json!([0, 2, 0]),
    ] {
        let (kind, message) = refused(|value| value["shardOf"] = shards);
        assert_eq!(kind, Changed, "{message}");
    }
    // An image that stands twice is one.
    let twice = refused(|value| {
        let image = value["plan"]["images"][0].clone();
        value["plan"]["images"].as_array_mut().unwrap().push(image);
        value["shardOf"] = json!([1, 2, 1, 1]);
    });
    assert_eq!(twice.0, Changed);
}

#[test]
fn what_is_cut_off_too_new_or_something_else_is_refused() {
    use DocumentErrorKind::Unreadable;

    let text = serde_json::to_string(&document()).unwrap();
    for end in 0..text.len() {
        let error = CycleDocument::from_slice(&text.as_bytes()[..end]).unwrap_err();
        assert_eq!(error.kind(), Unreadable);
        assert!(
            error
                .to_string()
                .starts_with("the cycle document is cut off: "),
            "{error}"
        );
    }
    let (kind, message) = refused(|value| value["version"] = 2.into());
    assert_eq!(kind, Unreadable);
    assert!(
        message.contains("version 2 is not read by this program: it knows version 1"),
        "{message}"
    );
    let error = CycleDocument::from_slice(b"[]").unwrap_err();
    assert!(
        error.to_string().starts_with("this is no cycle document: "),
        "{error}"
    );
    let error = ShardResult::from_slice(b"{").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the result of a shard is cut off: "),
        "{error}"
    );
}

#[test]
fn a_result_of_something_else_is_refused() {
    let document = document();
    let changed = |from: &str, to: &str| {
        let text = serde_json::to_string(&result("1/2"))
            .unwrap()
            .replace(from, to);
        let result = ShardResult::from_slice(text.as_bytes()).unwrap();
        result.check(&document).unwrap_err().to_string()
    };
    result("1/2").check(&document).unwrap();
    assert_eq!(
        changed("20260107T093000Z-0007", "20260107T093000Z-0008"),
        "the result is of the cycle `20260107T093000Z-0008`, not of `20260107T093000Z-0007`"
    );
    assert_eq!(
        changed("1/2", "1/3"),
        "there is no shard `1/3`: the cycle was planned with 2"
    );
    assert_eq!(
        changed("python:3.10", "python:3.11"),
        "the result of shard 1/2 has `python:3.11`, which is not among its images"
    );
    let published = r#""patchedImage":"python:latest""#;
    assert_eq!(
        changed(r#""patchedImage":null"#, published),
        "the result of shard 1/2 has `python:3.10`, published under a tag that is not its own"
    );
    let other = "1/3".parse().unwrap();
    let error = document
        .cycle_of(other, None, CycleOptions::default(), now())
        .unwrap_err();
    assert_eq!(error.kind(), DocumentErrorKind::Foreign);
}

#[test]
fn what_failed_is_done_again_and_nothing_else() {
    let (document, mut earlier) = (document(), result("1/2"));
    let shard = "1/2".parse().unwrap();
    let options = CycleOptions::default();
    let scans = |earlier: &ShardResult| {
        let cycle = document
            .cycle_of(shard, Some(earlier), options.clone(), now())
            .unwrap();
        cycle.summary().queued
    };
    assert_eq!(scans(&earlier), 2, "both share what failed");
    let text = serde_json::to_string(&earlier).unwrap();
    earlier = serde_json::from_str(&text.replace(r#""outcome":"failed""#, r#""outcome":"clean""#))
        .unwrap();
    assert_eq!(scans(&earlier), 0);
    let cycle = document
        .cycle_of(shard, Some(&earlier), options, now())
        .unwrap();
    assert!(cycle.has_ended());
    assert_eq!(
        ShardResult::new(&cycle, shard, Some(&earlier))
            .images()
            .len(),
        2
    );
}

#[cfg(feature = "schema")]
#[test]
fn documents_are_as_their_schemas_say() {
    use cssc_core::cycle::{CYCLE_SCHEMA, RESULT_SCHEMA};

    let check = |schema: &str, document: &Value, is_valid: bool| {
        let schema = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(document)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors.is_empty(), is_valid, "{errors:?}");
    };
    let mut cycle = serde_json::to_value(document()).unwrap();
    check(CYCLE_SCHEMA, &cycle, true);
    cycle["plan"]["images"][0]["digest"] = "sha256:1".into();
    check(CYCLE_SCHEMA, &cycle, false);
    let mut result = serde_json::to_value(result("1/2")).unwrap();
    check(RESULT_SCHEMA, &result, true);
    result["begun"] = json!([{"repository": "python", "tag": "3.10-2", "digest": digest(7)}]);
    check(RESULT_SCHEMA, &result, true);
    let read: ShardResult = serde_json::from_value(result.clone()).unwrap();
    assert_eq!(read.begun()[0].digest, digest(7));
    assert_eq!(serde_json::to_value(&read).unwrap(), result);
    let mut unpinned = result.clone();
    unpinned["begun"][0]["digest"] = "latest".into();
    check(RESULT_SCHEMA, &unpinned, false);
    result["images"][0]["outcome"] = "fine".into();
    check(RESULT_SCHEMA, &result, false);
}
