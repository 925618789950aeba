//! Which of two readings of the rules to follow.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Whose reading of the rules decides: the documentation's or the deployed service's.
///
/// Azure's documentation and Azure's service differ in a few cases. The default follows the
/// documentation; [`Dialect::Service`] shows what Azure's tools were observed to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// What the documentation says.
    #[default]
    Documented,
    /// What the service was observed to do.
    Service,
}

impl Dialect {
    /// Both dialects, the default first.
    pub const ALL: [Self; 2] = [Self::Documented, Self::Service];

    /// The name as it is written on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = DialectError;

    fn from_str(text: &str) -> Result<Self, DialectError> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.as_str() == text)
            .ok_or_else(|| DialectError(crate::name::excerpt(text)))
    }
}

impl<'de> Deserialize<'de> for Dialect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "`documented` or `service`")
    }
}

/// A text that names no dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a dialect: use `documented` or `service`")]
pub struct DialectError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        assert_eq!(
            "azure".parse::<Dialect>().unwrap_err().to_string(),
            "`azure` is not a dialect: use `documented` or `service`"
        );
    }
}
