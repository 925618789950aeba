//! Names as the OCI distribution specification defines them.

mod digest;
mod error;
mod platform;
mod registry;
mod repository;
mod tag;

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::is_plain;

pub use digest::{Digest, DigestError};
pub use error::{NameError, NameErrorKind};
pub use platform::{Platform, PlatformError};
pub use registry::Registry;
pub use repository::{MAX_REPOSITORY_LEN, Repository};
pub use tag::{MAX_TAG_LEN, Tag, TagRef};

/// What every owned name has in common: it prints as it reads, and serde takes the parser's way.
macro_rules! name_traits {
    ($($name:ident, $error:ident: $expecting:literal),+ $(,)?) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                *self.0 == *other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                *self.0 == **other
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::serde_text::parse(deserializer, $expecting)
            }
        }
    )+};
}

name_traits! {
    Registry, NameError: "the host of a registry",
    Repository, NameError: "the name of a repository",
    Tag, NameError: "a tag",
    Digest, DigestError: "a digest such as `sha256:…`",
}

/// `text` cut to a length fit for a message, with characters that a terminal would obey made visible.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 160;
    let mut out: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            let escaped = (!is_plain(c)).then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        let error = "py\u{202e}thon\u{7}".parse::<Tag>().unwrap_err();
        let message = error.to_string();
        assert!(message.contains(r"`py\u{202e}thon\u{7}`"), "{message}");
    }

    #[test]
    fn names_are_compared_and_converted_as_text() {
        let repository: Repository = "library/python".parse().unwrap();
        assert!(repository == "library/python" && repository == *"library/python");
        assert_eq!(String::from(repository), "library/python");
        let tag: Tag = "3.11".parse().unwrap();
        assert_eq!(tag, "3.11");
        assert_eq!(tag.borrowed(), "3.11");
        assert_eq!(TagRef::from(&tag), tag.borrowed());
        assert_eq!(String::from(tag.borrowed()), "3.11");
        assert_eq!(<TagRef<'_> as AsRef<str>>::as_ref(&tag.borrowed()), "3.11");
        assert_eq!("localhost".parse::<Registry>().unwrap(), "localhost");
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(digest.parse::<Digest>().unwrap(), *digest);
    }

    #[test]
    fn errors_say_of_what_kind_they_are() {
        for (text, kind) in [
            ("", NameErrorKind::Empty),
            ("-a", NameErrorKind::FirstCharacter),
            ("a b", NameErrorKind::Character(' ')),
        ] {
            assert_eq!(TagRef::new(text).unwrap_err().kind(), kind);
        }
        let kind = "a/".parse::<Repository>().unwrap_err().kind();
        assert_eq!(kind, NameErrorKind::EmptyComponent);
    }

    #[test]
    fn serde_takes_the_parsers_way() {
        assert_eq!(
            serde_json::from_str::<Tag>("\"3.11\"").unwrap().as_str(),
            "3.11"
        );
        let error = serde_json::from_str::<Tag>("\"a b\"").unwrap_err();
        assert!(error.to_string().contains("`a b` is not a valid tag"));
        assert!(serde_json::from_str::<Repository>("7").is_err());
    }
}
