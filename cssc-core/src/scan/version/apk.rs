//! The order of apk's versions:
//! `number{.number}…{letter}{_suffix{number}}…{~hash}{-rnumber}`, see apk-package(5).
//!
//! Two versions are compared token by token. What follows a common beginning has an order of its
//! own: a suffix such as `_rc` comes before the end, all else behind it. Of numbers behind a dot,
//! one with a leading zero is a fraction: `1.01` comes before `1.1`.

use std::cmp::Ordering;

use super::{compare_numbers, dpkg, split_digits, split_while};

/// Suffixes of what comes before a version, the earliest first.
const BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
/// Suffixes of what comes after it.
const AFTER: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// A kind of token, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    SuffixBefore(usize),
    End,
    Release,
    Hash,
    SuffixNumber,
    SuffixAfter(usize),
    Letter,
    /// A number right behind a letter: `1a2`. apk 3 refuses it, packages of apk 2 have it.
    LetterNumber,
    /// A number behind a dot.
    Component,
    /// The number at the beginning.
    Number,
    /// From here on it is no version of apk's.
    Other,
}

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let mut sides = (Tokens::new(a), Tokens::new(b));
    loop {
        let ((kind, value), (other_kind, other)) = (sides.0.next(), sides.1.next());
        let order = kind.cmp(&other_kind).then_with(|| match kind {
            Kind::Number | Kind::LetterNumber | Kind::SuffixNumber | Kind::Release => {
                compare_numbers(value, other)
            }
            Kind::Component => compare_components(value, other),
            Kind::Letter | Kind::Hash => value.cmp(other),
            Kind::Other => dpkg::compare_part(value, other),
            Kind::SuffixBefore(_) | Kind::SuffixAfter(_) | Kind::End => Ordering::Equal,
        });
        if order.is_ne() || matches!(kind, Kind::End | Kind::Other) {
            return order;
        }
    }
}

fn compare_components(a: &[u8], b: &[u8]) -> Ordering {
    if a.starts_with(b"0") || b.starts_with(b"0") {
        a.cmp(b)
    } else {
        compare_numbers(a, b)
    }
}

struct Tokens<'a> {
    rest: &'a [u8],
    /// The token before; none at the beginning.
    last: Option<Kind>,
}

impl<'a> Tokens<'a> {
    fn new(version: &'a str) -> Self {
        Self {
            rest: version.as_bytes(),
            last: None,
        }
    }

    fn next(&mut self) -> (Kind, &'a [u8]) {
        let Some((kind, value, rest)) = self.token() else {
            return (Kind::Other, self.rest);
        };
        self.rest = rest;
        self.last = Some(kind);
        (kind, value)
    }

    /// The next token and what follows it; none where no token may stand.
    fn token(&self) -> Option<(Kind, &'a [u8], &'a [u8])> {
        use Kind::{
            Component, End, Hash, Letter, LetterNumber, Number, Release, SuffixAfter, SuffixBefore,
            SuffixNumber,
        };
        let number = |kind, text| match split_digits(text) {
            (&[], _) => None,
            (digits, rest) => Some((kind, digits, rest)),
        };
        let Some(last) = self.last else {
            return number(Number, self.rest);
        };
        let Some((first, behind)) = self.rest.split_first() else {
            return Some((End, &[], &[]));
        };
        match (first, last) {
            (b'.', Number | Component | LetterNumber) => number(Component, behind),
            (b'a'..=b'z', Number | Component | LetterNumber) => {
                let (letter, rest) = self.rest.split_at_checked(1)?;
                Some((Letter, letter, rest))
            }
            (b'0'..=b'9', Letter) => number(LetterNumber, self.rest),
            (b'0'..=b'9', SuffixBefore(_) | SuffixAfter(_)) => number(SuffixNumber, self.rest),
            (b'_', last) if last != Hash && last != Release => {
                let (name, rest) = split_while(behind, |byte| byte.is_ascii_lowercase());
                let place = |names: &[&str]| names.iter().position(|of| of.as_bytes() == name);
                let before = place(&BEFORE).map(SuffixBefore);
                let kind = before.or_else(|| place(&AFTER).map(SuffixAfter))?;
                Some((kind, name, rest))
            }
            (b'~', last) if last != Hash && last != Release => {
                match split_while(behind, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                    (&[], _) => None,
                    (hash, rest) => Some((Hash, hash, rest)),
                }
            }
            (b'-', last) if last != Release => number(Release, behind.strip_prefix(b"r")?),
            _ => None,
        }
    }
}
