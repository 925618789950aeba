//! Blobs that are read as they come.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::digest::Hasher;
use crate::{Descriptor, Digest, RegistryError};

/// A blob that is read as it comes, never held as a whole.
///
/// The read that would reach its end fails with [`io::ErrorKind::InvalidData`] when its bytes are
/// not what the digest says or are more, and with [`io::ErrorKind::UnexpectedEof`] when they are
/// fewer. What was read before that is worth nothing.
pub struct BlobReader {
    source: Box<dyn Read + Send>,
    digest: Digest,
    hasher: Option<Hasher>,
    left: u64,
}

impl BlobReader {
    /// Reads the blob that `blob` describes from `source`.
    pub fn new(blob: &Descriptor, source: impl Read + Send + 'static) -> Self {
        Self {
            source: Box::new(source),
            digest: blob.digest.clone(),
            hasher: Some(Hasher::new(&blob.digest)),
            left: blob.size,
        }
    }

    /// Checks what was read when all of it was.
    fn finish(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        // An empty read is the end; whatever comes instead is too much.
        let is_longer = self.source.read(&mut [0])? > 0;
        if is_longer || !hasher.is(&self.digest) {
            let message = format!("the content does not match `{}`", self.digest);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(())
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.finish()?;
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        if part.is_empty() {
            return Ok(0);
        }
        let read = self.source.read(part)?;
        if read == 0 {
            let message = format!("`{}` ended too early", self.digest);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        if let (Some(hasher), Some(bytes)) = (&mut self.hasher, part.get(..read)) {
            hasher.update(bytes);
        }
        self.left = self
            .left
            .saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        if self.left == 0 {
            // A reader that knows the length may not read on.
            self.finish()?;
        }
        Ok(read)
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader")
            .field("digest", &self.digest)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// Opens a file, to be read as the blob that it is to be.
pub(crate) fn open_file(path: &Path, blob: &Descriptor) -> Result<BlobReader, RegistryError> {
    // Opening a pipe could wait for ever.
    let opened = fs::metadata(path).and_then(|found| {
        if found.is_file() {
            File::open(path)
        } else {
            Err(io::Error::other("it is not a regular file"))
        }
    });
    match opened {
        Ok(file) => Ok(BlobReader::new(blob, file)),
        Err(error) => Err(file_error(path, blob, &error)),
    }
}

/// What a failure to read a file as a blob means: the file is another one, or cannot be read.
pub(crate) fn file_error(path: &Path, blob: &Descriptor, error: &io::Error) -> RegistryError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            let (digest, size) = (&blob.digest, blob.size);
            RegistryError::input(format!("`{path}` is not `{digest}` of {size} bytes"))
        }
        _ => RegistryError::input(format!("cannot read `{path}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &[u8], sent: &'static [u8]) -> io::Result<Vec<u8>> {
        let blob = Descriptor::of("", said);
        let mut bytes = Vec::new();
        BlobReader::new(&blob, sent).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn what_is_not_what_the_digest_says_is_an_error() {
        assert_eq!(read(b"abc", b"abc").unwrap(), b"abc");
        assert_eq!(read(b"", b"").unwrap(), b"");
        for (sent, kind) in [
            (&b"abd"[..], io::ErrorKind::InvalidData),
            (b"abcd", io::ErrorKind::InvalidData),
            (b"ab", io::ErrorKind::UnexpectedEof),
            (b"", io::ErrorKind::UnexpectedEof),
        ] {
            assert_eq!(read(b"abc", sent).unwrap_err().kind(), kind, "{sent:?}");
        }
        assert!(read(b"", b"a").is_err());
    }

    #[test]
    fn a_reader_that_knows_the_length_learns_of_a_wrong_digest_too() {
        let mut reader = BlobReader::new(&Descriptor::of("", b"abc"), &b"abd"[..]);
        assert!(reader.read_exact(&mut [0; 3]).is_err());
    }
}
