//! Documents that pass between the workers of a cycle are read or refused; what is read is written
//! and read back the same, can be begun and put together, and publishes under no other tag than one of the
//! original's patch tags.
//!
//! The input is a document, or lines that change one: a JSON pointer and a value.
#![no_main]

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use cssc_core::TagConvention;
use cssc_core::cycle::{CycleDocument, CycleOptions, CycleReport, Merge, Shard, ShardResult};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const DOCUMENT: &str = r#"{"version":1,"cycle":"20260107T093000Z-3f2a","registry":"localhost:5000",
"cause":"immediate","created":"2026-01-07T09:30:00Z","shards":2,"shardOf":[1,2,1],"plan":{"version":1,
"policy":{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000009",
"tagConvention":"incremental"},"images":[
{"repository":"python","tag":"3.10","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000001",
"platforms":[{"platform":"linux/amd64","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000001",
"size":1000}],"patchTag":"3.10-1"},
{"repository":"python","tag":"3.11","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000002",
"platforms":[{"platform":"linux/amd64","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000003"},
{"platform":"linux/arm64/v8","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000004",
"patch":{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000005"}}],
"latestPatch":{"tag":"3.11-1","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000006"},
"patchTag":"3.11-2"},
{"repository":"python","tag":"3.12","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000001",
"platforms":[{"platform":"linux/amd64","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000001",
"size":1000}],"patchTag":"3.12-1"}]}}"#;

const RESULT: &str = r#"{"version":1,"cycle":"20260107T093000Z-3f2a","shard":"1/2","started":null,"begun":[
{"repository":"python","tag":"3.10-1","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000007"}],"images":[
{"image":"python:3.10","workflowType":"continuouspatchv1","outcome":"patched","scanStatus":"Succeeded",
"scanDate":"2026-01-07T09:31:00Z","scanRunId":"20260107T093000Z-3f2a.scan.0","patchStatus":"Succeeded",
"patchDate":"2026-01-07T09:32:00Z","patchedImage":"python:3.10-1",
"patchedDigest":"sha256:0000000000000000000000000000000000000000000000000000000000000007",
"patchRunId":"20260107T093000Z-3f2a.patch.0",
"findings":{"fixable":1,"fixed":1,"left":0,"introduced":0,"unfixed":0},"reason":null,"platforms":[],
"ended":"2026-01-07T09:32:00Z","databases":[],"fixedFindings":[],"leftFindings":[]}]}"#;

/// A document, changed as the input says.
fn changed(document: &str, input: &str) -> Vec<u8> {
    let mut value: Value = serde_json::from_str(document).unwrap();
    for line in input.lines() {
        let Some((pointer, new)) = line.split_once(' ') else {
            continue;
        };
        if let (Some(place), Ok(new)) = (value.pointer_mut(pointer), serde_json::from_str(new)) {
            *place = new;
        }
    }
    value.to_string().into_bytes()
}

fn check_document(document: &CycleDocument) {
    let text = serde_json::to_vec(document).unwrap();
    assert_eq!(&CycleDocument::from_slice(&text).unwrap(), document);
    for image in document.plan().images() {
        let tag = image.patch_tag.as_ref();
        let is_its = tag.is_none_or(|tag| {
            TagConvention::ALL.iter().any(|convention| {
                convention
                    .parse(tag.borrowed())
                    .is_some_and(|patch| patch.original() == image.tag.borrowed())
            })
        });
        assert!(is_its, "{tag:?}");
    }
    let now = document.created();
    for number in (1..=3).filter_map(NonZeroU32::new) {
        if let Some(shard) = Shard::new(number, document.shards()) {
            let mut cycle = document.cycle_of(shard, None, CycleOptions::default(), now).unwrap();
            cycle.next_step(now);
            ShardResult::new(&cycle, shard, None);
        }
    }
}

/// A worker that goes on where an earlier one ended keeps what that one was about to publish.
fn check_restart(document: &CycleDocument, earlier: &ShardResult) {
    let (shard, now) = (earlier.shard(), document.created());
    let cycle = document.cycle_of(shard, Some(earlier), CycleOptions::default(), now).unwrap();
    let result = ShardResult::new(&cycle, shard, Some(earlier));
    assert!(earlier.begun().iter().all(|one| result.begun().contains(one)));
}

fn check(document: &[u8], result: &[u8]) {
    let document = CycleDocument::from_slice(document);
    match &document {
        Ok(document) => check_document(document),
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
    if let (Ok(document), Ok(result)) = (document, ShardResult::from_slice(result)) {
        if result.check(&document).is_ok() {
            check_restart(&document, &result);
        }
        let results = [result];
        if let Ok(merge) = Merge::new(&document, &results) {
            let report = merge.report(&BTreeMap::new(), document.created());
            assert!(report.images().len() >= document.plan().images().len());
            let text = serde_json::to_vec(&report).unwrap();
            let read: CycleReport = serde_json::from_slice(&text).unwrap();
            assert_eq!(read.clone().merge(report.clone()), report.clone().merge(report));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes, bytes);
    if let Ok(input) = std::str::from_utf8(bytes) {
        check(&changed(DOCUMENT, input), &changed(RESULT, input));
    }
});
