//! Why a text is no name.

use std::fmt;

use super::excerpt;

/// Why a text is no registry, repository or tag.
///
/// The message names the text, what is wrong with it, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError(Box<Refusal>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    what: What,
    text: Box<str>,
    kind: NameErrorKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Registry,
    Repository,
    Tag,
}

/// What is wrong with a text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameErrorKind {
    /// It is empty.
    Empty,
    /// It has more than this many bytes.
    TooLong(usize),
    /// It holds a character that is not allowed.
    Character(char),
    /// It begins with a character that is allowed only further on.
    FirstCharacter,
    /// It holds upper case where only lower case is allowed.
    UpperCase,
    /// There is nothing before, between or after a `/`.
    EmptyComponent,
    /// A separator is too long, or at an end.
    Separator,
    /// It has a scheme, such as `https://`.
    Scheme,
    /// It is no host.
    Host,
    /// Its port is no number from 1 to 65535.
    Port,
}

impl NameError {
    #[cold]
    pub(super) fn new(what: What, text: &str, kind: NameErrorKind) -> Self {
        Self(Box::new(Refusal {
            what,
            text: excerpt(text).into(),
            kind,
        }))
    }

    /// What is wrong with the text.
    pub fn kind(&self) -> NameErrorKind {
        self.0.kind
    }

    /// Whether the name was empty.
    pub fn is_empty(&self) -> bool {
        self.0.kind == NameErrorKind::Empty
    }

    /// Whether the name was longer than the specification allows.
    pub fn is_too_long(&self) -> bool {
        matches!(self.0.kind, NameErrorKind::TooLong(_))
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
            NameErrorKind::Empty => write!(f, "a {noun} cannot be empty"),
            NameErrorKind::TooLong(max) => {
                write!(f, "`{text}` is too long for a {noun}: at most {max} bytes")
            }
            NameErrorKind::Character(c) => {
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
            NameErrorKind::FirstCharacter => write!(
                f,
                "`{text}` is not a valid {noun}: it must begin with a letter, a digit or `_`"
            ),
            NameErrorKind::UpperCase => write!(
                f,
                "`{text}` is not a valid {noun}: it must be lower case (`{}`)",
                text.to_ascii_lowercase()
            ),
            NameErrorKind::EmptyComponent => write!(
                f,
                "`{text}` is not a valid {noun}: there is nothing before, between or after a `/`"
            ),
            NameErrorKind::Separator => write!(
                f,
                "`{text}` is not a valid {noun}: between letters and digits it may hold one \
                 `.`, one or two `_`, or dashes, and none of them at an end"
            ),
            NameErrorKind::Scheme => write!(
                f,
                "`{text}` is not a valid {noun}: leave out the scheme, as in `myregistry.azurecr.io`"
            ),
            NameErrorKind::Host => write!(
                f,
                "`{text}` is not a valid {noun}: expected a host such as \
                 `myregistry.azurecr.io` or `localhost:5000`"
            ),
            NameErrorKind::Port => write!(
                f,
                "`{text}` is not a valid {noun}: the port must be a number from 1 to 65535"
            ),
        }
    }
}
