//! The order of rpm's versions: `[epoch:]version[-release]`.

use std::cmp::Ordering;

use super::{Split, compare_numbers, split_digits, split_epoch, split_while};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let parts = |version| {
        let (epoch, rest) = split_epoch(version);
        let split = rest.rsplit_once('-');
        let (version, release) = split.map_or((rest, None), |(version, release)| {
            (version, Some(release.as_bytes()))
        });
        (epoch.as_bytes(), version.as_bytes(), release)
    };
    let (epoch, version, release) = parts(a);
    let (other_epoch, other_version, other_release) = parts(b);
    compare_numbers(epoch, other_epoch)
        .then_with(|| compare_part(version, other_version))
        .then_with(|| match (release, other_release) {
            (Some(release), Some(other)) => compare_part(release, other),
            // A version without a release comes before the same one with any.
            _ => release.is_some().cmp(&other_release.is_some()),
        })
}

/// What a part of a version can go on with, the least first. What is none of these only separates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Tilde,
    End,
    Caret,
    Letters,
    Digits,
}

fn compare_part<'a>(mut a: &'a [u8], mut b: &'a [u8]) -> Ordering {
    loop {
        let [(next, a_rest), (other_next, b_rest)] = [a, b].map(next);
        let order = next.cmp(&other_next);
        if order.is_ne() {
            return order;
        }
        let split: fn(&[u8]) -> Split<'_> = match next {
            Next::End => return Ordering::Equal,
            Next::Tilde | Next::Caret => |text| text.split_at_checked(1).unwrap_or((text, &[])),
            Next::Letters => |text| split_while(text, |byte| byte.is_ascii_alphabetic()),
            Next::Digits => split_digits,
        };
        let [(segment, a_next), (other, b_next)] = [a_rest, b_rest].map(split);
        let order = match next {
            Next::Digits => compare_numbers(segment, other),
            _ => segment.cmp(other),
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_next, b_next);
    }
}

/// What comes next, and the text from there on.
fn next(text: &[u8]) -> (Next, &[u8]) {
    let is_separator = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'~' && byte != b'^';
    let (_, text) = split_while(text, is_separator);
    let next = match text.first() {
        None => Next::End,
        Some(b'~') => Next::Tilde,
        Some(b'^') => Next::Caret,
        Some(digit) if digit.is_ascii_digit() => Next::Digits,
        Some(_) => Next::Letters,
    };
    (next, text)
}
