//! Reading a large report of Trivy, beside `serde_json` reading the same fields from memory.
//!
//! The peer checks no bound and keeps what it reads as strings. Both answers are compared before
//! they are timed.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cssc_core::ScanReport;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    schema_version: u64,
    results: Vec<Result>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Result {
    class: String,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default)]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Package {
    name: String,
    arch: Option<String>,
    version: Option<String>,
    release: Option<String>,
    epoch: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    pkg_name: String,
    installed_version: String,
    fixed_version: Option<String>,
    severity: String,
}

/// As Trivy writes it, indented, with descriptions and references that nobody asks for.
fn report(megabytes: usize) -> String {
    let description = "A flaw was found in the library. An attacker who can \"supply\" a crafted \
                       file may cause a crash, or read\\nmemory. "
        .repeat(6);
    let references: Vec<String> = (0..12)
        .map(|at| format!("            \"https://security.example/advisory/2024/{at}/index.html\""))
        .collect();
    let references = references.join(",\n");
    let mut text = String::from(
        r#"{"SchemaVersion": 2, "Results": [{"Class": "os-pkgs", "Type": "debian", "Packages": ["#,
    );
    let packages: Vec<String> = (0..500)
        .map(|at| {
            format!(
                r#"{{"ID": "lib{at}@2.36-9", "Name": "lib{at}", "Version": "2.36", "Release": "9",
                "Arch": "amd64", "InstalledFiles": ["/usr/lib/lib{at}.so", "/usr/share/doc/{at}"]}}"#
            )
        })
        .collect();
    text += &packages.join(",");
    text += r#"], "Vulnerabilities": ["#;
    let mut at = 0;
    while text.len() < megabytes * 1_000_000 {
        if at > 0 {
            text.push(',');
        }
        let _ = write!(
            text,
            "\n        {{\n          \"VulnerabilityID\": \"CVE-2024-{at}\",\n          \"PkgName\": \
             \"lib{}\",\n          \"InstalledVersion\": \"2.36-9\",\n          \"FixedVersion\": \
             \"2.36-10\",\n          \"Title\": \"a flaw\",\n          \"Description\": \"{}\",\n          \
             \"Severity\": \"HIGH\",\n          \"References\": [\n{references}\n          ],\n          \
             \"PublishedDate\": \"2024-01-07T09:30:00Z\"\n        }}",
            at % 500,
            description.replace('"', "\\\"")
        );
        at += 1;
    }
    text + "]}]}"
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan-report");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    let text = report(71);
    let peer = |text: &str| serde_json::from_str::<Report>(text).expect("a report");
    let (ours, theirs) = (
        ScanReport::from_slice(text.as_bytes()).expect("a report"),
        peer(&text),
    );
    let result = &theirs.results[0];
    assert_eq!((theirs.schema_version, &*result.class), (2, "os-pkgs"));
    assert_eq!(ours.findings().len(), result.vulnerabilities.len());
    assert_eq!(ours.packages().len(), result.packages.len());
    let text_of = |one: &Vulnerability| {
        let Vulnerability {
            id,
            pkg_name,
            installed_version,
            fixed_version,
            severity,
        } = one;
        format!("{id} {pkg_name} {installed_version} {fixed_version:?} {severity}")
    };
    let mut theirs: Vec<String> = result.vulnerabilities.iter().map(text_of).collect();
    theirs.sort_unstable();
    let mut found: Vec<String> = ours
        .findings()
        .iter()
        .map(|one| {
            let (id, package) = (one.vulnerability_id(), one.package());
            let (installed, fixed) = (one.installed_version(), one.fixed_version());
            let severity = one.severity().as_str().to_uppercase();
            format!("{id} {package} {installed} {fixed:?} {severity}")
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, theirs);
    let mut names: Vec<String> = result
        .packages
        .iter()
        .map(|one| {
            let (arch, version) = (one.arch.as_deref(), one.version.as_deref());
            format!(
                "{} {arch:?} {version:?} {:?} {:?}",
                one.name, one.release, one.epoch
            )
        })
        .collect();
    names.dedup();
    assert_eq!(names.len(), ours.packages().len());
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("ours", |bench| {
        bench.iter(|| ScanReport::from_slice(black_box(text.as_bytes())));
    });
    group.bench_function("serde_json", |bench| bench.iter(|| peer(black_box(&text))));
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
