//! What can go wrong with the state.

use std::io;
use std::path::Path;

use cssc_core::cycle::CycleId;
#[cfg(feature = "sqlite")]
use rusqlite::ErrorCode;

/// Why the state could not be read or written; names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StateError(Box<Repr>);

#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    not(feature = "sqlite"),
    expect(dead_code, reason = "most of it happens to files alone")
)]
enum Repr {
    #[error("`{path}` is not a state file of cssc: use another file")]
    NotOurs { path: String },
    #[error(
        "`{path}` was written by a newer cssc (format {found}, this one knows up to {known}): \
         use that version or another file"
    )]
    Newer {
        path: String,
        found: i64,
        known: usize,
    },
    #[error("cannot write `{path}`: it is read-only; allow writing or use another file")]
    ReadOnly { path: String },
    #[error(
        "cannot write `{path}`: the disk is full; free some space and start again; existing \
         records are kept"
    )]
    Full { path: String },
    #[error("cannot open `{path}`: {source}; check the folder or use another file")]
    CannotOpen {
        path: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{path}` is busy: another process has been writing for too long; try again")]
    Busy { path: String },
    #[error("`{path}` is damaged: {source}; restore it from a copy or use another file")]
    Damaged {
        path: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "`{path}` holds a record that this version cannot read: {source}; use the version that \
         wrote it or another file"
    )]
    Record {
        path: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the state no longer contains this: the workflow was deleted in the meantime")]
    Gone,
    #[error("cycle `{cycle}` already exists: give a new cycle a different identifier")]
    Begun { cycle: CycleId },
    #[error("there is no state file `{path}`")]
    Missing { path: String },
    #[error(
        "the state file `{path}` was removed or replaced while it was in use: its records are \
         lost; start again"
    )]
    Removed { path: String },
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "only Unix tells of owner and mode")
    )]
    #[error("`{path}` does not belong to this user: use a state file in your own folder")]
    Foreign { path: String },
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "only Unix tells of owner and mode")
    )]
    #[error(
        "other users can read or change `{path}` (mode {mode:04o}): set its mode to 0700, or use a \
         state file in another folder"
    )]
    Shared { path: String, mode: u32 },
    #[error("cannot make a folder in `{path}`: {why}; name another one in `TMPDIR`")]
    NoFolder { path: String, why: String },
    #[error("cannot use `{path}`: {source}")]
    Other {
        path: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot lock `{path}`: {source}")]
    Lock { path: String, source: io::Error },
    #[error("workflow `{workflow}` is run by {holder}")]
    Held { workflow: String, holder: String },
}

/// Of what kind a [`StateError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StateErrorKind {
    /// The file is none that this version can use: of something else, newer or damaged.
    Unusable,
    /// The file to be read is not there.
    Missing,
    /// The file was removed, or another one put in its place, while it was in use.
    Removed,
    /// The file cannot be opened, locked or written.
    File,
    /// The file or its folder belongs to somebody else, or others may write to it.
    Foreign,
    /// There is no room left for what was to be written.
    Full,
    /// Another process has been writing for too long.
    Busy,
    /// Another process runs the workflow.
    Held,
    /// What was to be changed was deleted meanwhile.
    Gone,
    /// A cycle with this identifier was begun before.
    Begun,
}

impl StateError {
    #[cfg(feature = "sqlite")]
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_IOERR_SHMSIZE};
        let path = path.display().to_string();
        let extended = source.sqlite_error().map(|error| error.extended_code);
        Self::of(match (source.sqlite_error_code(), extended) {
            // What is written refers to the cycle or run that it belongs to.
            (_, Some(SQLITE_CONSTRAINT_FOREIGNKEY)) => Repr::Gone,
            // The file that readers and the writer share is made longer by other means than the
            // others: where there is no room for it this is all that is said.
            (_, Some(SQLITE_IOERR_SHMSIZE)) | (Some(ErrorCode::DiskFull), _) => Repr::Full { path },
            (Some(ErrorCode::NotADatabase), _) => Repr::NotOurs { path },
            (Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied), _) => Repr::ReadOnly { path },
            (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => Repr::Busy { path },
            (Some(ErrorCode::DatabaseCorrupt), _) => Repr::Damaged {
                path,
                source: source.into(),
            },
            (Some(ErrorCode::CannotOpen), _) => Repr::CannotOpen {
                path,
                source: "it does not exist or cannot be read".into(),
            },
            _ => match source {
                rusqlite::Error::FromSqlConversionFailure(_, _, source) => {
                    Repr::Record { path, source }
                }
                rusqlite::Error::QueryReturnedNoRows => Repr::Gone,
                source => Repr::Other {
                    path,
                    source: source.into(),
                },
            },
        })
    }

    pub(super) fn begun(cycle: CycleId) -> Self {
        Self::of(Repr::Begun { cycle })
    }

    pub(super) fn gone() -> Self {
        Self::of(Repr::Gone)
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn missing(path: &Path) -> Self {
        let path = path.display().to_string();
        Self::of(Repr::Missing { path })
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn removed(path: &Path) -> Self {
        let path = path.display().to_string();
        Self::of(Repr::Removed { path })
    }

    /// The folder or file at `path` belongs to somebody else.
    #[cfg(unix)]
    pub(crate) fn foreign(path: &Path) -> Self {
        let path = path.display().to_string();
        Self::of(Repr::Foreign { path })
    }

    /// Others than this user have access to the folder at `path`.
    #[cfg(unix)]
    pub(crate) fn shared(path: &Path, mode: u32) -> Self {
        let path = path.display().to_string();
        Self::of(Repr::Shared { path, mode })
    }

    /// There can be no folder among the temporary files, at `path`.
    pub(super) fn no_folder(path: &Path, error: &io::Error) -> Self {
        let path = path.display().to_string();
        let why = error.to_string();
        Self::of(Repr::NoFolder { path, why })
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn not_ours(path: &Path) -> Self {
        let path = path.display().to_string();
        Self::of(Repr::NotOurs { path })
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn newer(path: &Path, found: i64, known: usize) -> Self {
        let path = path.display().to_string();
        Self::of(Repr::Newer { path, found, known })
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn cannot_open(path: &Path, source: io::Error) -> Self {
        Self::of(Repr::CannotOpen {
            path: path.display().to_string(),
            source: source.into(),
        })
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn lock(path: &Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        Self::of(Repr::Lock { path, source })
    }

    pub(super) fn held(workflow: String, holder: String) -> Self {
        Self::of(Repr::Held { workflow, holder })
    }

    fn of(repr: Repr) -> Self {
        Self(Box::new(repr))
    }

    /// Of what kind the error is.
    pub fn kind(&self) -> StateErrorKind {
        match *self.0 {
            Repr::NotOurs { .. }
            | Repr::Newer { .. }
            | Repr::Damaged { .. }
            | Repr::Record { .. } => StateErrorKind::Unusable,
            Repr::Missing { .. } => StateErrorKind::Missing,
            Repr::Removed { .. } => StateErrorKind::Removed,
            Repr::ReadOnly { .. }
            | Repr::CannotOpen { .. }
            | Repr::NoFolder { .. }
            | Repr::Other { .. }
            | Repr::Lock { .. } => StateErrorKind::File,
            Repr::Foreign { .. } | Repr::Shared { .. } => StateErrorKind::Foreign,
            Repr::Full { .. } => StateErrorKind::Full,
            Repr::Busy { .. } => StateErrorKind::Busy,
            Repr::Held { .. } => StateErrorKind::Held,
            Repr::Gone => StateErrorKind::Gone,
            Repr::Begun { .. } => StateErrorKind::Begun,
        }
    }

    /// Whether another process runs the workflow.
    pub fn is_held(&self) -> bool {
        self.kind() == StateErrorKind::Held
    }

    /// Whether the file to be read is not there.
    pub fn is_missing(&self) -> bool {
        self.kind() == StateErrorKind::Missing
    }

    /// Whether what was to be changed was deleted meanwhile.
    pub fn is_gone(&self) -> bool {
        self.kind() == StateErrorKind::Gone
    }
}
