//! Reads a report in one pass and keeps only what is asked of it later.
//!
//! The outer levels are read by hand, so that nothing but findings of OS packages is ever held;
//! the inner ones, of bounded size, by derive.

use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::error::{Kind, ScanError};
use super::finding::{Finding, Severity};
use super::guard::Guard;
use super::{ImageOs, Package, SCHEMA_VERSION, ScanReport};
use crate::stream::{Each, Value};

/// The most findings, and the most packages, of one report; a hundred times what a bad image has.
pub(super) const MAX_HELD: usize = 500_000;
/// The longest identifier or version that is kept, in bytes.
const MAX_TEXT: usize = 4096;
/// The most digests that are kept; an image rarely has more than one.
const MAX_DIGESTS: usize = 1024;
/// The class of a result about the packages of the operating system.
const OS_PACKAGES: &str = "os-pkgs";
const BUFFER: usize = 64 << 10;
/// Up to which size a report is held in memory, where it is read five times as fast.
const MAX_WHOLE: u64 = 128 << 20;

/// Reads a report that is in memory.
pub(super) fn read_slice(bytes: &[u8], limit: u64) -> Result<ScanReport, ScanError> {
    if Guard::new(bytes, limit).check(bytes).is_err() {
        // What comes first, the excess or something else, shows when it is read piece by piece.
        return read_stream(bytes, limit);
    }
    parse(&mut serde_json::Deserializer::from_slice(bytes))
}

pub(super) fn read(reader: impl Read, limit: u64) -> Result<ScanReport, ScanError> {
    let mut reader = Guard::new(reader, limit);
    let mut whole = Vec::new();
    let outcome = reader.by_ref().take(MAX_WHOLE).read_to_end(&mut whole);
    if let Err(error) = outcome {
        // As if it had been met while parsing.
        return parse_reader(whole.as_slice().chain(Failing(Some(error))));
    }
    if u64::try_from(whole.len()).is_ok_and(|len| len < MAX_WHOLE) {
        return parse(&mut serde_json::Deserializer::from_slice(&whole));
    }
    parse_reader(whole.as_slice().chain(reader))
}

/// Reads a report piece by piece.
pub(super) fn read_stream(reader: impl Read, limit: u64) -> Result<ScanReport, ScanError> {
    parse_reader(Guard::new(reader, limit))
}

fn parse_reader(reader: impl Read) -> Result<ScanReport, ScanError> {
    let reader = BufReader::with_capacity(BUFFER, reader);
    parse(&mut serde_json::Deserializer::from_reader(reader))
}

/// The end of what could be read.
struct Failing(Option<std::io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn parse<'de, R: serde_json::de::Read<'de>>(
    json: &mut serde_json::Deserializer<R>,
) -> Result<ScanReport, ScanError> {
    let mut report = Reading::default();
    let outcome = json.deserialize_any(&mut report).and_then(|()| json.end());
    // A document that is something else is not reported as an error in its details: a list, as
    // Trivy wrote before schema 2, or a scalar.
    let is_other = |error: &serde_json::Error| !report.is_object && error.is_data();
    if outcome.as_ref().is_err_and(is_other) {
        return Err(Kind::NotAReport.into());
    }
    if let Some(refused) = report.refusal() {
        return Err(refused.into());
    }
    outcome.map_err(ScanError::from_json)?;
    if report.schema_version.is_none() {
        return Err(Kind::NotAReport.into());
    }
    Ok(report.finish())
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Reading {
    is_object: bool,
    schema_version: Option<Version>,
    created_at: Option<Text>,
    artifact_name: Option<Text>,
    metadata: Option<Metadata>,
    results_seen: bool,
    os_type: Option<Text>,
    findings: Option<Vec<Finding>>,
    packages: Vec<Package>,
    findings_held: Held,
    packages_held: Held,
    refused: Option<Kind>,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    SchemaVersion,
    CreatedAt,
    ArtifactName,
    Metadata,
    Results,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum ResultKey {
    Class,
    Type,
    Vulnerabilities,
    Packages,
    #[serde(other)]
    Other,
}

#[derive(Debug, Default, Deserialize)]
#[serde(
    rename_all = "PascalCase",
    expecting = "an object with facts about the image"
)]
struct Metadata {
    #[serde(rename = "OS")]
    os: Option<OsMetadata>,
    #[serde(rename = "ImageID")]
    image_id: Option<Text>,
    repo_digests: Option<Texts>,
    image_config: Option<ImageConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an operating system")]
struct OsMetadata {
    family: Option<Text>,
    name: Option<Text>,
    #[serde(rename = "EOSL")]
    eosl: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "the configuration of an image")]
struct ImageConfig {
    architecture: Option<Text>,
    os: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "a vulnerability")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: Option<Text>,
    pkg_name: Option<Text>,
    installed_version: Option<Text>,
    fixed_version: Option<Text>,
    severity: Option<Text>,
}

