//! Which warnings fail a policy, and which are not told.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::{DiagnosticCode, DiagnosticSeverity, PolicyCheck, spelling};

/// Which warnings fail a policy, and which are not told. By default none does, and all are.
///
/// A warning that is named outranks [`LintName::Warnings`], and denying outranks allowing.
///
/// ```
/// use cssc_core::Policy;
/// use cssc_core::policy::Lints;
///
/// let text = r#"{"version": "v1", "repositories": [{"repository": "a", "tags": ["3.*"]}]}"#;
/// let check = Policy::check(text.as_bytes());
/// assert!(Lints::default().apply(check.clone()).policy.is_some());
///
/// let strict = Lints::new(["warnings".parse()?], []);
/// assert!(strict.apply(check.clone()).policy.is_none());
///
/// let lenient = Lints::new(["warnings".parse()?], ["glob-not-portable".parse()?]);
/// assert!(lenient.apply(check).diagnostics.is_empty());
/// # Ok::<(), cssc_core::policy::LintNameError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lints {
    deny: BTreeSet<LintName>,
    allow: BTreeSet<LintName>,
}

impl Lints {
    /// Fails a policy for what `deny` names, and is silent about what `allow` names.
    pub fn new(
        deny: impl IntoIterator<Item = LintName>,
        allow: impl IntoIterator<Item = LintName>,
    ) -> Self {
        Self {
            deny: deny.into_iter().collect(),
            allow: allow.into_iter().collect(),
        }
    }

    /// The same check with denied warnings as errors, and without those that are allowed.
    #[must_use]
    pub fn apply(&self, mut check: PolicyCheck) -> PolicyCheck {
        check.diagnostics.retain_mut(|found| {
            if found.is_error() {
                return true;
            }
            if self.denies(found.code) {
                found.severity = DiagnosticSeverity::Error;
                return true;
            }
            !self.allows(found.code)
        });
        if check.diagnostics.iter().any(super::Diagnostic::is_error) {
            check.policy = None;
        }
        check
    }

    fn denies(&self, code: DiagnosticCode) -> bool {
        let name = LintName::Code(code);
        // What is denied may be among the warnings that are not listed.
        let is_hidden = code == DiagnosticCode::TooManyWarnings && !self.deny.is_empty();
        let in_general = is_hidden || self.deny.contains(&LintName::Warnings);
        self.deny.contains(&name) || in_general && !self.allow.contains(&name)
    }

    fn allows(&self, code: DiagnosticCode) -> bool {
        self.allow.contains(&LintName::Code(code)) || self.allow.contains(&LintName::Warnings)
    }
}

/// What can be denied or allowed: `warnings`, or the code of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LintName {
    /// All warnings.
    Warnings,
    /// Warnings of this code.
    Code(DiagnosticCode),
}

impl LintName {
    const WARNINGS: &'static str = "warnings";

    /// The codes that are warnings.
    pub fn codes() -> impl Iterator<Item = DiagnosticCode> {
        let all = DiagnosticCode::ALL.iter().copied();
        all.filter(|code| code.severity() == DiagnosticSeverity::Warning)
    }
}

impl FromStr for LintName {
    type Err = LintNameError;

    fn from_str(text: &str) -> Result<Self, LintNameError> {
        if text == Self::WARNINGS {
            return Ok(Self::Warnings);
        }
        let code = DiagnosticCode::ALL
            .iter()
            .find(|code| code.as_str() == text);
        match code {
            Some(code) if code.severity() == DiagnosticSeverity::Warning => Ok(Self::Code(*code)),
            Some(_) => Err(LintNameError {
                name: text.to_owned(),
                is_error_code: true,
            }),
            None => Err(LintNameError {
                name: text.to_owned(),
                is_error_code: false,
            }),
        }
    }
}

/// A name that is neither `warnings` nor the code of a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintNameError {
    name: String,
    is_error_code: bool,
}

impl LintNameError {
    /// Whether the name is the code of an error, which always fails a policy.
    pub fn is_error_code(&self) -> bool {
        self.is_error_code
    }
}

impl std::error::Error for LintNameError {}

impl fmt::Display for LintNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = crate::name::excerpt(&self.name);
        if self.is_error_code {
            return write!(
                f,
                "`{name}` is always an error: only warnings are denied or allowed"
            );
        }
        let mut known: Vec<&str> = LintName::codes().map(DiagnosticCode::as_str).collect();
        known.push(LintName::WARNINGS);
        write!(f, "`{name}` is not the code of a warning: ")?;
        match spelling::nearest(&self.name, &known) {
            Some(near) => write!(f, "did you mean `{near}`?"),
            None => write!(f, "expected one of `{}`", known.join("`, `")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    const TEXT: &str = r#"{"version": "v1", "x": 1,
        "repositories": [{"repository": "a", "tags": ["3.*"]}]}"#;

    /// What is left of two warnings, and whether the policy can be used.
    fn apply(deny: &[&str], allow: &[&str]) -> (Vec<String>, bool) {
        let names = |names: &[&str]| -> Vec<LintName> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let check = Lints::new(names(deny), names(allow)).apply(Policy::check(TEXT.as_bytes()));
        let found = check.diagnostics.iter();
        let found = found.map(|found| format!("{}[{}]", found.severity, found.code));
        (found.collect(), check.policy.is_some())
    }

    #[test]
    fn denying_outranks_allowing_and_a_code_outranks_all() {
        let (key, glob) = ("unknown-key", "glob-not-portable");
        for (deny, allow, left, valid) in [
            (
                &[][..],
                &[][..],
                &["warning[unknown-key]", "warning[glob-not-portable]"][..],
                true,
            ),
            (
                &["warnings"],
                &[],
                &["error[unknown-key]", "error[glob-not-portable]"],
                false,
            ),
            (&["warnings"], &[glob], &["error[unknown-key]"], false),
            (&["warnings"], &[glob, key], &[], true),
            (&[], &["warnings"], &[], true),
            (&[glob], &["warnings"], &["error[glob-not-portable]"], false),
            (
                &[key],
                &[key],
                &["error[unknown-key]", "warning[glob-not-portable]"],
                false,
            ),
            (
                &["redundant-rule"],
                &[key],
                &["warning[glob-not-portable]"],
                true,
            ),
        ] {
            let left = left.iter().map(ToString::to_string).collect();
            assert_eq!(apply(deny, allow), (left, valid), "{deny:?} {allow:?}");
        }
    }

    #[test]
    fn a_name_that_is_none_says_what_is_allowed() {
        let error = |text: &str| text.parse::<LintName>().unwrap_err().to_string();
        assert_eq!(
            error("redundent-rule"),
            "`redundent-rule` is not the code of a warning: did you mean `redundant-rule`?"
        );
        assert_eq!(
            error("warning"),
            "`warning` is not the code of a warning: did you mean `warnings`?"
        );
        assert_eq!(
            error("wrong-type"),
            "`wrong-type` is always an error: only warnings are denied or allowed"
        );
        assert_eq!(
            error("all"),
            "`all` is not the code of a warning: expected one of `unknown-key`, \
             `glob-not-portable`, `nothing-enabled`, `redundant-rule`, `registry-in-repository`, \
             `attachment-tag`, `too-many-warnings`, `warnings`"
        );
    }
}
