//! Bounds on a JSON text, checked on its bytes before the parser sees them.

use std::io::{Error, Read, Result};

/// The longest text anywhere in a report, in bytes. A parser holds a text as a whole, even one
/// that nobody asked for.
const MAX_TEXT: usize = 4 << 20;
/// How deep objects and lists may nest; a report needs about ten levels.
const MAX_DEPTH: usize = 128;

/// A bound that a report does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Excess {
    #[error(
        "the scan report has more than {0} bytes: scan with `--scanners vuln --pkg-types os`, or raise the limit"
    )]
    Bytes(u64),
    #[error("the scan report holds a text of more than {MAX_TEXT} bytes")]
    Text,
    #[error("the scan report is nested more than {MAX_DEPTH} levels deep")]
    Depth,
}

/// Passes bytes on as long as they keep the bounds.
#[derive(Debug)]
pub(super) struct Guard<R> {
    inner: R,
    left: u64,
    limit: u64,
    depth: usize,
    /// Bytes of the text that the input is in the middle of.
    text: Option<usize>,
    escaped: bool,
}

impl<R> Guard<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            left: limit,
            limit,
            depth: 0,
            text: None,
            escaped: false,
        }
    }

    pub(super) fn check(&mut self, mut bytes: &[u8]) -> std::result::Result<(), Excess> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.left = self
            .left
            .checked_sub(len)
            .ok_or(Excess::Bytes(self.limit))?;
        while !bytes.is_empty() {
            bytes = match self.text {
                None => self.outside(bytes)?,
                Some(len) => self.inside(len, bytes)?,
            };
        }
        Ok(())
    }

    /// Reads up to the beginning of a text and returns the rest.
    fn outside<'b>(&mut self, bytes: &'b [u8]) -> std::result::Result<&'b [u8], Excess> {
        let mut rest = bytes.iter();
        for byte in rest.by_ref() {
            match byte {
                b'{' | b'[' => {
                    self.depth = self.depth.saturating_add(1);
                    if self.depth > MAX_DEPTH {
                        return Err(Excess::Depth);
                    }
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b'"' => {
                    self.text = Some(0);
                    break;
                }
                _ => {}
            }
        }
        Ok(rest.as_slice())
    }

    /// Reads on in a text of which `len` bytes have gone by, to its end, and returns the rest.
    fn inside<'b>(&mut self, len: usize, bytes: &'b [u8]) -> std::result::Result<&'b [u8], Excess> {
        let mut rest = bytes;
        if std::mem::take(&mut self.escaped) {
            rest = rest.split_first().map_or(rest, |(_, rest)| rest);
        }
        while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
            let Some((found, behind)) = rest.get(at..).and_then(<[u8]>::split_first) else {
                break;
            };
            if *found == b'"' {
                self.text = None;
                return Ok(behind);
            }
            // What is escaped may be in the next piece.
            let Some((_, behind)) = behind.split_first() else {
                self.escaped = true;
                break;
            };
            rest = behind;
        }
        let len = len.saturating_add(bytes.len());
        if len > MAX_TEXT {
            return Err(Excess::Text);
        }
        self.text = Some(len);
        Ok(&[])
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        // A reader that claims more than it was given room for is not believed.
        let read = self.inner.read(buffer)?.min(buffer.len());
        self.check(buffer.get(..read).unwrap_or_default())
            .map_err(Error::other)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` in pieces of `size` bytes.
    fn check(text: &str, size: usize) -> std::result::Result<(), Excess> {
        let mut guard = Guard::new(text.as_bytes(), 1 << 30);
        let mut buffer = vec![0; size];
        loop {
            match guard.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    let excess = error.get_ref().and_then(|error| error.downcast_ref());
                    return Err(*excess.unwrap());
                }
            }
        }
    }

    #[test]
    fn brackets_in_texts_do_not_nest() {
        let deep = "[".repeat(MAX_DEPTH);
        let texts = format!(r#"["{deep}\"{deep}\\",{{"{deep}":"{deep}"}}]"#);
        for size in [1, 2, 7, 64 << 10] {
            assert_eq!(check(&deep, size), Ok(()));
            assert_eq!(check(&format!("{deep}["), size), Err(Excess::Depth));
            assert_eq!(check(&texts, size), Ok(()));
            assert_eq!(check(&format!("{texts}{deep}"), size), Ok(()));
            assert_eq!(check(&format!("[{texts}{deep}"), size), Err(Excess::Depth));
        }
    }

    #[test]
    fn texts_and_the_whole_are_bounded() {
        let text = "a".repeat(MAX_TEXT - (64 << 10));
        assert_eq!(check(&format!("\"{text}\"\"{text}\""), 64 << 10), Ok(()));
        let text = "a".repeat(MAX_TEXT + (64 << 10));
        assert_eq!(check(&format!("\"{text}\""), 64 << 10), Err(Excess::Text));
        let mut guard = Guard::new(&b"12345"[..], 4);
        let error = guard.read(&mut [0; 16]).unwrap_err();
        assert!(error.to_string().contains("more than 4 bytes"), "{error}");
        assert_eq!(Guard::new(&b"1234"[..], 4).read(&mut [0; 16]).unwrap(), 4);
    }
}
