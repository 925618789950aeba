//! How patch tags are named: the suffix after an original tag, and what comes next.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{MAX_TAG_LEN, Tag, TagRef};

/// How a patched image is tagged: the policy's `tag-convention`.
///
/// ```
/// use cssc_core::{TagConvention, TagRef};
///
/// let tag = TagRef::new("3.11-2")?;
/// let patch = TagConvention::Incremental.parse(tag).unwrap();
/// assert_eq!(patch.original().as_str(), "3.11");
/// assert_eq!(patch.number().unwrap().get(), 2);
/// assert_eq!(TagConvention::Floating.parse(tag), None);
/// # Ok::<(), cssc_core::name::NameError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TagConvention {
    /// `<original>-<n>`, `n` from 1 to 999 without a leading zero: every patch gets a new tag.
    #[default]
    Incremental,
    /// `<original>-patched`: one tag that moves to the newest patch.
    Floating,
}

impl TagConvention {
    /// Both conventions, the default first.
    pub const ALL: [Self; 2] = [Self::Incremental, Self::Floating];

    /// The name as it is written in a policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::Floating => "floating",
        }
    }

    /// The other convention.
    pub fn other(self) -> Self {
        match self {
            Self::Incremental => Self::Floating,
            Self::Floating => Self::Incremental,
        }
    }

    /// Reads `tag` as a patch tag of this convention; `None` when it does not end in the suffix.
    ///
    /// Only `-1` to `-999` without a leading zero and `-patched` are suffixes: `a-0`, `a-012`
    /// and `a-1000` are originals.
    #[inline]
    pub fn parse(self, tag: TagRef<'_>) -> Option<PatchTag<'_>> {
        let suffix = Suffix::of(tag)?;
        (suffix.convention() == self).then_some(PatchTag {
            original: suffix.original_in(tag),
            suffix,
        })
    }

    /// The tag a first patch gets.
    pub fn first(self) -> Suffix {
        match self {
            Self::Incremental => Suffix::Number(PatchNumber::FIRST),
            Self::Floating => Suffix::Patched,
        }
    }
}

impl fmt::Display for TagConvention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TagConvention {
    type Err = TagConventionError;

    fn from_str(text: &str) -> Result<Self, TagConventionError> {
        Self::ALL
            .into_iter()
            .find(|convention| convention.as_str() == text)
            .ok_or_else(|| TagConventionError(crate::name::excerpt(text)))
    }
}

impl<'de> Deserialize<'de> for TagConvention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "`incremental` or `floating`")
    }
}

/// A text that names no tag convention.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a tag convention: use `incremental` or `floating`")]
pub struct TagConventionError(String);

/// The number of an incremental patch, from 1 to 999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatchNumber(u16);

impl PatchNumber {
    /// The number of the first patch.
    pub const FIRST: Self = Self(1);
    /// The last number there is; after it the image is exhausted.
    pub const LAST: Self = Self(999);
    /// From this number on, the end of the numbers deserves a warning.
    pub const NEARLY_EXHAUSTED: Self = Self(950);

    /// The patch number `n`, or `None` outside 1 to 999.
    pub fn new(n: u16) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST.0)
            .contains(&n)
            .then_some(Self(n))
    }

    /// The number as an integer.
    pub fn get(self) -> u16 {
        self.0
    }

    /// The number after this one, or `None` after 999.
    pub fn next(self) -> Option<Self> {
        Self::new(self.0.saturating_add(1))
    }
}

impl fmt::Display for PatchNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What follows the original tag in a patch tag. Ordered as patches are: by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffix {
    /// `-<n>` of the incremental convention.
    Number(PatchNumber),
    /// `-patched` of the floating convention.
    Patched,
}

impl Suffix {
    /// The suffix that `tag` ends in, of either convention: a tag that has one is reserved and
    /// never an original.
    ///
    /// ```
    /// use cssc_core::TagRef;
    /// use cssc_core::tags::Suffix;
    ///
    /// assert!(Suffix::of(TagRef::new("3.11-1-2")?).is_some());
    /// assert!(Suffix::of(TagRef::new("3.11-patched")?).is_some());
    /// assert!(Suffix::of(TagRef::new("jammy-20240111")?).is_none());
    /// # Ok::<(), cssc_core::name::NameError>(())
    /// ```
    #[inline]
    pub fn of(tag: TagRef<'_>) -> Option<Self> {
        let bytes = tag.as_str().as_bytes();
        match bytes {
            // A tag cannot begin with `-`, so something always stands before the suffix.
            [.., b'-', n @ b'1'..=b'9'] => number([0, 0, *n]),
            [.., b'-', m @ b'1'..=b'9', n @ b'0'..=b'9'] => number([0, *m, *n]),
            [.., b'-', l @ b'1'..=b'9', m @ b'0'..=b'9', n @ b'0'..=b'9'] => number([*l, *m, *n]),
            [.., b'-', b'p', b'a', b't', b'c', b'h', b'e', b'd'] => Some(Self::Patched),
            _ => None,
        }
    }

