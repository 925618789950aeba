//! A folder that no path leads out of: links are followed and checked.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::RegistryError;

/// How long a write waits for another writer of the same layout.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
const LOCK_POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub(super) struct Tree {
    /// Absolute, without links.
    pub(super) root: PathBuf,
}

impl Tree {
    pub(super) fn open(root: &Path) -> Result<Self, RegistryError> {
        let cannot_open = |error: io::Error| {
            RegistryError::unavailable(format!(
                "cannot open the layouts in `{}`: {error}",
                root.display()
            ))
        };
        let path = root.canonicalize().map_err(cannot_open)?;
        if path.is_dir() {
            Ok(Self { root: path })
        } else {
            Err(cannot_open(io::ErrorKind::NotADirectory.into()))
        }
    }

    /// A path of the tree, links followed and checked. Nothing there is absent.
    pub(super) fn find(&self, path: &str) -> Result<PathBuf, RegistryError> {
        let path = self.root.join(path);
        let found = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                RegistryError::absent(format!("`{}` does not exist", path.display()))
            }
            _ => cannot_read(&path, &error),
        })?;
        self.check_inside(&path, &found)?;
        Ok(found)
    }

    /// Opens a file of at most `limit` bytes.
    pub(super) fn open_file(
        &self,
        path: &str,
        limit: u64,
    ) -> Result<(PathBuf, File), RegistryError> {
        let path = self.find(path)?;
        // Asked before opening: opening a pipe would wait for a writer.
        let metadata = fs::metadata(&path).map_err(|error| cannot_read(&path, &error))?;
        if !metadata.is_file() {
            return Err(RegistryError::answer(format!(
                "`{}` is not a file",
                path.display()
            )));
        }
        if metadata.len() > limit {
            return Err(too_large(&path, limit));
        }
        let file = File::open(&path).map_err(|error| cannot_read(&path, &error))?;
        Ok((path, file))
    }

    pub(super) fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let (path, file) = self.open_file(path, limit)?;
        let mut bytes = Vec::new();
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| cannot_read(&path, &error))?;
        Ok(bytes)
    }

    /// A folder in the tree, created if need be, each step checked for where it leads.
    pub(super) fn writable_directory(&self, path: &str) -> Result<PathBuf, RegistryError> {
        let mut directory = self.root.clone();
        for component in path.split('/') {
            directory.push(component);
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(cannot_write(&directory, &error));
                }
                _ => {}
            }
            self.refuse_outside(&directory)?;
        }
        Ok(directory)
    }

    /// Opens a file, creates it if need be, and locks it until what is returned is dropped: this is
    /// the only writer until then.
    pub(super) fn lock(&self, path: &Path) -> Result<File, RegistryError> {
        // A link that leads nowhere would have its target created.
        if path.is_symlink() {
            self.refuse_outside(path)?;
        }
        lock(path, LOCK_TIMEOUT)
    }

    /// Refuses a path that leads out of the tree, or nowhere.
    fn refuse_outside(&self, path: &Path) -> Result<(), RegistryError> {
        let found = path
            .canonicalize()
            .map_err(|error| cannot_write(path, &error))?;
        self.check_inside(path, &found)
    }

    fn check_inside(&self, path: &Path, found: &Path) -> Result<(), RegistryError> {
        if found.starts_with(&self.root) {
            return Ok(());
        }
        Err(RegistryError::answer(format!(
            "`{}` is a link that leads out of `{}`",
            path.display(),
            self.root.display()
        )))
    }
}

pub(super) fn lock(path: &Path, timeout: Duration) -> Result<File, RegistryError> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| cannot_write(path, &error))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < timeout => {
                thread::sleep(LOCK_POLL);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(RegistryError::unavailable(format!(
                    "`{}` is locked by another writer, for more than {} s",
                    path.display(),
                    timeout.as_secs()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(cannot_write(path, &error)),
        }
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> RegistryError {
    RegistryError::unavailable(format!("cannot read `{}`: {error}", path.display()))
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> RegistryError {
    RegistryError::unavailable(format!("cannot write `{}`: {error}", path.display()))
}

fn too_large(path: &Path, limit: u64) -> RegistryError {
    RegistryError::answer(format!(
        "`{}` is too large: at most {limit} bytes are read",
        path.display()
    ))
}
