//! Scan reports, kept from one step to the next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use cssc_core::Digest;

/// The scan reports of a cycle in a folder, by the digest of what was scanned and the date of the
/// database that it was scanned with: only scans with the same one can be compared.
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

    /// The report of what has this digest, made with this database.
    pub fn find(&self, digest: &Digest, database: Option<DateTime<Utc>>) -> Option<PathBuf> {
        let path = self.path(digest, database);
        path.is_file().then_some(path)
    }

    /// Keeps a report, which is moved here. It must have been read whole: what is found here can
    /// be relied on.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be written.
    pub fn keep(
        &self,
        digest: &Digest,
        database: Option<DateTime<Utc>>,
        report: &Path,
    ) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(digest, database);
        fs::rename(report, &path)?;
        Ok(path)
    }

    /// Removes a report that no later step needs; one that is not here, or cannot be removed, is
    /// in nobody's way.
    pub fn remove(&self, digest: &Digest, database: Option<DateTime<Utc>>) {
        let _ = fs::remove_file(self.path(digest, database));
    }

    fn path(&self, digest: &Digest, database: Option<DateTime<Utc>>) -> PathBuf {
        let database = database.map(|made| made.timestamp().to_string());
        let database = database.unwrap_or_default();
        self.folder
            .join(format!("{}-{database}.json", digest.hex()))
    }
}
