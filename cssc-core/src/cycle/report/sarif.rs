//! The report as SARIF 2.1.0, for code scanning.
//!
//! It is written result by result: as a value in memory a report of a million findings would take
//! gigabytes.

use std::collections::BTreeMap;
use std::fmt::{self, Arguments, Display};

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::{CycleReport, ImageReport, ReportedFinding};
use crate::cycle::image_name::ImageName;
use crate::scan::{Finding, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn log(report: &CycleReport) -> impl Serialize {
    Log {
        schema: SCHEMA,
        runs: [Run {
            automation_details: AutomationDetails {
                id: format!("cssc/{}", report.cycle),
            },
            results: Results(&report.images),
            tool: Tool {
                driver: Driver {
                    information_uri: env!("CARGO_PKG_REPOSITORY"),
                    name: "cssc",
                    rules: rules(report),
                    version: env!("CARGO_PKG_VERSION"),
                },
            },
        }],
        version: "2.1.0",
    }
}

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    runs: [Run<'a>; 1],
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    automation_details: AutomationDetails,
    results: Results<'a>,
    tool: Tool<'a>,
}

#[derive(Serialize)]
struct AutomationDetails {
    id: String,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    information_uri: &'static str,
    name: &'static str,
    rules: Vec<Rule<'a>>,
    version: &'static str,
}

/// Each vulnerability once, as bad as the worst finding of it.
fn rules(report: &CycleReport) -> Vec<Rule<'_>> {
    let mut worst: BTreeMap<&str, &Finding> = BTreeMap::new();
    let findings = report.images.iter().flat_map(|image| &image.left_findings);
    for ReportedFinding { finding, .. } in findings {
        let known = worst.entry(finding.vulnerability_id()).or_insert(finding);
        if known.severity() < finding.severity() {
            *known = finding;
        }
    }
    worst.into_values().map(Rule).collect()
}

/// A text that is made while it is written.
#[derive(Serialize)]
struct Message<'a> {
    text: Arguments<'a>,
}

struct Rule<'a>(&'a Finding);

impl Serialize for Rule<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Document<'a> {
            help_uri: Arguments<'a>,
            id: &'a str,
            properties: Properties,
            short_description: Message<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Properties {
            security_severity: &'static str,
            tags: [&'static str; 3],
        }
        let (id, severity) = (self.0.vulnerability_id(), self.0.severity());
        Document {
            help_uri: format_args!("{}{id}", help(id)),
            id,
            properties: Properties {
                security_severity: score(severity),
                tags: ["vulnerability", "security", severity.as_str()],
            },
            short_description: Message {
                text: format_args!("{id} in `{}`", self.0.package()),
            },
        }
        .serialize(serializer)
    }
}

struct Results<'a>(&'a [ImageReport]);

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().flat_map(|image| {
            let name = &image.row.image;
            let left = image.left_findings.iter();
            left.map(move |left| ResultOf { name, left })
        }))
    }
}

/// A finding that is left.
struct ResultOf<'a> {
    name: &'a ImageName,
    left: &'a ReportedFinding,
}

impl Serialize for ResultOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Document<'a> {
            level: &'static str,
            locations: [Location<'a>; 1],
            message: Message<'a>,
            partial_fingerprints: Fingerprints<'a>,
            properties: Properties,
            rule_id: &'a str,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Location<'a> {
            message: Message<'a>,
            physical_location: PhysicalLocation<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct PhysicalLocation<'a> {
            artifact_location: ArtifactLocation<'a>,
        }
        #[derive(Serialize)]
        struct ArtifactLocation<'a> {
            uri: Arguments<'a>,
        }
        #[derive(Serialize)]
        struct Fingerprints<'a> {
            #[serde(rename = "image/platform/vulnerability/package")]
            value: Arguments<'a>,
        }
        #[derive(Serialize)]
        struct Properties {
            since: Option<DateTime<Utc>>,
        }
        let name = self.name;
        let ReportedFinding {
            platform,
            since,
            finding,
        } = self.left;
        let (id, package) = (finding.vulnerability_id(), finding.package());
        Document {
            level: level(finding.severity()),
            locations: [Location {
                message: Message {
                    text: format_args!("{platform}: {package}"),
                },
                physical_location: PhysicalLocation {
                    artifact_location: ArtifactLocation {
                        uri: format_args!("{}", Slashed(name)),
                    },
                },
            }],
            message: Message {
                text: format_args!(
                    "`{package}` {} in `{name}` ({platform}) has {id}; version {} fixes it",
                    finding.installed_version(),
                    finding.fixed_version().unwrap_or("unknown"),
                ),
            },
            partial_fingerprints: Fingerprints {
                value: format_args!("{name}/{platform}/{id}/{package}"),
            },
            properties: Properties { since: *since },
            rule_id: id,
        }
        .serialize(serializer)
    }
}

/// The name of an image as a path: a colon would make it the scheme of an address.
struct Slashed<'a>(&'a ImageName);

impl Display for Slashed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string().replace(':', "/"))
    }
}

/// Where vulnerabilities of this kind are described.
fn help(id: &str) -> &'static str {
    if id.starts_with("CVE-") {
        "https://nvd.nist.gov/vuln/detail/"
    } else {
        "https://osv.dev/vulnerability/"
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
