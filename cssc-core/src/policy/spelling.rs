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
            let distance = distance(&word, &letters);
            (distance <= letters.len() / 3).then_some((distance, *known))
        })
        .min()
        .map(|(_, known)| known)
}

/// What counts of a word.
fn letters(word: &str) -> Vec<char> {
    let characters = word.chars().filter(|c| c.is_alphanumeric());
    let characters = characters.map(|c| c.to_ascii_lowercase());
    characters.take(LONGEST).collect()
}

/// How many letters must be added, left out, replaced or swapped with their neighbour to make
/// one text the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        for (j, &to) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX);
            let next = j.saturating_add(1);
            let replaced = at(&last, j).saturating_add(usize::from(from != to));
            let changed = at(&row, j).min(at(&last, next)).saturating_add(1);
            let mut best = replaced.min(changed);
            let neighbours = i.checked_sub(1).zip(j.checked_sub(1));
            if let Some((i, j)) = neighbours
                && a.get(i) == Some(&to)
                && b.get(j) == Some(&from)
            {
                best = best.min(at(&before_last, j).saturating_add(1));
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
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
