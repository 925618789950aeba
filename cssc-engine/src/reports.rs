//! Scan reports, kept from one step to the next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cssc_core::Digest;

/// The scan reports of a cycle in a folder, by the digest of what was scanned.
///
/// Steps find here what earlier steps scanned. A report that is not here is made again, so that
/// nothing depends on the folder: another machine may do the next step.
#[derive(Debug, Clone)]
pub struct Reports {
    folder: PathBuf,
}

impl Reports {
    /// Reports in this folder, which is made when the first is kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self { folder }
    }

    /// The report of what has this digest.
    pub fn find(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.path(digest);
        path.is_file().then_some(path)
    }

    /// Keeps a report, which is moved here. It must have been read whole: what is found here can
    /// be relied on.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be written.
    pub fn keep(&self, digest: &Digest, report: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(digest);
        fs::rename(report, &path)?;
        Ok(path)
    }

    /// Removes a report that no later step needs; one that is not here, or cannot be removed, is
    /// in nobody's way.
    pub fn remove(&self, digest: &Digest) {
        let _ = fs::remove_file(self.path(digest));
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}.json", digest.hex()))
    }
}
