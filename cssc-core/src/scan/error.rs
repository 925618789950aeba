//! Why a scan report could not be read.

use std::fmt;

use serde_json::error::Category;

use super::guard::Excess;
use crate::name::excerpt;

/// Why a scan report could not be read: then the scan failed, and nothing is known of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanError(Box<Kind>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    Truncated { line: usize, column: usize },
    NotJson(String),
    NotAReport,
    Version(u64),
    Malformed(String),
    Excess(Excess),
    TooMany(&'static str, usize),
    Unreadable(String),
}

impl ScanError {
    /// What the parser's error comes to.
    #[cold]
    pub(super) fn from_json(error: serde_json::Error) -> Self {
        Self::from(match error.classify() {
            // The parser counts from line 1; only an input without a byte has no column.
            Category::Eof if (error.line(), error.column()) == (1, 0) => Kind::Empty,
            Category::Eof => Kind::Truncated {
                line: error.line(),
                column: error.column(),
            },
            Category::Syntax => Kind::NotJson(excerpt(&error.to_string())),
            Category::Data => Kind::Malformed(excerpt(&error.to_string())),
            Category::Io => {
                let error = std::io::Error::from(error);
                match error.get_ref().and_then(|error| error.downcast_ref()) {
                    Some(excess) => Kind::Excess(*excess),
                    None => Kind::Unreadable(excerpt(&error.to_string())),
                }
            }
        })
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ScanErrorKind {
        match *self.0 {
            Kind::Empty | Kind::Truncated { .. } => ScanErrorKind::Truncated,
            Kind::Excess(_) | Kind::TooMany(..) => ScanErrorKind::TooLarge,
            Kind::NotJson(_) | Kind::NotAReport | Kind::Malformed(_) => ScanErrorKind::NotAReport,
            Kind::Version(_) => ScanErrorKind::UnsupportedVersion,
            Kind::Unreadable(_) => ScanErrorKind::Io,
        }
    }
}

/// What kind of failure kept a scan report from being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ScanErrorKind {
    /// The report is empty or ends in the middle: the scanner was stopped, or its output lost.
    Truncated,
    /// The report exceeds a bound: its size, the length of a text, the number of findings or
    /// packages, the depth of nesting.
    TooLarge,
    /// The document is something else than a JSON report of Trivy.
    NotAReport,
    /// The report has a schema version that is not understood.
    UnsupportedVersion,
    /// The reader failed, and not the report.
    Io,
}

impl From<Kind> for ScanError {
    fn from(kind: Kind) -> Self {
        Self(Box::new(kind))
    }
}

impl std::error::Error for ScanError {}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Empty => f.write_str("the scan report is empty: the scanner wrote nothing"),
            Kind::Truncated { line, column } => write!(
                f,
                "the scan report is cut off at line {line} column {column}: the scanner was \
                 stopped before it had written all of it"
            ),
            Kind::NotJson(reason) => write!(
                f,
                "the scan report is not JSON: {reason}; run Trivy with `--format json`"
            ),
            Kind::NotAReport => f.write_str(
                "the document is not a Trivy report: it is not an object with a `SchemaVersion`; \
                 run Trivy with `--format json`",
            ),
            Kind::Version(version) => write!(
                f,
                "the scan report has schema version {version}, but only version 2 is understood: \
                 use a Trivy that writes it"
            ),
            Kind::Malformed(reason) => write!(f, "the scan report is malformed: {reason}"),
            Kind::Excess(excess) => excess.fmt(f),
            Kind::TooMany(what, max) => {
                write!(f, "the scan report holds more than {max} {what}")
            }
            Kind::Unreadable(reason) => write!(f, "the scan report could not be read: {reason}"),
        }
    }
}
