//! The report as SARIF 2.1.0, for code scanning.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CycleReport, ReportedFinding};
use crate::scan::{Finding, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn log(report: &CycleReport) -> Value {
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    let mut results = Vec::new();
    for image in &report.images {
        let name = image.row.image.to_string();
        for left in &image.left_findings {
            let finding = &left.finding;
            let rule = rules.entry(finding.vulnerability_id()).or_insert(finding);
            if rule.severity() < finding.severity() {
                *rule = finding;
            }
            results.push(result(&name, left));
        }
    }
    let rules: Vec<Value> = rules
        .into_iter()
        .map(|(id, finding)| rule(id, finding))
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "cssc",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            }},
            "automationDetails": {"id": format!("cssc/{}", report.cycle)},
            "results": results,
        }],
    })
}

fn rule(id: &str, finding: &Finding) -> Value {
    json!({
        "id": id,
        "shortDescription": {"text": format!("{id} in `{}`", finding.package())},
        "helpUri": help(id),
        "properties": {
            "tags": ["vulnerability", "security", finding.severity().as_str()],
            "security-severity": score(finding.severity()),
        },
    })
}

fn result(image: &str, left: &ReportedFinding) -> Value {
    let ReportedFinding {
        platform,
        since,
        finding,
    } = left;
    let text = format!(
        "`{}` {} in `{image}` ({platform}) has {}; version {} fixes it",
        finding.package(),
        finding.installed_version(),
        finding.vulnerability_id(),
        finding.fixed_version().unwrap_or("unknown"),
    );
    json!({
        "ruleId": finding.vulnerability_id(),
        "level": level(finding.severity()),
        "message": {"text": text},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": image.replace(':', "/")}},
            "message": {"text": format!("{platform}: {}", finding.package())},
        }],
        "partialFingerprints": {
            "image/platform/vulnerability/package": format!(
                "{image}/{platform}/{}/{}", finding.vulnerability_id(), finding.package()
            ),
        },
        "properties": {"since": since},
    })
}

/// Where the vulnerability is described.
fn help(id: &str) -> String {
    if id.starts_with("CVE-") {
        format!("https://nvd.nist.gov/vuln/detail/{id}")
    } else {
        format!("https://osv.dev/vulnerability/{id}")
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Unknown => "note",
    }
}

/// A score in the middle of what the CVSS rating of this name stands for, as code scanning reads
/// it.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Unknown => "0.0",
    }
}
