//! The vectors of `vectors/scan.json`: reports, what follows from them, and why some are refused.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;

use cssc_core::scan::{Finding, PublishVerdict, ScanErrorKind, ScanVerdict};
use cssc_core::{Evidence, ScanReport};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    verdicts: Vec<VerdictCase>,
    errors: Vec<ErrorCase>,
    evidence: Vec<EvidenceCase>,
}

/// A report that is read: as a value, or as text where the very bytes matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerdictCase {
    name: String,
    report: Option<Value>,
    text: Option<String>,
    verdict: ScanVerdict,
    /// Severity to findings with and without a fixed version; severities left out have none.
    counts: Option<BTreeMap<String, (usize, usize)>>,
    os: Option<Os>,
    architecture: Option<String>,
    created_at: Option<String>,
    image_id: Option<String>,
    repo_digests: Option<Vec<String>>,
    artifact_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Os {
    family: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorCase {
    name: String,
    text: String,
    error: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceCase {
    name: String,
    before: Value,
    after: Value,
    /// Findings as vulnerability, package and installed version.
    fixed: Vec<String>,
    introduced: Vec<String>,
    remaining: Vec<String>,
    /// `publish`, or why not.
    publish: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/scan.json")).unwrap()
}

fn read(report: &Value) -> ScanReport {
    ScanReport::from_slice(report.to_string().as_bytes()).unwrap()
}

#[test]
fn verdicts() {
    for case in vectors().verdicts {
        let name = &case.name;
        let text = case
            .report
            .map(|report| report.to_string())
            .or(case.text)
            .unwrap();
        let report = ScanReport::from_slice(text.as_bytes())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(report.verdict(), case.verdict, "{name}");
        if let Some(counts) = case.counts {
            for count in report.counts() {
                let expected = counts
                    .get(count.severity.as_str())
                    .copied()
                    .unwrap_or_default();
                assert_eq!(
                    (count.fixed, count.unfixed),
                    expected,
                    "{name}: {}",
                    count.severity
                );
            }
        }
        if let Some(os) = case.os {
            let found = report.os().unwrap();
            assert_eq!(found.family(), Some(&*os.family), "{name}");
            assert_eq!(found.name(), Some(&*os.name), "{name}");
        }
        if case.architecture.is_some() {
            assert_eq!(
                report.architecture(),
                case.architecture.as_deref(),
                "{name}"
            );
        }
        if case.image_id.is_some() {
            assert_eq!(report.image_id(), case.image_id.as_deref(), "{name}");
        }
        if case.artifact_name.is_some() {
            assert_eq!(
                report.artifact_name(),
                case.artifact_name.as_deref(),
                "{name}"
            );
        }
        if let Some(digests) = case.repo_digests {
            assert_eq!(report.repo_digests().collect::<Vec<_>>(), digests, "{name}");
        }
        if let Some(created) = case.created_at {
            assert_eq!(
                report.created_at(),
                Some(created.parse().unwrap()),
                "{name}"
            );
        }
    }
}

#[test]
fn every_refused_report_says_why() {
    for case in vectors().errors {
        let name = &case.name;
        let error = ScanReport::from_slice(case.text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), case.error, "{name}");
        let kind = match &*case.kind {
            "truncated" => ScanErrorKind::Truncated,
            "notAReport" => ScanErrorKind::NotAReport,
            "version" => ScanErrorKind::UnsupportedVersion,
            "tooLarge" => ScanErrorKind::TooLarge,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(error.kind(), kind, "{name}");
    }
}

#[test]
fn evidence() {
    let describe = |findings: &[Finding]| -> Vec<String> {
        findings
            .iter()
            .map(|finding| {
                let (id, package) = (finding.vulnerability_id(), finding.package());
                format!("{id} {package} {}", finding.installed_version())
            })
            .collect()
    };
    for case in vectors().evidence {
        let name = &case.name;
        let (before, after) = (read(&case.before), read(&case.after));
        let evidence = Evidence::compare(&before, &after);
        assert_eq!(describe(evidence.fixed()), case.fixed, "{name}: fixed");
        assert_eq!(
            describe(evidence.introduced()),
            case.introduced,
            "{name}: introduced"
        );
        assert_eq!(
            describe(evidence.remaining()),
            case.remaining,
            "{name}: remaining"
        );
        let publish = match PublishVerdict::between(&before, &after) {
            PublishVerdict::Publish => "publish".to_owned(),
            PublishVerdict::Withhold(reason) => reason.to_string(),
        };
        assert_eq!(publish, case.publish, "{name}");
    }
}