impl Vulnerability {
    fn into_finding(self) -> Finding {
        let text = |text: Option<Text>| text.map(|text| text.0).unwrap_or_default();
        Finding {
            vulnerability_id: text(self.id),
            package: text(self.pkg_name),
            installed_version: text(self.installed_version),
            fixed_version: said(self.fixed_version),
            severity: self
                .severity
                .map(|word| Severity::read(&word.0))
                .unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "a package")]
struct PackageRead {
    name: Option<Text>,
    arch: Option<Text>,
    epoch: Option<u64>,
    version: Option<Text>,
    release: Option<Text>,
}

impl PackageRead {
    /// A package without a name says nothing.
    fn into_package(self) -> Option<Package> {
        let release = said(self.release);
        let version = said(self.version).map(|version| match (self.epoch, release) {
            (None | Some(0), None) => version,
            (None | Some(0), Some(release)) => format!("{version}-{release}").into(),
            (Some(epoch), None) => format!("{epoch}:{version}").into(),
            (Some(epoch), Some(release)) => format!("{epoch}:{version}-{release}").into(),
        });
        Some(Package {
            name: said(self.name)?,
            architecture: said(self.arch),
            version,
        })
    }
}

/// A text that says something: the empty one stands for none.
fn said(text: Option<Text>) -> Option<Box<str>> {
    text.map(|text| text.0)
        .filter(|text| !text.trim().is_empty())
}

impl Reading {
    fn finish(self) -> ScanReport {
        let metadata = self.metadata.unwrap_or_default();
        let config = metadata.image_config.unwrap_or_default();
        let os = metadata.os.map(|os| ImageOs {
            family: said(os.family),
            name: said(os.name),
            is_end_of_service_life: os.eosl.unwrap_or_default(),
        });
        let mut findings = self.findings;
        if let Some(findings) = &mut findings {
            findings.sort_unstable();
            findings.shrink_to_fit();
        }
        let mut packages = self.packages;
        packages.sort_unstable();
        packages.shrink_to_fit();
        ScanReport {
            artifact_name: said(self.artifact_name),
            image_id: said(metadata.image_id),
            repo_digests: metadata.repo_digests.unwrap_or_default().0,
            created_at: self.created_at.and_then(|text| text.0.parse().ok()),
            os,
            os_type: said(self.os_type),
            image_os: said(config.os),
            architecture: said(config.architecture),
            findings,
            packages,
        }
    }
}

/// The report itself.
impl<'de> Visitor<'de> for &mut Reading {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Trivy report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.is_object = true;
        while let Some(key) = map.next_key()? {
            match key {
                Key::SchemaVersion => {
                    fill(&mut self.schema_version, "SchemaVersion", &mut map)?;
                    if let Some(Version(version)) = self.schema_version
                        && version != SCHEMA_VERSION
                    {
                        self.refused = Some(Kind::Version(version));
                        return Err(Error::custom("another schema version"));
                    }
                }
                Key::CreatedAt => fill(&mut self.created_at, "CreatedAt", &mut map)?,
                Key::ArtifactName => fill(&mut self.artifact_name, "ArtifactName", &mut map)?,
                Key::Metadata => fill(&mut self.metadata, "Metadata", &mut map)?,
                Key::Results => {
                    once("Results", self.results_seen)?;
                    self.results_seen = true;
                    map.next_value_seed(list("a list of results", &mut *self))?;
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl Reading {
    /// Why the document is not read, whatever the parser says.
    fn refusal(&mut self) -> Option<Kind> {
        if self.findings_held.is_exceeded {
            return Some(Kind::TooMany("findings", MAX_HELD));
        }
        if self.packages_held.is_exceeded {
            return Some(Kind::TooMany("packages", MAX_HELD));
        }
        self.refused.take()
    }
}

/// A key that is given twice makes a report ambiguous; which of the two holds is not ours to say.
fn once<E: Error>(key: &'static str, seen: bool) -> Result<(), E> {
    if seen {
        return Err(E::duplicate_field(key));
    }
    Ok(())
}

/// Reads the value of a key that may be given once.
fn fill<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    place: &mut Option<T>,
    key: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    once(key, place.is_some())?;
    *place = map.next_value()?;
    Ok(())
}

/// One of the results; null says nothing.
impl<'de> DeserializeSeed<'de> for &mut Reading {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(OneResult(self))
    }
}

struct OneResult<'a>(&'a mut Reading);

impl<'de> Visitor<'de> for OneResult<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let report = self.0;
        let mut class: Option<Text> = None;
        let mut os_type: Option<Text> = None;
        let mut findings: Option<Vec<Finding>> = None;
        let mut packages: Option<Vec<Package>> = None;
        while let Some(key) = map.next_key()? {
            let may_be_os = class.as_ref().is_none_or(Text::is_os_packages);
            match key {
                ResultKey::Class => fill(&mut class, "Class", &mut map)?,
                ResultKey::Type => fill(&mut os_type, "Type", &mut map)?,
                ResultKey::Vulnerabilities if may_be_os => {
                    once("Vulnerabilities", findings.is_some())?;
                    let findings = findings.insert(Vec::new());
                    let mut element = Value::new(|vulnerability: Option<Vulnerability>| {
                        let found = vulnerability.map(Vulnerability::into_finding);
                        report.findings_held.keep(found, findings)
                    });
                    map.next_value_seed(list("a list of vulnerabilities", &mut element))?;
                }
                ResultKey::Packages if may_be_os => {
                    once("Packages", packages.is_some())?;
                    let packages = packages.insert(Vec::new());
                    let mut element = Value::new(|package: Option<PackageRead>| {
                        let package = package.and_then(PackageRead::into_package);
                        report.packages_held.keep(package, packages)
                    });
                    map.next_value_seed(list("a list of packages", &mut element))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let mut findings = findings.unwrap_or_default();
        let mut packages = packages.unwrap_or_default();
        if class.as_ref().is_some_and(Text::is_os_packages) {
            report.os_type = report.os_type.take().or(os_type);
            report
                .findings
                .get_or_insert_default()
                .append(&mut findings);
            report.packages.append(&mut packages);
        } else {
            report.findings_held.release(findings.len());
            report.packages_held.release(packages.len());
        }
        Ok(())
    }
}

/// A list whose elements go to `element`; null is an empty one.
fn list<'e, E>(expecting: &'static str, element: &'e mut E) -> Each<'e, &'static str, E> {
    Each {
        expecting,
        or_null: true,
        element,
    }
}

/// How many of one kind are held, in results whose class is not known yet too, and the most that
/// may be.
#[derive(Debug, Default)]
struct Held {
    count: usize,
    is_exceeded: bool,
}

impl Held {
    fn keep<T>(&mut self, item: Option<T>, kept: &mut Vec<T>) -> Result<(), &'static str> {
        let Some(item) = item else { return Ok(()) };
        if self.count == MAX_HELD {
            self.is_exceeded = true;
            return Err("too many");
        }
        self.count = self.count.saturating_add(1);
        kept.push(item);
        Ok(())
    }

