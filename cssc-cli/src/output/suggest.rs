//! What was perhaps meant by a name that is not there.

/// Names longer than this are not compared: it takes the product of their lengths.
const MAX_LEN: usize = 64;

/// `: did you mean `3.11`?`, or nothing when no name is near.
pub(crate) fn did_you_mean<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    // A third of what was typed may be wrong.
    let limit = wrong.len().div_ceil(3).min(3);
    let near = names
        .filter(|name| *name != wrong)
        .filter_map(|name| Some((distance(wrong, name, limit)?, name)))
        .min();
    match near {
        Some((_, name)) => format!(": did you mean `{name}`?"),
        None => String::new(),
    }
}

/// How many characters must be changed, added or removed, up to `limit`.
fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit || a.len().max(b.len()) > MAX_LEN {
        return None;
    }
    // Row by row through the table of distances between what both begin with.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, from) in a.bytes().enumerate() {
        let mut diagonal = line;
        let mut left = line.saturating_add(1);
        let mut next = vec![left];
        for (above, to) in row.iter().skip(1).zip(b.bytes()) {
            let replaced = diagonal.saturating_add(usize::from(from != to));
            left = replaced.min(above.min(&left).saturating_add(1));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near() {
        let tags = ["3.11", "3.12-slim", "latest", "jammy-20240111"];
        let of = |wrong| did_you_mean(wrong, tags.into_iter());
        assert_eq!(of("3.12-slm"), ": did you mean `3.12-slim`?");
        assert_eq!(of("lastest"), ": did you mean `latest`?");
        assert_eq!(of("311"), ": did you mean `3.11`?");
        assert_eq!(of("alpine"), "");
        assert_eq!(of(""), "");
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(a, b, 3), Some(expected), "{a} {b}");
            assert_eq!(distance(b, a, 3), Some(expected), "{b} {a}");
        }
        assert_eq!(distance("abcd", "wxyz", 3), None);
        let long = "a".repeat(MAX_LEN + 1);
        assert_eq!(distance(&long, &long, 3), None);
    }
}
