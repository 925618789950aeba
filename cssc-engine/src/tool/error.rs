//! What can go wrong with a tool.

use std::io;
use std::path::Path;
use std::time::Duration;

use cssc_core::cycle::Interrupt;
use cssc_core::scan::ScanError;
use cssc_core::workflow::PatcherKind;

use super::version::Version;

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ToolError(Box<Repr>);

/// Of what kind a [`ToolError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolErrorKind {
    /// There is no such program.
    NotFound,
    /// The program is there and cannot be started.
    CannotStart,
    /// The program is older than what is needed.
    TooOld,
    /// It was not said which program to use.
    NotConfigured,
    /// The program does not take what the registry needs, or the image.
    Unsupported,
    /// The program was ended because its time was over.
    TimedOut,
    /// The program was ended from outside.
    Interrupted,
    /// The program says that it failed, or a signal ended it.
    Failed,
    /// The program ended without the report it was to write.
    NoReport,
    /// The program left a report that is none.
    BadReport,
    /// A file of the job could not be read or written.
    File,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("cannot start `{program}`: there is no such program; install it or give its path")]
    Missing { program: String },
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("`{program}` is version {found}, but {needed} or newer is needed")]
    TooOld {
        program: String,
        found: Version,
        needed: Version,
    },
    #[error("the workflow patches with `{kind}`, and no program is given for it")]
    NotConfigured { kind: PatcherKind },
    #[error("`{program}` cannot do this: {why}")]
    Cannot { program: String, why: String },
    #[error("`{program}` did not end within {}", in_words(*.limit))]
    Timeout { program: String, limit: Duration },
    #[error("`{program}` was ended: {interrupt}")]
    Interrupted {
        program: String,
        interrupt: Interrupt,
    },
    #[error("`{program}` {ending}{}", after_colon(.said))]
    Failed {
        program: String,
        ending: String,
        said: String,
    },
    #[error("`{program}` ended without the report `{report}`{}", after_colon(.said))]
    NoReport {
        program: String,
        report: String,
        said: String,
    },
    #[error("`{program}` left a report that cannot be read: {reason}")]
    BadReport { program: String, reason: String },
    #[error("cannot {action} `{path}`: {source}")]
    File {
        action: &'static str,
        path: String,
        source: io::Error,
    },
}

impl ToolError {
    pub(super) fn start(program: &Path, source: io::Error) -> Self {
        let program = program.display().to_string();
        Self::of(if source.kind() == io::ErrorKind::NotFound {
            Repr::Missing { program }
        } else {
            Repr::Start { program, source }
        })
    }

    pub(super) fn too_old(program: &Path, found: Version, needed: Version) -> Self {
        Self::of(Repr::TooOld {
            program: program.display().to_string(),
            found,
            needed,
        })
    }

    /// That no program is given for a patcher that a workflow names.
    pub fn not_configured(kind: PatcherKind) -> Self {
        Self::of(Repr::NotConfigured { kind })
    }

    /// That no other attempt will fare better, and why.
    pub(super) fn cannot(program: &Path, why: impl Into<String>) -> Self {
        Self::of(Repr::Cannot {
            program: program.display().to_string(),
            why: why.into(),
        })
    }

    pub(super) fn timeout(program: &Path, limit: Duration) -> Self {
        let program = program.display().to_string();
        Self::of(Repr::Timeout { program, limit })
    }

    pub(super) fn interrupted(program: &Path, interrupt: Interrupt) -> Self {
        let program = program.display().to_string();
        Self::of(Repr::Interrupted { program, interrupt })
    }

    pub(super) fn failed(program: &Path, ending: String, said: &str) -> Self {
        Self::of(Repr::Failed {
            program: program.display().to_string(),
            ending,
            said: said.to_owned(),
        })
    }

    pub(super) fn no_report(program: &Path, report: &Path, said: &str) -> Self {
        Self::of(Repr::NoReport {
            program: program.display().to_string(),
            report: report.display().to_string(),
            said: said.to_owned(),
        })
    }

    pub(super) fn bad_report(program: &Path, error: &ScanError) -> Self {
        Self::of(Repr::BadReport {
            program: program.display().to_string(),
            reason: error.to_string(),
        })
    }

    pub(super) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::of(Repr::File {
            action,
            path: path.display().to_string(),
            source,
        })
    }

    fn of(repr: Repr) -> Self {
        Self(Box::new(repr))
    }

    /// Of what kind it is.
    pub fn kind(&self) -> ToolErrorKind {
        match *self.0 {
            Repr::Missing { .. } => ToolErrorKind::NotFound,
            Repr::Start { .. } => ToolErrorKind::CannotStart,
            Repr::TooOld { .. } => ToolErrorKind::TooOld,
            Repr::NotConfigured { .. } => ToolErrorKind::NotConfigured,
            Repr::Cannot { .. } => ToolErrorKind::Unsupported,
            Repr::Timeout { .. } => ToolErrorKind::TimedOut,
            Repr::Interrupted { .. } => ToolErrorKind::Interrupted,
            Repr::Failed { .. } => ToolErrorKind::Failed,
            Repr::NoReport { .. } => ToolErrorKind::NoReport,
            Repr::BadReport { .. } => ToolErrorKind::BadReport,
            Repr::File { .. } => ToolErrorKind::File,
        }
    }

    /// The program as it was named, or the patcher; none where a file is to blame.
    pub fn tool(&self) -> Option<&str> {
        match &*self.0 {
            Repr::Missing { program }
            | Repr::Start { program, .. }
            | Repr::TooOld { program, .. }
            | Repr::Cannot { program, .. }
            | Repr::Timeout { program, .. }
            | Repr::Interrupted { program, .. }
            | Repr::Failed { program, .. }
            | Repr::NoReport { program, .. }
            | Repr::BadReport { program, .. } => Some(program),
            Repr::NotConfigured { kind } => Some(kind.as_str()),
            Repr::File { .. } => None,
        }
    }

    /// Whether the program is not there, too old or not fit for the login or the image: no
    /// other try will fare better.
    pub fn is_unusable(&self) -> bool {
        matches!(
            self.kind(),
            ToolErrorKind::NotFound
                | ToolErrorKind::CannotStart
                | ToolErrorKind::TooOld
                | ToolErrorKind::NotConfigured
                | ToolErrorKind::Unsupported
        )
    }

    /// Why the tool was ended from outside, if it was.
    pub fn interrupt(&self) -> Option<Interrupt> {
        match *self.0 {
            Repr::Interrupted { interrupt, .. } => Some(interrupt),
            _ => None,
        }
    }

    /// Whether the same call may go well another time.
    pub fn is_retryable(&self) -> bool {
        !self.is_unusable() && self.interrupt().is_none()
    }
}

fn in_words(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (0, millis) => format!("{millis} ms"),
        (seconds, _) if seconds % 60 == 0 => format!("{} min", seconds / 60),
        (seconds, _) => format!("{seconds} s"),
    }
}

fn after_colon(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}
