//! Names as the OCI distribution specification defines them.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest tag the OCI distribution specification allows, in bytes.
pub const MAX_TAG_LEN: usize = 128;
/// The longest repository name that clients accept, in bytes; many count the registry's host in.
pub const MAX_REPOSITORY_LEN: usize = 255;

/// A registry's host, with its port if it has one: `myregistry.azurecr.io`, `localhost:5000`.
///
/// A single label without a port is Azure's short form and is completed on parsing, as `az`
/// does; `localhost` is itself.
///
/// ```
/// use cssc_core::Registry;
///
/// let registry: Registry = "myregistry".parse()?;
/// assert_eq!(registry.as_str(), "myregistry.azurecr.io");
/// assert_eq!("[::1]:5000".parse::<Registry>()?.port(), Some(5000));
/// # Ok::<(), cssc_core::NameError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for what is no host: `https://example.com` (a scheme), `example.com/python`
/// (a path), `-example.com` (a label that begins with `-`), `example.com:0` (no such port).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry(Box<str>);

impl Registry {
    /// The host and port as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without the port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        split_port(&self.0).0
    }

    /// The port, if the name has one.
    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }

    /// Whether the host can only be this machine: `localhost`, `127.0.0.0/8` or `::1`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || address
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Registry {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |kind| Err(NameError::new(What::Registry, text, kind));
        if text.is_empty() {
            return refuse(Kind::Empty);
        }
        if text.contains("://") {
            return refuse(Kind::Scheme);
        }
        if text.contains('/') {
            return refuse(Kind::Path);
        }
        if text.len() > MAX_REPOSITORY_LEN {
            return refuse(Kind::TooLong(MAX_REPOSITORY_LEN));
        }
        let (host, port) = split_port(text);
        let ipv6 = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host_is_valid = match ipv6 {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.split('.').all(is_host_label),
        };
        if !host_is_valid {
            return refuse(Kind::Host);
        }
        if let Some(port) = port
            && !port
                .parse::<u16>()
                .is_ok_and(|number| number != 0 && port.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return refuse(Kind::Port);
        }
        let is_short_form = ipv6.is_none() && port.is_none() && !host.contains('.');
        Ok(
            if is_short_form && !host.eq_ignore_ascii_case("localhost") {
                Self(format!("{host}.azurecr.io").into())
            } else {
                Self(text.into())
            },
        )
    }
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        // The last colon of `[::1]` belongs to the address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn is_host_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

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
/// # Ok::<(), cssc_core::NameError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for `Python` (upper case), `a//b` (an empty component), `a.` (a separator at
/// an end), `a..b` and `a___b` (a separator too long), an empty text and anything over 255 bytes.
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(Box<str>);

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

fn repository_fault(text: &str) -> Option<Kind> {
    if text.is_empty() {
        return Some(Kind::Empty);
    }
    if text.len() > MAX_REPOSITORY_LEN {
        return Some(Kind::TooLong(MAX_REPOSITORY_LEN));
    }
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(c) = text
        .chars()
        .find(|&c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-' | '/'))
    {
        return Some(Kind::Character(c));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(Kind::UpperCase);
    }
    for component in text.split('/') {
        if component.is_empty() {
            return Some(Kind::EmptyComponent);
        }
        let ends_in_separator = component.starts_with(|c| !is_alphanumeric(c))
            || component.ends_with(|c| !is_alphanumeric(c));
        let separators_are_valid = component
            .split(is_alphanumeric)
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'));
        if ends_in_separator || !separators_are_valid {
            return Some(Kind::Separator);
        }
    }
    None
}

/// A tag of an image, borrowed: one machine word wider than a pointer, free to copy.
///
/// `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`
/// ([OCI distribution specification, "Pulling manifests"][spec]). Ordered by bytes.
///
/// ```
/// use cssc_core::TagRef;
///
/// let tag = TagRef::new("3.11-slim")?;
/// assert_eq!(tag.as_str(), "3.11-slim");
/// assert!(TagRef::new("-slim").is_err());
/// # Ok::<(), cssc_core::NameError>(())
/// ```
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagRef<'a>(&'a str);

