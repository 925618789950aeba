//! Who runs a workflow.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cssc_core::schedule::rfc3339;
use rusqlite::params;

use super::{SqliteState, StateError, WorkflowId, WorkflowLock, changed};

/// For how long a lock that cannot be had is asked for again: whoever looks who holds it has it
/// for a moment.
const MOMENT: Duration = Duration::from_millis(100);

impl SqliteState {
    pub(super) fn take_lock(
        &self,
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<WorkflowLock, StateError> {
        let path = self.lock_path(workflow);
        let file = open(&path, true).map_err(|error| StateError::lock(&path, error))?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begin.elapsed() < MOMENT => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let (key, holder) = self.last_holder(workflow)?;
                    return Err(StateError::held(key, holder));
                }
                Err(TryLockError::Error(error)) => return Err(StateError::lock(&path, error)),
            }
        }
        let (pid, since) = (std::process::id(), rfc3339(now));
        let holder = format!("process {pid} on `{}` since {since}", host());
        let named = self.write(|transaction| {
            let sql = "UPDATE workflows SET holder = ?2 WHERE id = ?1";
            changed(transaction.execute(sql, params![workflow.0, holder])?)
        });
        if named.as_ref().is_err_and(StateError::is_gone) {
            self.remove_lock(workflow);
        }
        named?;
        // The operating system gives the lock back with the file, also after a kill.
        Ok(WorkflowLock::new(file))
    }

    pub(super) fn held_by(&self, workflow: WorkflowId) -> Result<Option<String>, StateError> {
        let path = self.lock_path(workflow);
        let file = match open(&path, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::lock(&path, error)),
        };
        // Shared, so that two who look are not in each other's way.
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(self.last_holder(workflow)?.1)),
            Err(TryLockError::Error(error)) => Err(StateError::lock(&path, error)),
        }
    }

    /// Removes the lock file of a workflow that was deleted: its identifier is not used again, so
    /// nobody can be misled by another file in its place.
    pub(super) fn remove_lock(&self, workflow: WorkflowId) {
        let _ = fs::remove_file(self.lock_path(workflow));
    }

    fn lock_path(&self, workflow: WorkflowId) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!("-lock-{}", workflow.0));
        path.into()
    }

    /// The key of the workflow, and who had it last.
    fn last_holder(&self, workflow: WorkflowId) -> Result<(String, String), StateError> {
        let (key, holder): (String, Option<String>) = self.read(|connection| {
            let sql = "SELECT key, holder FROM workflows WHERE id = ?1";
            connection.query_row(sql, [workflow.0], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        Ok((key, holder.unwrap_or_else(|| "another process".to_owned())))
    }
}

/// Opens the lock file, and not what a link in its place leads to: in a shared folder somebody
/// else may have put it, or a pipe, there.
fn open(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    if create {
        options.create(true).truncate(false).write(true);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
    }
    options.open(path)
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "this machine".to_owned())
}