    /// The convention the suffix belongs to.
    #[inline]
    pub fn convention(self) -> TagConvention {
        match self {
            Self::Number(_) => TagConvention::Incremental,
            Self::Patched => TagConvention::Floating,
        }
    }

    /// The patch number, for the incremental convention.
    pub fn number(self) -> Option<PatchNumber> {
        match self {
            Self::Number(number) => Some(number),
            Self::Patched => None,
        }
    }

    /// The suffix of the patch after this one: the next number, or the one floating tag again.
    /// `None` when the numbers are exhausted.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Number(number) => number.next().map(Self::Number),
            Self::Patched => Some(Self::Patched),
        }
    }

    /// Length in bytes, the `-` included.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a suffix is never empty")]
    pub fn len(self) -> usize {
        match self {
            Self::Number(PatchNumber(..10)) => 2,
            Self::Number(PatchNumber(..100)) => 3,
            Self::Number(_) => 4,
            Self::Patched => "-patched".len(),
        }
    }

    /// What stands before this suffix in `tag`, which must end in it.
    #[inline]
    pub(crate) fn original_in(self, tag: TagRef<'_>) -> TagRef<'_> {
        let end = tag.as_str().len().saturating_sub(self.len());
        TagRef::trusted(tag.as_str().get(..end).unwrap_or_default())
    }
}

#[inline]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "three decimal digits, checked by the caller"
)]
fn number(digits: [u8; 3]) -> Option<Suffix> {
    let value = digits
        .into_iter()
        .fold(0_u16, |value, digit| value * 10 + u16::from(digit & 0x0f));
    PatchNumber::new(value).map(Suffix::Number)
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "-{number}"),
            Self::Patched => f.write_str("-patched"),
        }
    }
}

/// A tag this system makes: an original tag and a suffix.
///
/// Prints as the tag. Ordered by original, then by age: `3.11-2` before `3.11-10`.
///
/// ```
/// use cssc_core::{TagConvention, TagRef};
/// use cssc_core::tags::{PatchTag, Suffix};
///
/// let original = TagRef::new("3.11")?;
/// let first = PatchTag::new(original, TagConvention::Incremental.first()).unwrap();
/// assert_eq!(first.to_string(), "3.11-1");
/// assert_eq!(first.next().unwrap().to_string(), "3.11-2");
/// # Ok::<(), cssc_core::name::NameError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatchTag<'a> {
    original: TagRef<'a>,
    suffix: Suffix,
}

impl<'a> PatchTag<'a> {
    /// The patch tag of `original` with `suffix`, or `None` when it would be too long for a tag.
    pub fn new(original: TagRef<'a>, suffix: Suffix) -> Option<Self> {
        let len = original.as_str().len().saturating_add(suffix.len());
        (len <= MAX_TAG_LEN).then_some(Self { original, suffix })
    }

    /// The tag that is patched.
    pub fn original(self) -> TagRef<'a> {
        self.original
    }

    /// What follows it.
    pub fn suffix(self) -> Suffix {
        self.suffix
    }

    /// The convention the tag follows.
    pub fn convention(self) -> TagConvention {
        self.suffix.convention()
    }

    /// The patch number, for the incremental convention.
    pub fn number(self) -> Option<PatchNumber> {
        self.suffix.number()
    }

    /// The tag of the patch after this one.
    ///
    /// # Errors
    ///
    /// [`NoNextTag::Exhausted`] after number 999, [`NoNextTag::TagTooLong`] when the tag would
    /// have more than 128 bytes.
    pub fn next(self) -> Result<Self, NoNextTag> {
        let len = self.original.as_str().len();
        let suffix = next_suffix(len, self.convention(), Some(self.suffix))?;
        Ok(Self { suffix, ..self })
    }

    /// The tag as an owned value.
    pub fn to_tag(self) -> Tag {
        TagRef::trusted(&self.to_string()).to_tag()
    }
}

