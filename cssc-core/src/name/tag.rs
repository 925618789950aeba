//! Tags of images, owned and borrowed.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::error::{NameError, NameErrorKind, What};

/// The longest tag the OCI distribution specification allows, in bytes.
pub const MAX_TAG_LEN: usize = 128;

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
/// # Ok::<(), cssc_core::name::NameError>(())
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
fn tag_fault(text: &str) -> NameErrorKind {
    if text.is_empty() {
        return NameErrorKind::Empty;
    }
    if text.len() > MAX_TAG_LEN {
        return NameErrorKind::TooLong(MAX_TAG_LEN);
    }
    match text
        .chars()
        .find(|&c| !u8::try_from(c).is_ok_and(is_tag_byte))
    {
        Some(c) => NameErrorKind::Character(c),
        None => NameErrorKind::FirstCharacter,
    }
}

/// A tag of an image, owned: `3.11`, `jammy-20240111`. See [`TagRef`] for the grammar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub(super) Box<str>);

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag as a borrowed value.
    pub fn borrowed(&self) -> TagRef<'_> {
        TagRef(&self.0)
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        TagRef::new(text).map(TagRef::to_tag)
    }
}

impl<'a> From<&'a Tag> for TagRef<'a> {
    fn from(tag: &'a Tag) -> Self {
        tag.borrowed()
    }
}

impl From<TagRef<'_>> for Tag {
    fn from(tag: TagRef<'_>) -> Self {
        tag.to_tag()
    }
}

impl From<TagRef<'_>> for String {
    fn from(tag: TagRef<'_>) -> Self {
        tag.0.to_owned()
    }
}

impl AsRef<str> for TagRef<'_> {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl PartialEq<str> for TagRef<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for TagRef<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tag_error(text: &str) -> String {
        TagRef::new(text).unwrap_err().to_string()
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
    fn long_and_hostile_text_is_cut_in_messages() {
        let message = tag_error(&"\u{1b}".repeat(1_000_000));
        assert!(message.len() < 2_000, "{}", message.len());
        assert!(!message.contains('\u{1b}'));
    }
}