impl<'a> TagRef<'a> {
    /// Checks that `text` is a tag.
    ///
    /// # Errors
    ///
    /// Fails for an empty text, `.a` and `-a` (a first character that is none of
    /// `A-Z a-z 0-9 _`), `a b` and `a:b` (a character no tag may hold), and for 129 bytes or
    /// more.
    #[inline]
    pub fn new(text: &'a str) -> Result<Self, NameError> {
        if is_tag(text.as_bytes()) {
            Ok(Self(text))
        } else {
            Err(NameError::new(What::Tag, text, tag_fault(text)))
        }
    }

    /// For text this crate has checked before: a stored tag, or the front of one.
    #[inline]
    pub(crate) fn trusted(text: &'a str) -> Self {
        debug_assert!(is_tag(text.as_bytes()), "`{text}` is no tag");
        Self(text)
    }

    /// The tag as text.
    #[inline]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The tag as an owned value.
    pub fn to_tag(self) -> Tag {
        Tag(self.0.into())
    }
}

/// Whether `bytes` match the tag grammar. Reads every byte once, without a branch per byte.
#[inline]
fn is_tag(bytes: &[u8]) -> bool {
    let Some(&first) = bytes.first() else {
        return false;
    };
    let all = bytes
        .iter()
        .fold(true, |all, &byte| all & is_tag_byte(byte));
    all && bytes.len() <= MAX_TAG_LEN && first != b'.' && first != b'-'
}

#[inline]
fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'.' | b'_' | b'-')
}

#[cold]
fn tag_fault(text: &str) -> Kind {
    if text.is_empty() {
        return Kind::Empty;
    }
    if text.len() > MAX_TAG_LEN {
        return Kind::TooLong(MAX_TAG_LEN);
    }
    match text
        .chars()
        .find(|&c| !u8::try_from(c).is_ok_and(is_tag_byte))
    {
        Some(c) => Kind::Character(c),
        None => Kind::FirstCharacter,
    }
}

/// A tag of an image, owned: `3.11`, `jammy-20240111`. See [`TagRef`] for the grammar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag as a borrowed value.
    pub fn as_ref(&self) -> TagRef<'_> {
        TagRef(&self.0)
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        TagRef::new(text).map(TagRef::to_tag)
    }
}

impl fmt::Display for TagRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl Serialize for TagRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// What every owned name has in common: it prints as it reads, and serde takes the parser's way.
macro_rules! name_traits {
    ($($name:ident: $expecting:literal),+ $(,)?) => {$(
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

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
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
    Registry: "the host of a registry",
    Repository: "the name of a repository",
    Tag: "a tag",
}

/// Why a text is no registry, repository or tag.
///
/// The message names the text, the fault, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError(Box<Refusal>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    what: What,
    text: Box<str>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Registry,
    Repository,
    Tag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    TooLong(usize),
    Character(char),
    FirstCharacter,
    UpperCase,
    EmptyComponent,
    Separator,
    Scheme,
    Path,
    Host,
    Port,
}

impl NameError {
    #[cold]
    fn new(what: What, text: &str, kind: Kind) -> Self {
        Self(Box::new(Refusal {
            what,
            text: excerpt(text).into(),
            kind,
        }))
    }

    /// Whether the name was empty.
    pub fn is_empty(&self) -> bool {
        self.0.kind == Kind::Empty
    }

    /// Whether the name was longer than the specification allows.
    pub fn is_too_long(&self) -> bool {
        matches!(self.0.kind, Kind::TooLong(_))
    }
}

impl std::error::Error for NameError {}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { what, text, kind } = &*self.0;
        let noun = match what {
            What::Registry => "registry",
            What::Repository => "repository name",
            What::Tag => "tag",
        };
        match kind {
            Kind::Empty => write!(f, "a {noun} cannot be empty"),
            Kind::TooLong(max) => {
                write!(f, "`{text}` is too long for a {noun}: at most {max} bytes")
            }
            Kind::Character(c) => {
                let allowed = match what {
                    What::Tag => "letters, digits, `.`, `_` and `-`",
                    _ => "lower-case letters, digits, `.`, `_`, `-` and `/`",
                };
                write!(
                    f,
                    "`{text}` is not a valid {noun}: `{}` is not allowed, only {allowed}",
                    c.escape_debug()
                )
            }
            Kind::FirstCharacter => write!(
                f,
                "`{text}` is not a valid {noun}: it must begin with a letter, a digit or `_`"
            ),
            Kind::UpperCase => write!(
                f,
                "`{text}` is not a valid {noun}: it must be lower case (`{}`)",
                text.to_ascii_lowercase()
            ),
            Kind::EmptyComponent => write!(
                f,
                "`{text}` is not a valid {noun}: there is nothing before, between or after a `/`"
            ),
            Kind::Separator => write!(
                f,
                "`{text}` is not a valid {noun}: between letters and digits it may hold one \
                 `.`, one or two `_`, or dashes, and none of them at an end"
            ),
            Kind::Scheme => write!(
                f,
                "`{text}` is not a valid {noun}: leave out the scheme, as in `myregistry.azurecr.io`"
            ),
            Kind::Path => write!(
                f,
                "`{text}` is not a valid {noun}: leave out the path, as in `myregistry.azurecr.io`"
            ),
            Kind::Host => write!(
                f,
                "`{text}` is not a valid {noun}: expected a host such as \
                 `myregistry.azurecr.io` or `localhost:5000`"
            ),
            Kind::Port => write!(
                f,
                "`{text}` is not a valid {noun}: the port must be a number from 1 to 65535"
            ),
        }
    }
}

