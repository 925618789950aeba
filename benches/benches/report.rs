//! A report of very many findings in the forms that people and machines read, beside its own JSON.
//!
//! Every bench asserts its answer before it is timed.

use std::io::Write;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use cssc_core::cycle::CycleReport;
use serde_json::{Value, json};

/// How many findings an image has.
const FINDINGS: usize = 1000;

/// A report of a hundred findings for each of which one is critical.
fn report(findings: usize) -> CycleReport {
    let finding = |at: usize| {
        json!({
            "platform": "linux/amd64", "vulnerabilityId": format!("CVE-2024-{at}"),
            "package": format!("lib{}", at % 100), "installedVersion": "1:2.36-9+deb12u4",
            "fixedVersion": "1:2.36-9+deb12u10",
            "severity": if at.is_multiple_of(100) { "critical" } else { "low" },
        })
    };
    let left: Vec<Value> = (0..FINDINGS).map(finding).collect();
    let image = |at: usize| {
        json!({
            "image": format!("team/app-{at}:1.0"), "workflowType": "continuouspatchv1",
            "outcome": "vulnerable", "scanStatus": "Succeeded", "patchStatus": "Skipped",
            "scanDate": null, "scanRunId": null, "patchDate": null, "patchedImage": null,
            "patchedDigest": null, "patchRunId": null, "findings": null, "reason": null,
            "fixedFindings": [], "leftFindings": left,
        })
    };
    let mut report = json!({
        "version": 1, "cycle": "20240107T093000Z-0001", "status": "Succeeded",
        "cause": "immediate", "started": null, "finished": null, "problem": null,
        "databases": [], "residue": [], "images": [],
    });
    let images = findings / FINDINGS;
    report["summary"] = json!({
        "images": images, "queued": 0, "running": 0, "patched": 0, "clean": 0,
        "vulnerable": images, "endOfLife": 0, "unsupported": 0, "failed": 0, "canceled": 0,
        "leftOut": 0, "published": 0,
    });
    let mut report: CycleReport = serde_json::from_value(report).expect("a report");
    // One by one: a million findings as values would take more memory than what is measured.
    let images = (0..images).map(|at| {
        let mut one = serde_json::to_value(&report).expect("a report");
        one["images"] = json!([image(at)]);
        serde_json::from_value::<CycleReport>(one).expect("a report")
    });
    let images: Vec<CycleReport> = images.collect();
    while images.len() > report.images().len() {
        let next = report.images().len();
        let Some(one) = images.get(next) else { break };
        report = report.merge(one.clone());
    }
    report
}

/// Counts what is written, as a file would take it.
#[derive(Default)]
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn json_len(value: &impl serde::Serialize) -> usize {
    let mut count = Count::default();
    serde_json::to_writer(&mut count, value).expect("JSON");
    count.0
}

fn page_len(report: &CycleReport) -> usize {
    let mut count = Count::default();
    write!(count, "{}", report.html("registry.example", &[])).expect("HTML");
    count.0
}

fn forms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("report");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    for count in [10_000, 100_000] {
        let report = report(count);
        let findings = report
            .images()
            .iter()
            .map(|image| image.left_findings.len());
        assert_eq!(findings.sum::<usize>(), count);
        let results = serde_json::to_string(&report.sarif()).expect("SARIF");
        assert_eq!(results.matches("\"ruleId\"").count(), count);
        let page = page_len(&report);
        println!("report/html/{count}: {page} bytes");
        for (name, len) in [
            (
                "json",
                (|report| json_len(report)) as fn(&CycleReport) -> usize,
            ),
            ("sarif", |report| json_len(&report.sarif())),
            ("html", page_len),
        ] {
            group.bench_with_input(BenchmarkId::new(name, count), &report, |bench, report| {
                bench.iter(|| len(report));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, forms);
criterion_main!(benches);
