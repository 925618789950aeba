//! What of a configuration may be another than the original's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of the configuration of an image that a patcher may change: a label or a variable, and
/// several with a `*` at the end.
///
/// It counts for what a patcher brings that exchanges layers of the original, such as a rebuild:
/// where it adds layers, the configuration is the original's.
///
/// ```
/// use cssc_core::scan::ConfigKey;
///
/// let key: ConfigKey = "label:org.example.*".parse()?;
/// assert_eq!(key.to_string(), "label:org.example.*");
/// assert!("env:VERSION".parse::<ConfigKey>().is_ok());
/// assert!("user".parse::<ConfigKey>().is_err());
/// # Ok::<(), cssc_core::scan::ConfigKeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfigKey {
    part: Part,
    name: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Label,
    Variable,
}

/// A text that names nothing of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `label:NAME` or `env:NAME`, with a `*` at the end for all that begin so")]
pub struct ConfigKeyError;

impl ConfigKey {
    /// Whether the label may be added, removed or changed.
    pub(super) fn allows_label(&self, label: &str) -> bool {
        self.part == Part::Label && self.matches(label)
    }

    /// Whether the environment variable may be added, removed or changed.
    pub(super) fn allows_variable(&self, variable: &str) -> bool {
        self.part == Part::Variable && self.matches(variable)
    }

    fn matches(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => *self.name == *name,
        }
    }
}

impl FromStr for ConfigKey {
    type Err = ConfigKeyError;

    fn from_str(text: &str) -> Result<Self, ConfigKeyError> {
        let (part, name) = match text.split_once(':') {
            Some(("label", name)) => (Part::Label, name),
            Some(("env", name)) => (Part::Variable, name),
            _ => return Err(ConfigKeyError),
        };
        let before_end = name.strip_suffix('*').unwrap_or(name);
        if name.is_empty() || before_end.contains('*') || name.chars().any(char::is_control) {
            return Err(ConfigKeyError);
        }
        Ok(Self {
            part,
            name: name.into(),
        })
    }
}

impl TryFrom<String> for ConfigKey {
    type Error = ConfigKeyError;

    fn try_from(text: String) -> Result<Self, ConfigKeyError> {
        text.parse()
    }
}

impl From<ConfigKey> for String {
    fn from(key: ConfigKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Label => "label",
            Part::Variable => "env",
        };
        write!(f, "{part}:{}", self.name)
    }
}
