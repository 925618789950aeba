//! Which tags an entry of a rule's `tags` selects: one by name, all, or those a glob matches.

use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{NameError, NameErrorKind, Tag, TagRef, excerpt};

/// The longest glob, in bytes: enough for a list of a hundred tags, small enough to compile fast.
const MAX_GLOB_LEN: usize = 1024;
/// How deep braces may nest: globset 0.4 panics on a glob nested hundreds deep.
const MAX_GLOB_DEPTH: usize = 16;

/// One entry of a rule's `tags`: a tag by name, `*`, or a glob.
///
/// Any of `* ? [ ] { } \` makes it a glob, read as [`globset`] does: `3.*-slim`, `jammy-*`,
/// `{3.11,3.12}`, `3.1?`, `3.1[0-9]`. Globs are an extension: Azure takes one for the name of a
/// tag. A glob is compiled when it is parsed and may then match any number of tags.
///
/// ```
/// use cssc_core::TagRef;
/// use cssc_core::policy::Selector;
///
/// let selector: Selector = "3.*-slim".parse()?;
/// assert!(selector.matches(TagRef::new("3.11-slim")?));
/// assert!(!selector.matches(TagRef::new("3.11")?));
/// assert!("3.11-1".parse::<Selector>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Parsing fails for a literal that is no tag (`a b`) or that is reserved for patches: one that
/// ends in `-patched` or in `-` and one to three digits (`3.11-1`, `a-0`, `a-012`); and for a
/// glob that is malformed (`[a`), could match no tag at all (`a b*`), has over 1024 bytes or
/// braces nested over 16 deep.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// `*`: every original tag.
    All,
    /// The tag of this name.
    Literal(Tag),
    /// Every original tag that the glob matches.
    Glob(Glob),
}

impl Selector {
    /// The entry as it is written in a policy.
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => "*",
            Self::Literal(tag) => tag.as_str(),
            Self::Glob(glob) => glob.as_str(),
        }
    }

    /// Whether the selector takes in a tag of this name.
    pub fn matches(&self, tag: TagRef<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Literal(literal) => literal.as_str() == tag.as_str(),
            Self::Glob(glob) => glob.matches(tag),
        }
    }

    /// The tag, if the selector names one.
    pub fn as_literal(&self) -> Option<&Tag> {
        match self {
            Self::Literal(tag) => Some(tag),
            Self::All | Self::Glob(_) => None,
        }
    }

    /// Whether the selector is a glob, which only this software understands.
    pub fn is_glob(&self) -> bool {
        matches!(self, Self::Glob(_))
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text == "*" {
            return Ok(Self::All);
        }
        if is_glob_text(text) {
            return Glob::new(text).map(Self::Glob);
        }
        let tag = TagRef::new(text).map_err(Kind::Name)?;
        match reserved_original(tag) {
            None => Ok(Self::Literal(tag.to_tag())),
            Some(original) => Err(Kind::Reserved {
                tag: tag.to_tag(),
                original: original.into(),
            }
            .into()),
        }
    }
}

/// Whether a text is read as a glob, were it compiled.
pub(crate) fn is_glob_text(text: &str) -> bool {
    text != "*" && text.contains(is_glob_character)
}

fn is_glob_character(c: char) -> bool {
    matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\')
}

/// What stands before the reserved ending of `tag`, when a policy may not name it: the suffixes
/// of both conventions, and numbers that only look like one (`-0`, `-012`).
fn reserved_original(tag: TagRef<'_>) -> Option<&str> {
    let (original, end) = tag.as_str().rsplit_once('-')?;
    let is_number = (1..=3).contains(&end.len()) && end.bytes().all(|byte| byte.is_ascii_digit());
    (is_number || end == "patched").then_some(original)
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "a tag, `*` or a glob")
    }
}

/// A compiled glob. Two are equal when their text is.
#[derive(Debug, Clone)]
pub struct Glob {
    text: Box<str>,
    matcher: GlobMatcher,
}

impl Glob {
    fn new(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_GLOB_LEN {
            return Err(Kind::GlobTooLong(excerpt(text)).into());
        }
        let is_allowed = |c: char| {
            c.is_ascii_alphanumeric()
                || is_glob_character(c)
                || matches!(c, '.' | '_' | '-' | ',' | '!' | '^')
        };
        if let Some(character) = text.chars().find(|&c| !is_allowed(c)) {
            return Err(Kind::GlobCharacter {
                glob: excerpt(text),
                character,
            }
            .into());
        }
        if brace_depth(text) > MAX_GLOB_DEPTH {
            return Err(Kind::GlobTooDeep(excerpt(text)).into());
        }
        match GlobBuilder::new(text).backslash_escape(true).build() {
            Ok(glob) => Ok(Self {
                text: text.into(),
                matcher: glob.compile_matcher(),
            }),
            Err(error) => Err(Kind::Glob {
                glob: excerpt(text),
                reason: error.kind().to_string(),
            }
            .into()),
        }
    }

