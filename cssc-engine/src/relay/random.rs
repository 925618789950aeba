//! Text that cannot be guessed.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use cssc_registry::Tag;

/// How long each text is: 128 bits.
const LEN: usize = 32;

/// Makes text that cannot be guessed, each another.
pub(super) struct Source {
    key: [u8; 32],
    next: AtomicU64,
}

impl Source {
    /// Takes a key from the system.
    pub(super) fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| {
            io::Error::other(format!("the system gives no random bytes: {error}"))
        })?;
        Ok(Self {
            key,
            next: AtomicU64::new(0),
        })
    }

    /// The next text: 32 hexadecimal digits, fit for a path, a tag, a user and a password.
    pub(super) fn text(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let digest = cssc_registry::digest::of(&[&self.key[..], &number].concat());
        digest.hex().get(..LEN).unwrap_or_default().to_owned()
    }

    /// The next text, as a tag.
    #[expect(clippy::expect_used, reason = "hexadecimal digits are a tag")]
    pub(super) fn tag(&self) -> Tag {
        self.text().parse().expect("a tag")
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_comes_twice() {
        let (one, other) = (Source::new().unwrap(), Source::new().unwrap());
        let texts = [one.text(), one.text(), other.text(), other.text()];
        let distinct: std::collections::BTreeSet<_> = texts.iter().collect();
        assert_eq!(distinct.len(), 4);
        assert!(texts.iter().all(|text| text.len() == LEN));
        assert!(!format!("{one:?}").contains("key"));
    }
}
