//! Who runs a workflow.

use std::fs::{File, OpenOptions, TryLockError};

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::params;

use super::{Store, StoreError, WorkflowId};

/// That this process alone runs a workflow, until it is dropped or the process dies.
#[derive(Debug)]
pub struct WorkflowLock {
    // The operating system gives the lock back with the file, also after a kill.
    _file: File,
}

impl Store {
    /// Takes the workflow for this process, unless another one has it.
    ///
    /// # Errors
    ///
    /// Fails when another process, or another part of this one, has it, and says which and
    /// since when ([`StoreError::is_held`]); and when the file cannot be written.
    pub fn lock(
        &self,
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<WorkflowLock, StoreError> {
        let mut path = self.path.clone().into_os_string();
        path.push(format!("-lock-{}", workflow.0));
        let path = std::path::PathBuf::from(path);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| StoreError::lock(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.held(workflow)?),
            Err(TryLockError::Error(error)) => return Err(StoreError::lock(&path, error)),
        }
        let (pid, since) = (
            std::process::id(),
            now.to_rfc3339_opts(SecondsFormat::Secs, true),
        );
        let holder = format!("process {pid} on `{}` since {since}", host());
        self.write(|transaction| {
            let sql = "UPDATE workflows SET holder = ?2 WHERE id = ?1";
            transaction.execute(sql, params![workflow.0, holder])
        })?;
        Ok(WorkflowLock { _file: file })
    }

    /// The error that names who has the workflow.
    fn held(&self, workflow: WorkflowId) -> Result<StoreError, StoreError> {
        let (key, holder): (String, Option<String>) = self.read(|connection| {
            let sql = "SELECT key, holder FROM workflows WHERE id = ?1";
            connection.query_row(sql, [workflow.0], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        let holder = holder.unwrap_or_else(|| "another process".to_owned());
        Ok(StoreError::held(key, holder))
    }
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
