//! What is wrong, or doubtful, about a policy: coded, located, and with the fix in the message.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Whether a finding makes the policy unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiagnosticSeverity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used, but may not do what was meant.
    Warning,
}

impl DiagnosticSeverity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for DiagnosticSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Declares the codes once: variant, text, severity, and what it stands for.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $severity:ident;)+) => {
        /// The kind of a finding. The texts are stable: scripts may depend on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DiagnosticCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DiagnosticCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as text: `reserved-tag`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Whether findings of this kind make a policy unusable.
            pub fn severity(self) -> DiagnosticSeverity {
                match self {
                    $(Self::$variant => DiagnosticSeverity::$severity,)+
                }
            }

            /// What findings of this kind mean, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+
                }
            }
        }
    };
}

codes! {
    /// The file holds nothing but white space.
    EmptyDocument = "empty-document", Error;
    /// The file is larger than 10 MiB.
    TooLarge = "too-large", Error;
    /// The file is not encoded as UTF-8.
    Encoding = "encoding", Error;
    /// The file begins with a byte order mark.
    ByteOrderMark = "byte-order-mark", Error;
    /// A comma stands before a closing bracket.
    TrailingComma = "trailing-comma", Error;
    /// There is a comment, which JSON does not have.
    Comment = "comment", Error;
    /// A string is in single quotes.
    SingleQuotes = "single-quotes", Error;
    /// A key or a word is not in quotes.
    Unquoted = "unquoted", Error;
    /// The text is not JSON in some other way.
    Syntax = "syntax", Error;
    /// Lists and objects are nested deeper than 64 levels.
    TooDeep = "too-deep", Error;
    /// A key is given twice in one object.
    DuplicateKey = "duplicate-key", Error;
    /// A key is not known, but nearly is: what it was meant to set would be ignored.
    MisspeltKey = "misspelt-key", Error;
    /// A value is of another JSON type than it must be.
    WrongType = "wrong-type", Error;
    /// A required key is missing.
    MissingKey = "missing-key", Error;
    /// The `version` is not `v1`.
    UnsupportedVersion = "unsupported-version", Error;
    /// The `tag-convention` is neither `incremental` nor `floating`.
    UnknownConvention = "unknown-convention", Error;
    /// A list that needs an entry has none.
    EmptyList = "empty-list", Error;
    /// A `repository` is not a valid OCI repository name.
    InvalidRepository = "invalid-repository", Error;
    /// An entry of `tags` is not a valid OCI tag.
    InvalidTag = "invalid-tag", Error;
    /// An entry of `tags` names a tag that is reserved for patches.
    ReservedTag = "reserved-tag", Error;
    /// An entry of `tags` is a glob that cannot be read or matches nothing.
    InvalidGlob = "invalid-glob", Error;
    /// An entry is listed twice in one rule's `tags`.
    DuplicateTag = "duplicate-tag", Error;
    /// `*` stands beside other entries.
    StarNotAlone = "star-not-alone", Error;
    /// Two rules are the same JSON value.
    DuplicateRule = "duplicate-rule", Error;
    /// The JSON Schema rejects what the rules of the format let pass.
    Schema = "schema", Error;
    /// There are more errors than are listed.
    TooManyFindings = "too-many-findings", Error;
    /// A key is not known; it is ignored.
    UnknownKey = "unknown-key", Warning;
    /// An entry is a glob, which Azure takes for the name of a tag.
    GlobNotPortable = "glob-not-portable", Warning;
    /// Every rule is disabled, so nothing is selected.
    NothingEnabled = "nothing-enabled", Warning;
    /// A rule selects nothing that an earlier rule does not select.
    RedundantRule = "redundant-rule", Warning;
    /// A `repository` begins with what looks like the host of a registry.
    RegistryInRepository = "registry-in-repository", Warning;
    /// An entry of `tags` names an attachment of an image, such as a signature.
    AttachmentTag = "attachment-tag", Warning;
    /// There are more warnings than are listed.
    TooManyWarnings = "too-many-warnings", Warning;
}

impl fmt::Display for DiagnosticCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for DiagnosticCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Where in the source text a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// How many characters of this line the finding is about, at least 1.
    pub length: usize,
}

/// One finding about a policy.
///
/// Displays as the message; where it is and how grave are fields of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind of the finding.
    pub code: DiagnosticCode,
    /// Whether it makes the policy unusable.
    pub severity: DiagnosticSeverity,
    /// What is wrong and how to fix it, in one line.
    pub message: String,
    /// The value it is about, as a JSON pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// Where that is in the text; none when the policy was not given as text.
    pub span: Option<Span>,
}

impl Serialize for Diagnostic {
    /// With the span as `line` and `column`, null when it is not known.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut finding = serializer.serialize_struct("Diagnostic", 6)?;
        finding.serialize_field("code", &self.code)?;
        finding.serialize_field("severity", &self.severity)?;
        finding.serialize_field("message", &self.message)?;
        finding.serialize_field("pointer", &self.pointer)?;
        finding.serialize_field("line", &self.span.map(|at| at.line))?;
        finding.serialize_field("column", &self.span.map(|at| at.column))?;
        finding.end()
    }
}

impl Diagnostic {
    /// Whether the finding makes the policy unusable.
    pub fn is_error(&self) -> bool {
        self.severity == DiagnosticSeverity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_kebab_case() {
        let texts: BTreeSet<&str> = DiagnosticCode::ALL
            .iter()
            .map(|code| code.as_str())
            .collect();
        assert_eq!(texts.len(), DiagnosticCode::ALL.len());
        for text in texts {
            assert!(
                text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{text}"
            );
        }
    }
}
