//! Which known word an unknown one was meant to be.

/// How much of an unknown word is looked at: more than any known word has.
const LONGEST: usize = 64;

/// The known word that `word` was meant to be.
///
/// Case and punctuation do not count (`tag_convention`, `tagConvention`), and of the letters of
/// the known word at most a third may differ, rounded down: one of `tags`, two of `enabled`. What
/// begins with `$` is for tools, and nobody means it when writing something else.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = letters(word);
    known
        .iter()
        .filter(|known| !known.starts_with('$'))
        .filter_map(|known| {
            let letters = letters(known);
            // Added, left out, replaced or swapped with their neighbour.
            let distance = strsim::osa_distance(&word, &letters);
            (distance <= letters.chars().count() / 3).then_some((distance, *known))
        })
        .min()
        .map(|(_, known)| known)
}

/// What counts of a word.
fn letters(word: &str) -> String {
    let characters = word.chars().filter(|c| c.is_alphanumeric());
    let characters = characters.map(|c| c.to_ascii_lowercase());
    characters.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key() {
        const POLICY: &[&str] = &["version", "tag-convention", "repositories", "$schema"];
        const RULE: &[&str] = &["repository", "tags", "enabled"];
        for (known, key, near) in [
            (RULE, "enabld", Some("enabled")),
            (RULE, "enable", Some("enabled")),
            (RULE, "Enabled", Some("enabled")),
            (RULE, "en_abeld", Some("enabled")),
            (RULE, "disabled", None),
            (RULE, "tag", Some("tags")),
            (RULE, "tgas", Some("tags")),
            (RULE, "args", None),
            (RULE, "repositories", Some("repository")),
            (RULE, "repo", None),
            (RULE, "comment", None),
            (RULE, "", None),
            (POLICY, "tag_convention", Some("tag-convention")),
            (POLICY, "tagConvention", Some("tag-convention")),
            (POLICY, "convention", Some("tag-convention")),
            (POLICY, "repository", Some("repositories")),
            (POLICY, "revision", None),
            (POLICY, "schema", None),
            (POLICY, "description", None),
        ] {
            assert_eq!(nearest(key, known), near, "{key}");
        }
    }
}
