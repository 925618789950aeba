//! What is said of a patched image, as [in-toto statements][spec].
//!
//! A statement of a cycle is the same each time it is made from the same reports: its times are
//! those of the cycle and of the reports.
//!
//! [spec]: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use cssc_core::cycle::CycleId;
use cssc_core::name::Platform;
use cssc_core::schedule::rfc3339;
use cssc_core::workflow::PatcherKind;
use cssc_core::{Digest, Evidence, ScanReport};
use serde_json::{Value, json};

use super::{StepContext, StepError};
use crate::tool::ImageRef;

/// Where an artifact comes from.
pub(super) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// What a scanner found.
pub(super) const SCAN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
/// Which vulnerabilities do not concern an image, and why.
pub(crate) const VEX: &str = "https://openvex.dev/ns/v0.2.0";

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PROGRAM: &str = "https://github.com/cssc-rs/cssc";

/// What made the statements: a cycle with its tools.
pub(super) struct Builder<'a> {
    cycle: CycleId,
    scanner: &'a str,
    /// By the name of the tool.
    versions: BTreeMap<String, String>,
    /// When the scanner's database was made.
    database: Option<DateTime<Utc>>,
    patcher: Option<PatcherKind>,
}

/// What an image was made from.
pub(super) struct Material<'a> {
    pub(super) image: &'a ImageRef,
    pub(super) platform: Option<&'a Platform>,
}

/// A scan report, as the scanner wrote it and as it was read.
pub(super) struct Report {
    written: Value,
    read: ScanReport,
}

impl Report {
    /// Reads a report that was read before.
    pub(super) fn open(path: &Path) -> Result<Self, StepError> {
        let unreadable = |error: &dyn std::error::Error| {
            let path = path.display();
            StepError::transient(format!("cannot read `{path}` again: {error}"))
        };
        let bytes = fs::read(path).map_err(|error| unreadable(&error))?;
        Ok(Self {
            written: serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?,
            read: ScanReport::from_slice(&bytes).map_err(|error| unreadable(&error))?,
        })
    }
}

