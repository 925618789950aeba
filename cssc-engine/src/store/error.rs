//! What can go wrong with the state file.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

/// Why the state could not be read or written; names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(Box<Fault>);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("`{path}` is not a state file of cssc: move it away or give another one with --state")]
    NotOurs { path: String },
    #[error(
        "`{path}` was written by a newer cssc (format {found}, this one knows up to {known}): \
         use that version or give another file with --state"
    )]
    Newer {
        path: String,
        found: i64,
        known: usize,
    },
    #[error(
        "cannot write `{path}`: it is read-only; allow writing or give another file with --state"
    )]
    ReadOnly { path: String },
    #[error(
        "cannot write `{path}`: the disk is full; free some space and start again, what was recorded is kept"
    )]
    Full { path: String },
    #[error("cannot open `{path}`: {reason}; check the folder or give another file with --state")]
    CannotOpen { path: String, reason: String },
    #[error("`{path}` is busy: another process has been writing for too long; try again")]
    Busy { path: String },
    #[error(
        "`{path}` is damaged: {source}; restore it from a copy or give another file with --state"
    )]
    Damaged {
        path: String,
        source: rusqlite::Error,
    },
    #[error(
        "`{path}` holds a record that this version cannot read: {source}; use the version that \
         wrote it or give another file with --state"
    )]
    Record {
        path: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{path}` does not hold this any more: the workflow was deleted meanwhile")]
    Gone { path: String },
    #[error("cannot use `{path}`: {source}")]
    Other {
        path: String,
        source: rusqlite::Error,
    },
    #[error("cannot lock `{path}`: {source}")]
    Lock { path: String, source: io::Error },
    #[error("workflow `{workflow}` is run by {holder}")]
    Held { workflow: String, holder: String },
}

impl StoreError {
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.display().to_string();
        match source {
            rusqlite::Error::FromSqlConversionFailure(_, _, source) => {
                return Self::of(Fault::Record { path, source });
            }
            rusqlite::Error::QueryReturnedNoRows => return Self::of(Fault::Gone { path }),
            // The file that readers and the writer share is made longer by other means than the
            // others: where there is no room for it this is all that is said.
            rusqlite::Error::SqliteFailure(error, _)
                if error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE =>
            {
                return Self::of(Fault::Full { path });
            }
            _ => {}
        }
        Self::of(match source.sqlite_error_code() {
            // What is written refers to what is there.
            Some(ErrorCode::ConstraintViolation) => Fault::Gone { path },
            Some(ErrorCode::NotADatabase) => Fault::NotOurs { path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Fault::ReadOnly { path },
            Some(ErrorCode::DiskFull) => Fault::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::Busy { path },
            Some(ErrorCode::DatabaseCorrupt) => Fault::Damaged { path, source },
            Some(ErrorCode::CannotOpen) => Fault::CannotOpen {
                path,
                reason: "it is not there or may not be read".to_owned(),
            },
            _ => Fault::Other { path, source },
        })
    }

    pub(super) fn not_ours(path: &Path) -> Self {
        let path = path.display().to_string();
        Self::of(Fault::NotOurs { path })
    }

    pub(super) fn newer(path: &Path, found: i64, known: usize) -> Self {
        let path = path.display().to_string();
        Self::of(Fault::Newer { path, found, known })
    }

    pub(super) fn cannot_open(path: &Path, source: &io::Error) -> Self {
        Self::of(Fault::CannotOpen {
            path: path.display().to_string(),
            reason: source.to_string(),
        })
    }

    pub(super) fn lock(path: &Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        Self::of(Fault::Lock { path, source })
    }

    pub(super) fn held(workflow: String, holder: String) -> Self {
        Self::of(Fault::Held { workflow, holder })
    }

    fn of(fault: Fault) -> Self {
        Self(Box::new(fault))
    }

    /// Whether another process runs the workflow.
    pub fn is_held(&self) -> bool {
        matches!(*self.0, Fault::Held { .. })
    }

    /// Whether there is no room left for what was to be written.
    pub fn is_full(&self) -> bool {
        matches!(*self.0, Fault::Full { .. })
    }

    /// Whether what was to be changed was deleted meanwhile.
    pub fn is_gone(&self) -> bool {
        matches!(*self.0, Fault::Gone { .. })
    }

    /// Whether the file is none that this version can use: foreign, newer or damaged.
    pub fn is_unusable(&self) -> bool {
        matches!(
            *self.0,
            Fault::NotOurs { .. }
                | Fault::Newer { .. }
                | Fault::Damaged { .. }
                | Fault::Record { .. }
        )
    }
}
