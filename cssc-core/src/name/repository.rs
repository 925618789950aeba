//! Repositories inside a registry.

use std::str::FromStr;

use super::error::{NameError, NameErrorKind, What};

/// The longest repository name that clients accept, in bytes; many count the registry's host in.
pub const MAX_REPOSITORY_LEN: usize = 255;

/// The name of a repository inside a registry: `python`, `library/ubuntu`.
///
/// Lower-case letters and digits, in components separated by `/`; within a component by one
/// `.`, one or two `_`, or any number of `-`; at most 255 bytes
/// ([OCI distribution specification, "Pulling manifests"][spec]).
///
/// ```
/// use cssc_core::Repository;
///
/// let repository: Repository = "library/ubuntu".parse()?;
/// assert_eq!(repository.as_str(), "library/ubuntu");
/// assert!("Library/Ubuntu".parse::<Repository>().is_err());
/// # Ok::<(), cssc_core::name::NameError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for `Python` (upper case), `a//b` (an empty component), `a.` (a separator at
/// an end), `a..b` and `a___b` (a separator too long), an empty text and anything over 255 bytes.
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(pub(super) Box<str>);

impl Repository {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Repository {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match repository_fault(text) {
            None => Ok(Self(text.into())),
            Some(kind) => Err(NameError::new(What::Repository, text, kind)),
        }
    }
}

/// Why a text is no repository name; a namespace is held to the same.
pub(super) fn repository_fault(text: &str) -> Option<NameErrorKind> {
    if text.is_empty() {
        return Some(NameErrorKind::Empty);
    }
    if text.len() > MAX_REPOSITORY_LEN {
        return Some(NameErrorKind::TooLong(MAX_REPOSITORY_LEN));
    }
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(c) = text
        .chars()
        .find(|&c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-' | '/'))
    {
        return Some(NameErrorKind::Character(c));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(NameErrorKind::UpperCase);
    }
    for component in text.split('/') {
        if component.is_empty() {
            return Some(NameErrorKind::EmptyComponent);
        }
        let ends_in_separator = component.starts_with(|c| !is_alphanumeric(c))
            || component.ends_with(|c| !is_alphanumeric(c));
        let separators_are_valid = component
            .split(is_alphanumeric)
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'));
        if ends_in_separator || !separators_are_valid {
            return Some(NameErrorKind::Separator);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository_error(text: &str) -> String {
        text.parse::<Repository>().unwrap_err().to_string()
    }

    #[test]
    fn repositories_of_the_grammar() {
        for name in ["a", "library/ubuntu", "a.b_c__d---e/0", &"a".repeat(255)] {
            assert_eq!(name.parse::<Repository>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn every_rejected_repository_says_why() {
        assert_eq!(repository_error(""), "a repository name cannot be empty");
        assert_eq!(
            repository_error("Python"),
            "`Python` is not a valid repository name: it must be lower case (`python`)"
        );
        for name in ["/a", "a/", "a//b"] {
            assert!(repository_error(name).contains("before, between or after a `/`"));
        }
        for name in ["a.", "-a", "a..b", "a___b", "a._b", "a/_b"] {
            assert!(
                repository_error(name).contains("none of them at an end"),
                "{name}"
            );
        }
        assert!(repository_error("a:b").contains("`:` is not allowed"));
        assert!(repository_error(&"a".repeat(256)).contains("at most 255 bytes"));
    }
}