/// `text` cut to a length fit for a message, with control characters made visible.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 160;
    let mut out: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
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

    fn tag_error(text: &str) -> String {
        TagRef::new(text).unwrap_err().to_string()
    }

    fn repository_error(text: &str) -> String {
        text.parse::<Repository>().unwrap_err().to_string()
    }

    fn registry_error(text: &str) -> String {
        text.parse::<Registry>().unwrap_err().to_string()
    }

    #[test]
    fn tags_of_the_grammar() {
        for tag in [
            "3.11",
            "_",
            "A",
            "latest",
            "a-0",
            "v1.2.3_x-y",
            &"a".repeat(128),
        ] {
            assert_eq!(TagRef::new(tag).unwrap().as_str(), tag);
        }
    }

    #[test]
    fn every_rejected_tag_says_why() {
        assert_eq!(tag_error(""), "a tag cannot be empty");
        assert_eq!(
            tag_error("-a"),
            "`-a` is not a valid tag: it must begin with a letter, a digit or `_`"
        );
        assert_eq!(
            tag_error("a b"),
            "`a b` is not a valid tag: ` ` is not allowed, only letters, digits, `.`, `_` and `-`"
        );
        assert_eq!(
            tag_error("a\n"),
            "`a\\n` is not a valid tag: `\\n` is not allowed, only letters, digits, `.`, `_` and `-`"
        );
        assert!(TagRef::new(&"a".repeat(129)).unwrap_err().is_too_long());
        assert!(tag_error("é").contains("`é` is not allowed"));
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

    #[test]
    fn registries() {
        for (text, host, port) in [
            ("myregistry", "myregistry.azurecr.io", None),
            ("localhost", "localhost", None),
            ("localhost:5000", "localhost", Some(5000)),
            ("registry:5000", "registry", Some(5000)),
            ("[::1]:5000", "[::1]", Some(5000)),
            ("[::1]", "[::1]", None),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("ghcr.io", "ghcr.io", None),
        ] {
            let registry: Registry = text.parse().unwrap();
            assert_eq!((registry.host(), registry.port()), (host, port), "{text}");
            assert_eq!(registry.as_str().parse::<Registry>().unwrap(), registry);
        }
        assert!("127.0.0.1".parse::<Registry>().unwrap().is_loopback());
        assert!("[::1]:1".parse::<Registry>().unwrap().is_loopback());
        assert!(!"127.example.com".parse::<Registry>().unwrap().is_loopback());
    }

    #[test]
    fn every_rejected_registry_says_why() {
        assert!(registry_error("https://a.b").contains("leave out the scheme"));
        assert!(registry_error("a.b/c").contains("leave out the path"));
        for text in ["-a.b", "a_b", "a..b", "[::x]:1", ":5000"] {
            assert!(registry_error(text).contains("expected a host"), "{text}");
        }
        for text in ["a.b:0", "a.b:65536", "a.b:+1", "a.b:"] {
            assert!(registry_error(text).contains("from 1 to 65535"), "{text}");
        }
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

    #[test]
    fn long_and_hostile_text_is_cut_in_messages() {
        let message = tag_error(&"\u{1b}".repeat(1_000_000));
        assert!(message.len() < 2_000, "{}", message.len());
        assert!(!message.contains('\u{1b}'));
    }
}
