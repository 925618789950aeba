//! A policy made by a program.

use serde_json::{Value, json};

use super::{Policy, PolicyError, validate};
use crate::tags::TagConvention;

/// Makes a policy rule by rule; what is built is valid, or everything wrong with it is told as
/// with a policy that is read.
///
/// ```
/// use cssc_core::{Policy, TagConvention};
///
/// let policy = Policy::builder()
///     .tag_convention(TagConvention::Floating)
///     .rule("python", ["3.11", "3.12"])
///     .disabled_rule("ubuntu", ["*"])
///     .build()?;
/// assert_eq!(policy.rules().len(), 2);
///
/// let error = Policy::builder().rule("python", ["3.11-1"]).build().unwrap_err();
/// assert_eq!(error.diagnostics()[0].pointer, "/repositories/0/tags/0");
/// # Ok::<(), cssc_core::policy::PolicyError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PolicyBuilder {
    convention: TagConvention,
    rules: Vec<Value>,
}

impl PolicyBuilder {
    /// Sets how patches are tagged; incremental by default.
    pub fn tag_convention(mut self, convention: TagConvention) -> Self {
        self.convention = convention;
        self
    }

    /// Adds a rule: a repository, and the tags of it as they are written in a policy.
    pub fn rule<T: Into<String>>(
        self,
        repository: impl AsRef<str>,
        tags: impl IntoIterator<Item = T>,
    ) -> Self {
        self.add(repository.as_ref(), tags, true)
    }

    /// Adds a rule that is written down and not followed.
    pub fn disabled_rule<T: Into<String>>(
        self,
        repository: impl AsRef<str>,
        tags: impl IntoIterator<Item = T>,
    ) -> Self {
        self.add(repository.as_ref(), tags, false)
    }

    fn add<T: Into<String>>(
        mut self,
        repository: &str,
        tags: impl IntoIterator<Item = T>,
        enabled: bool,
    ) -> Self {
        let tags: Vec<String> = tags.into_iter().map(Into::into).collect();
        self.rules
            .push(json!({"repository": repository, "tags": tags, "enabled": enabled}));
        self
    }

    /// The policy.
    ///
    /// # Errors
    ///
    /// Fails with every problem of the policy.
    pub fn build(self) -> Result<Policy, PolicyError> {
        Policy::from_value(&json!({
            "version": validate::VERSION,
            "tag-convention": self.convention,
            "repositories": self.rules,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_what_is_read() {
        let built = Policy::builder()
            .rule("python", ["3.*", "2.7"])
            .disabled_rule("library/ubuntu", vec!["*".to_owned()])
            .build()
            .unwrap();
        assert_eq!(built.to_json().parse(), Ok(built.clone()));
        assert!(built.rules()[0].is_enabled() && !built.rules()[1].is_enabled());
    }

    #[test]
    fn what_is_wrong_is_told_as_of_a_text() {
        let error = Policy::builder().build().unwrap_err();
        assert_eq!(error.diagnostics()[0].pointer, "/repositories");
        let error = Policy::builder()
            .rule("Python", ["*", "a"])
            .rule("a", [""])
            .build()
            .unwrap_err();
        let codes = error.diagnostics().iter().map(|found| found.code.as_str());
        let codes: Vec<_> = codes.collect();
        assert_eq!(
            codes,
            ["invalid-repository", "star-not-alone", "invalid-tag"]
        );
    }
}