impl<'a> Builder<'a> {
    pub(super) fn of(
        cycle: CycleId,
        patcher: Option<PatcherKind>,
        context: &StepContext<'a>,
    ) -> Result<Self, StepError> {
        let mut versions = BTreeMap::new();
        versions.insert("cssc".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let scanner = context.scanner;
        if let Some(version) = context.with_tool(|job| scanner.check(job))? {
            versions.insert(scanner.name().to_owned(), version.to_string());
        }
        if let Some(patcher) = patcher {
            let patcher = context.patchers.get(patcher)?;
            if let Some(version) = context.with_tool(|job| patcher.check(job))? {
                versions.insert(patcher.name().to_owned(), version.to_string());
            }
        }
        Ok(Self {
            cycle,
            scanner: scanner.name(),
            versions,
            database: context.database()?,
            patcher,
        })
    }

    /// Where a patched image comes from.
    pub(super) fn provenance(
        &self,
        subject: &ImageRef,
        original: &Material<'_>,
        policy: Option<&Digest>,
    ) -> Value {
        let parameters = [
            ("original", Some(original.image.by_tag())),
            ("platform", original.platform.map(ToString::to_string)),
            ("patcher", self.patcher.map(|patcher| patcher.to_string())),
        ];
        let parameters = parameters.into_iter();
        let parameters: BTreeMap<&str, String> = parameters
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let mut dependencies = vec![json!({"uri": format!("oci://{}", original.image.exact()),
                   "digest": digest_set(original.image.digest())})];
        if policy.is_some() {
            dependencies.push(json!({"name": "policy", "digest": digest_set(policy)}));
        }
        if let Some(database) = self.database {
            dependencies.push(json!({
                "name": format!("{} database", self.scanner),
                "annotations": {"updatedAt": rfc3339(database)},
            }));
        }
        let predicate = json!({
            "buildDefinition": {
                "buildType": format!("{PROGRAM}/patch@v1"),
                "externalParameters": parameters,
                "internalParameters": {"cycle": self.cycle},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": PROGRAM, "version": self.versions},
                "metadata": {
                    "invocationId": self.cycle,
                    "startedOn": rfc3339(self.cycle.started()),
                },
            },
        });
        statement(subject, PROVENANCE, &predicate)
    }

    /// What a scan found, with the report as the scanner wrote it.
    pub(super) fn scan(&self, subject: &ImageRef, report: &Report) -> Value {
        let scanned = report.read.created_at();
        let scanned = scanned.map_or_else(|| rfc3339(self.cycle.started()), rfc3339);
        let version = self.versions.get(self.scanner);
        let predicate = json!({
            "invocation": {"uri": PROGRAM, "event_id": self.cycle},
            "scanner": {
                "uri": self.scanner_url(),
                "version": version,
                "db": {"lastUpdate": self.database.map(rfc3339)},
                "result": report.written,
            },
            "metadata": {"scanStartedOn": scanned, "scanFinishedOn": scanned},
        });
        statement(subject, SCAN, &predicate)
    }

    /// What is fixed since the original, as the scans of both show it.
    pub(super) fn vex(&self, subject: &ImageRef, before: &Report, after: &Report) -> Value {
        let evidence = Evidence::compare(&before.read, &after.read);
        let urls = package_urls(&before.written);
        let now = rfc3339(self.cycle.started());
        let product = image_url(subject);
        let mut fixed: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for finding in evidence.fixed() {
            let (package, version) = (finding.package(), finding.installed_version());
            let subcomponent = urls.get(&(package.to_owned(), version.to_owned()));
            let subcomponent = subcomponent.map(|url| json!({"@id": url}));
            fixed
                .entry(finding.vulnerability_id())
                .or_default()
                .extend(subcomponent);
        }
        let statements: Vec<Value> = fixed
            .into_iter()
            .map(|(vulnerability, subcomponents)| {
                json!({
                    "vulnerability": {"name": vulnerability},
                    "products": [{"@id": product, "subcomponents": subcomponents}],
                    "status": "fixed",
                })
            })
            .collect();
        let predicate = json!({
            "@context": VEX,
            "@id": format!("{PROGRAM}/vex/{}/{}", self.cycle, hex(subject)),
            "author": "cssc",
            "role": "patching automation",
            "timestamp": now,
            "version": 1,
            "statements": statements,
        });
        statement(subject, VEX, &predicate)
    }

    fn scanner_url(&self) -> String {
        let version = self.versions.get(self.scanner);
        let version = version.map(|version| format!("@{version}"));
        format!(
            "pkg:generic/{}{}",
            self.scanner,
            version.unwrap_or_default()
        )
    }
}

fn statement(subject: &ImageRef, predicate_type: &str, predicate: &Value) -> Value {
    let (registry, repository) = (subject.registry(), subject.repository());
    json!({
        "_type": STATEMENT,
        "subject": [{
            "name": format!("{}/{repository}", registry.as_str()),
            "digest": digest_set(subject.digest()),
        }],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

fn digest_set(digest: Option<&Digest>) -> Value {
    let (algorithm, hex) = digest
        .and_then(|digest| digest.as_str().split_once(':'))
        .unwrap_or_default();
    json!({algorithm: hex})
}

fn hex(image: &ImageRef) -> &str {
    image.digest().map_or("", Digest::hex)
}

/// The package URL of an image ([purl](https://github.com/package-url/purl-spec), type `oci`).
fn image_url(image: &ImageRef) -> String {
    let repository = image.repository().as_str();
    let name = repository.rsplit('/').next().unwrap_or(repository);
    format!("pkg:oci/{name}@sha256:{}", hex(image))
}

/// The package URLs that a report tells, by name and installed version of the package.
fn package_urls(report: &Value) -> BTreeMap<(String, String), String> {
    items(report, "Results")
        .flat_map(|result| items(result, "Vulnerabilities"))
        .filter_map(|finding| {
            let text = |path: &str| Some(finding.pointer(path)?.as_str()?.to_owned());
            let package = (text("/PkgName")?, text("/InstalledVersion")?);
            Some((package, text("/PkgIdentifier/PURL")?))
        })
        .collect()
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let list = value.get(key).and_then(Value::as_array);
    list.into_iter().flatten()
}