/// The suffix of the next patch when the original has `original_len` bytes and its newest patch
/// ends in `latest`.
#[inline]
pub(crate) fn next_suffix(
    original_len: usize,
    convention: TagConvention,
    latest: Option<Suffix>,
) -> Result<Suffix, NoNextTag> {
    let suffix = match latest {
        None => convention.first(),
        Some(latest) => latest.next().ok_or(NoNextTag::Exhausted)?,
    };
    if original_len.saturating_add(suffix.len()) > MAX_TAG_LEN {
        return Err(NoNextTag::TagTooLong);
    }
    Ok(suffix)
}

impl fmt::Display for PatchTag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.original, self.suffix)
    }
}

impl Serialize for PatchTag<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why an image cannot be given another patch tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
#[non_exhaustive]
pub enum NoNextTag {
    /// The patch numbers have run out.
    Exhausted,
    /// The patch tag would be longer than a tag may be.
    TagTooLong,
}

impl NoNextTag {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => {
                "its patch numbers are exhausted: the newest is 999 and there is none after it"
            }
            Self::TagTooLong => "its patch tag would be longer than 128 bytes",
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn suffix(tag: &str) -> Option<String> {
        Suffix::of(TagRef::new(tag).unwrap()).map(|suffix| suffix.to_string())
    }

    #[test]
    fn only_these_are_suffixes() {
        for (tag, expected) in [
            ("3.11-1", "-1"),
            ("3.11-10", "-10"),
            ("3.11-999", "-999"),
            ("3.11-1-2", "-2"),
            ("2024-01-15", "-15"),
            ("a-patched", "-patched"),
            ("a-patched-1", "-1"),
            ("a--1", "-1"),
        ] {
            assert_eq!(suffix(tag).as_deref(), Some(expected), "{tag}");
        }
        for tag in [
            "3.11",
            "a-0",
            "a-012",
            "a-1000",
            "a-01",
            "1",
            "999",
            "a-patched2",
            "patched",
            "a_1",
            "a.1",
            "a-1a",
            "a-",
            "jammy-20240111",
            "a-Patched",
            "a-000",
        ] {
            assert_eq!(suffix(tag), None, "{tag}");
        }
    }

    #[test]
    fn numbers_run_out_at_999() {
        let tag = TagRef::new("a-999").unwrap();
        let patch = TagConvention::Incremental.parse(tag).unwrap();
        assert_eq!(patch.next(), Err(NoNextTag::Exhausted));
        let tag = TagRef::new("a-patched").unwrap();
        let patch = TagConvention::Floating.parse(tag).unwrap();
        assert_eq!(patch.next(), Ok(patch));
    }

    #[test]
    fn a_patch_tag_is_a_tag() {
        let long = "a".repeat(127);
        let original = TagRef::new(&long).unwrap();
        for convention in TagConvention::ALL {
            assert_eq!(PatchTag::new(original, convention.first()), None);
        }
        let fits = "a".repeat(126);
        let original = TagRef::new(&fits).unwrap();
        let first = PatchTag::new(original, TagConvention::Incremental.first()).unwrap();
        assert_eq!(first.to_tag().as_str().len(), 128);
        let ninth = PatchTag::new(original, Suffix::Number(PatchNumber(9))).unwrap();
        assert_eq!(ninth.next(), Err(NoNextTag::TagTooLong));
    }

    proptest! {
        #[test]
        fn parse_and_print_are_inverse(original in "[a-z0-9_][a-z0-9._-]{0,20}", n in 1_u16..=999) {
            let original = TagRef::new(&original).unwrap();
            for suffix in [Suffix::Number(PatchNumber(n)), Suffix::Patched] {
                let patch = PatchTag::new(original, suffix).unwrap();
                let text = patch.to_string();
                prop_assert_eq!(text.len() - suffix.len(), original.as_str().len());
                let parsed = suffix.convention().parse(TagRef::new(&text).unwrap());
                prop_assert_eq!(parsed, Some(patch));
                prop_assert_eq!(suffix.convention().other().parse(TagRef::new(&text).unwrap()), None);
            }
        }

        #[test]
        fn agrees_with_the_obvious_definition(tag in "[a-z0-9_][a-z0-9-]{0,8}(-(patched|[0-9]{1,4}))?") {
            let expected = tag.rsplit_once('-').is_some_and(|(_, end)| {
                end == "patched" || (1..=999).any(|n: u16| n.to_string() == end)
            });
            prop_assert_eq!(Suffix::of(TagRef::new(&tag).unwrap()).is_some(), expected);
        }
    }
}
