//! The order of Debian's versions: `[epoch:]upstream[-revision]`, as Debian Policy 5.6.12 has it.

use std::cmp::Ordering;

use super::{compare_numbers, split_digits, split_epoch, split_while};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let parts = |version| {
        let (epoch, rest) = split_epoch(version);
        (epoch, rest.rsplit_once('-').unwrap_or((rest, "")))
    };
    let (epoch, (upstream, revision)) = parts(a.trim());
    let (other_epoch, (other_upstream, other_revision)) = parts(b.trim());
    compare_numbers(epoch.as_bytes(), other_epoch.as_bytes())
        .then_with(|| compare_part(upstream.as_bytes(), other_upstream.as_bytes()))
        .then_with(|| compare_part(revision.as_bytes(), other_revision.as_bytes()))
}

/// Compares what is no digit and what is one in turns.
pub(super) fn compare_part<'a>(mut a: &'a [u8], mut b: &'a [u8]) -> Ordering {
    let is_other = |byte: u8| !byte.is_ascii_digit();
    while !(a.is_empty() && b.is_empty()) {
        let [(word, a_rest), (other_word, b_rest)] = [a, b].map(|text| split_while(text, is_other));
        let [(digits, a_next), (other_digits, b_next)] = [a_rest, b_rest].map(split_digits);
        let order = weights(word)
            .cmp(weights(other_word))
            .then_with(|| compare_numbers(digits, other_digits));
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_next, b_next);
    }
    Ordering::Equal
}

/// A tilde comes before the end, then letters, then all else.
fn weights(word: &[u8]) -> impl Iterator<Item = i16> {
    const END: i16 = 0;
    let weight = |byte: &u8| match byte {
        b'~' => -1,
        letter if letter.is_ascii_alphabetic() => i16::from(*letter),
        other => i16::from(*other).saturating_add(256),
    };
    word.iter().map(weight).chain([END])
}