    fn release(&mut self, count: usize) {
        self.count = self.count.saturating_sub(count);
    }
}

/// The number of a schema version.
#[derive(Debug, Clone, Copy)]
struct Version(u64);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Version;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of a schema version")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Version, E> {
                Ok(Version(number))
            }
        }

        deserializer.deserialize_u64(Number)
    }
}

/// A text of bounded length.
#[derive(Debug, Default)]
struct Text(Box<str>);

impl Text {
    fn is_os_packages(&self) -> bool {
        &*self.0 == OS_PACKAGES
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl Visitor<'_> for Bounded {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {MAX_TEXT} bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                if text.len() > MAX_TEXT {
                    return Err(E::invalid_length(text.len(), &self));
                }
                Ok(Text(text.into()))
            }
        }

        deserializer.deserialize_str(Bounded)
    }
}

/// A list of texts, of which the first [`MAX_DIGESTS`] are kept.
#[derive(Debug, Default)]
struct Texts(Vec<Box<str>>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut texts = Vec::new();
        let mut element = Value::new(|text: Option<Text>| {
            if texts.len() < MAX_DIGESTS {
                texts.extend(said(text));
            }
            Ok::<(), &str>(())
        });
        list("a list of texts", &mut element).deserialize(deserializer)?;
        Ok(Self(texts))
    }
}
