//! A folder for files of runs, where the state has no place of its own.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::private;

const PREFIX: &str = "cssc-";
const SUFFIX: &str = "-work";
/// The file in it that is locked as long as the process lives that has made the folder.
const LOCK: &str = "lock";

/// A folder among the temporary files that no other state has, and that ends with this one.
#[derive(Debug)]
pub(super) struct TemporaryFolder {
    folder: TempDir,
    _lock: File,
}

impl TemporaryFolder {
    pub(super) fn create() -> io::Result<Self> {
        Self::create_in(&env::temp_dir())
    }

    fn create_in(parent: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        loop {
            let folder = builder.tempdir_in(parent)?;
            let path = folder.path().join(LOCK);
            let lock = File::create_new(&path)?;
            lock.lock()?;
            // Somebody may have found it before it was locked, and taken it for abandoned.
            if path.exists() {
                return Ok(Self {
                    folder,
                    _lock: lock,
                });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The folders of this user whose processes were killed. Nobody else takes one as long as its lock
/// is held.
pub(crate) fn abandoned_folders() -> Vec<(PathBuf, File)> {
    abandoned_in(&env::temp_dir())
}

fn abandoned_in(parent: &Path) -> Vec<(PathBuf, File)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(PREFIX) && name.ends_with(SUFFIX)
    });
    let folders = named.map(|entry| entry.path());
    let own = folders.filter(|folder| {
        fs::symlink_metadata(folder).is_ok_and(|folder| private::is_own_folder(&folder))
    });
    own.filter_map(|folder| {
        let lock = File::open(folder.join(LOCK)).ok()?;
        lock.try_lock().ok()?;
        Some((folder, lock))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl TemporaryFolder {
        /// As when the process is killed: the lock is gone, and the folder stays.
        fn kill(self) -> PathBuf {
            self.folder.keep()
        }
    }

    #[test]
    fn one_is_abandoned_when_nobody_holds_its_lock() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = || -> Vec<PathBuf> {
            let found = abandoned_in(parent.path()).into_iter();
            found.map(|(folder, _)| folder).collect()
        };
        let lives = TemporaryFolder::create_in(parent.path()).unwrap();
        let other = TemporaryFolder::create_in(parent.path()).unwrap();
        assert_ne!(lives.path(), other.path());
        // Somebody else's, and one that is about to be locked.
        fs::create_dir(parent.path().join("other-work")).unwrap();
        fs::create_dir(parent.path().join("cssc-0-work")).unwrap();
        assert_eq!(abandoned(), Vec::<PathBuf>::new());

        let killed = other.kill();
        assert_eq!(abandoned(), [killed]);

        let path = lives.path().to_owned();
        drop(lives);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join(LOCK), "").unwrap();
        let link = parent.path().join("cssc-link-work");
        std::os::unix::fs::symlink(elsewhere.path(), link).unwrap();
        assert!(abandoned_in(parent.path()).is_empty());
    }
}
