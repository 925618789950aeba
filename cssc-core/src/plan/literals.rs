//! Many names with dots for any character, looked up at once.

use std::cmp::Ordering;

/// Literals of a rule as the service reads them: a `.` stands for any one character.
pub(super) struct Literals<'a> {
    /// Sorted, with their places in the rule.
    sorted: Vec<(&'a [u8], usize)>,
}

impl<'a> Literals<'a> {
    pub(super) fn new(literals: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let literals = literals.map(|(literal, place)| (literal.as_bytes(), place));
        let mut sorted: Vec<_> = literals.collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    /// The first in the rule that takes in `name`.
    pub(super) fn first(&self, name: &str) -> Option<usize> {
        first(&self.sorted, name.as_bytes(), 0)
    }
}

/// The least place among literals that are equal up to `depth`, where they take in `name`.
fn first(literals: &[(&[u8], usize)], name: &[u8], depth: usize) -> Option<usize> {
    if let [(literal, place)] = literals {
        return takes_in(literal, name).then_some(*place);
    }
    let of_byte = |byte: Option<u8>| {
        // An ended literal stands before all that go on.
        let order = |(literal, _): &(&[u8], usize)| literal.get(depth).copied().cmp(&byte);
        let begin = literals.partition_point(|one| order(one) == Ordering::Less);
        let rest = literals.get(begin..).unwrap_or_default();
        let end = rest.partition_point(|one| order(one) == Ordering::Equal);
        rest.get(..end).unwrap_or_default()
    };
    let Some(byte) = name.get(depth) else {
        let ended = of_byte(None).iter();
        return ended.map(|(_, place)| *place).min();
    };
    let next = depth.saturating_add(1);
    let found = |byte| match of_byte(Some(byte)) {
        [] => None,
        literals => first(literals, name, next),
    };
    let exact = found(*byte);
    if *byte == b'.' {
        return exact;
    }
    exact.into_iter().chain(found(b'.')).min()
}

/// Whether `name` is `literal`, where a `.` of the literal is any one character.
fn takes_in(literal: &[u8], name: &[u8]) -> bool {
    literal.len() == name.len()
        && literal
            .iter()
            .zip(name)
            .all(|(expected, byte)| *expected == b'.' || expected == byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_of_all_is_found(
            literals in prop::collection::vec("[ab.]{1,4}", 0..20),
            names in prop::collection::vec("[ab.-]{0,4}", 1..8),
        ) {
            let index = Literals::new(literals.iter().map(String::as_str).zip(0..));
            for name in names {
                let one_by_one = literals
                    .iter()
                    .position(|literal| takes_in(literal.as_bytes(), name.as_bytes()));
                prop_assert_eq!(index.first(&name), one_by_one, "{} {:?}", name, literals);
            }
        }
    }
}
