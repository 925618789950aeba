//! Files that are not complete.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::private;

/// A file that is not complete; it goes when this is dropped.
#[derive(Debug)]
pub(in crate::relay) struct Partial {
    file: File,
    path: PathBuf,
}

impl Partial {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let file = private::write_options().create_new(true).open(&path)?;
        Ok(Self { file, path })
    }

    /// Writes on at the end.
    pub(in crate::relay) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// The same file, for reading from its start.
    pub(in crate::relay) fn reader(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// The file is complete, and put in its place.
    pub(super) fn keep_as(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // There is none any more when it was completed.
        let _ = fs::remove_file(&self.path);
    }
}