    /// The glob as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the glob matches the whole tag.
    pub fn matches(&self, tag: TagRef<'_>) -> bool {
        self.matcher.is_match(tag.as_str())
    }
}

fn brace_depth(glob: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in glob.bytes() {
        match byte {
            b'{' => depth = depth.saturating_add(1),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

impl std::hash::Hash for Glob {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Why a text cannot be an entry of a rule's `tags`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct SelectorError(#[from] Kind);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Kind {
    #[error(transparent)]
    Name(NameError),
    #[error(
        "`{tag}` is reserved for a patch of `{original}`: a policy cannot name a tag that ends \
         in `-patched` or in `-` and one to three digits; name the original tag"
    )]
    Reserved { tag: Tag, original: Box<str> },
    #[error("`{glob}` is not a valid glob: {reason}")]
    Glob { glob: String, reason: String },
    #[error("`{glob}` matches no tag: no tag holds the character `{}`", character.escape_debug())]
    GlobCharacter { glob: String, character: char },
    #[error("`{0}` is too long for a glob: at most {MAX_GLOB_LEN} bytes")]
    GlobTooLong(String),
    #[error("`{0}` nests its braces too deep: at most {MAX_GLOB_DEPTH} levels")]
    GlobTooDeep(String),
}

/// Of what kind a [`SelectorError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SelectorErrorKind {
    /// It is neither a tag nor a glob.
    Name(NameErrorKind),
    /// It is a tag that is reserved for patches.
    Reserved,
    /// It is a glob that cannot be used, or matches no tag.
    Glob,
}

impl SelectorError {
    /// Of what kind the error is.
    pub fn kind(&self) -> SelectorErrorKind {
        match &self.0 {
            Kind::Name(error) => SelectorErrorKind::Name(error.kind()),
            Kind::Reserved { .. } => SelectorErrorKind::Reserved,
            _ => SelectorErrorKind::Glob,
        }
    }

    /// Whether the text is a tag that is reserved for patches.
    pub fn is_reserved(&self) -> bool {
        self.kind() == SelectorErrorKind::Reserved
    }

    /// Whether the text was meant as a glob.
    pub fn is_glob(&self) -> bool {
        self.kind() == SelectorErrorKind::Glob
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Kind::Name(error) if error.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(selector: &str, tag: &str) -> bool {
        let selector: Selector = selector.parse().unwrap();
        selector.matches(TagRef::new(tag).unwrap())
    }

    fn error(text: &str) -> String {
        text.parse::<Selector>().unwrap_err().to_string()
    }

    #[test]
    fn globs_match_whole_tags() {
        assert!(matches("3.*-slim", "3.11-slim"));
        assert!(!matches("3.*-slim", "3.11-slim-bookworm"));
        assert!(!matches("3.*", "13.1"));
        assert!(!matches("3.1?", "3x11"));
        assert!(matches("{3.11,3.12}", "3.12"));
        assert!(matches("3.1[0-9]", "3.10"));
        assert!(!matches("3.1[!0-9]", "3.10"));
        assert!(matches("**", "a"));
        assert!(!matches("JAMMY-*", "jammy-1"));
    }

    #[test]
    fn literals_match_themselves() {
        assert!(matches("1.0", "1.0"));
        assert!(!matches("1.0", "1x0"));
        assert!(matches("jammy-20240111", "jammy-20240111"));
        assert!(matches("a-1000", "a-1000"));
    }

    #[test]
    fn every_rejected_entry_says_why() {
        for (tag, original) in [
            ("3.11-1", "3.11"),
            ("a-0", "a"),
            ("a-012", "a"),
            ("a-patched", "a"),
        ] {
            assert_eq!(
                error(tag),
                format!(
                    "`{tag}` is reserved for a patch of `{original}`: a policy cannot name a tag \
                     that ends in `-patched` or in `-` and one to three digits; name the \
                     original tag"
                )
            );
        }
        assert!("".parse::<Selector>().unwrap_err().is_empty());
        assert!(error("a b").contains("is not a valid tag"));
        assert_eq!(
            error("[a"),
            "`[a` is not a valid glob: unclosed character class; missing ']'"
        );
        assert_eq!(
            error("a b*"),
            "`a b*` matches no tag: no tag holds the character ` `"
        );
        assert!(error(&"*".repeat(1025)).contains("at most 1024 bytes"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-c{}*?\\[\\]\\\\,!^.-]{0,40}") {
            if let Ok(selector) = text.parse::<Selector>() {
                prop_assert_eq!(selector.as_str(), &text);
                prop_assert_eq!(selector.to_string().parse(), Ok(selector.clone()));
                selector.matches(TagRef::new("a-b.c").unwrap());
            }
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
        assert!(matches(&nested(MAX_GLOB_DEPTH), "a"));
        assert!(error(&nested(MAX_GLOB_DEPTH + 1)).contains("at most 16 levels"));
        assert!(error(&nested(500)).contains("at most 16 levels"));
    }
}
