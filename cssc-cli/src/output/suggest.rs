//! What was perhaps meant by a name that is not there.

/// Names longer than this are not compared: it takes the product of their lengths.
const MAX_LEN: usize = 64;

/// `: did you mean `3.11`?`, or nothing when no name is near.
pub(crate) fn did_you_mean<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    // A third of what was typed may be wrong.
    let limit = wrong.len().div_ceil(3).min(3);
    let may_be_near = |name: &&str| {
        *name != wrong
            && name.len().abs_diff(wrong.len()) <= limit
            && name.len().max(wrong.len()) <= MAX_LEN
    };
    let near = names
        .filter(may_be_near)
        .map(|name| (strsim::osa_distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min();
    match near {
        Some((_, name)) => format!(": did you mean `{name}`?"),
        None => String::new(),
    }
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
        assert_eq!(of("3.12-lsim"), ": did you mean `3.12-slim`?");
        let long = "a".repeat(MAX_LEN + 1);
        let longer = format!("{long}b");
        assert_eq!(did_you_mean(&long, [longer.as_str()].into_iter()), "");
    }
}
