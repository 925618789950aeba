//! What can go wrong with a tool.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::version::Version;

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ToolError(Box<Fault>);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(
        "cannot start `{program}`: there is no such program; install it or give its path with {option}"
    )]
    Missing { program: String, option: String },
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("`{program}` is version {found}, but {needed} or newer is needed")]
    TooOld {
        program: String,
        found: Version,
        needed: Version,
    },
    #[error("`{program}` did not end within {}", in_words(*.limit))]
    Timeout { program: String, limit: Duration },
    #[error("`{program}` was canceled")]
    Canceled { program: String },
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
    #[error("cannot {action} `{path}`: {source}")]
    File {
        action: &'static str,
        path: String,
        source: io::Error,
    },
}

impl ToolError {
    pub(super) fn start(program: &Path, option: &str, source: io::Error) -> Self {
        let program = program.display().to_string();
        Self::of(if source.kind() == io::ErrorKind::NotFound {
            let option = option.to_owned();
            Fault::Missing { program, option }
        } else {
            Fault::Start { program, source }
        })
    }

    pub(super) fn too_old(program: &Path, found: Version, needed: Version) -> Self {
        Self::of(Fault::TooOld {
            program: program.display().to_string(),
            found,
            needed,
        })
    }

    pub(super) fn timeout(program: &Path, limit: Duration) -> Self {
        let program = program.display().to_string();
        Self::of(Fault::Timeout { program, limit })
    }

    pub(super) fn canceled(program: &Path) -> Self {
        let program = program.display().to_string();
        Self::of(Fault::Canceled { program })
    }

    pub(super) fn failed(program: &Path, ending: String, said: &str) -> Self {
        Self::of(Fault::Failed {
            program: program.display().to_string(),
            ending,
            said: said.to_owned(),
        })
    }

    pub(super) fn no_report(program: &Path, report: &Path, said: &str) -> Self {
        Self::of(Fault::NoReport {
            program: program.display().to_string(),
            report: report.display().to_string(),
            said: said.to_owned(),
        })
    }

    pub(super) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::of(Fault::File {
            action,
            path: path.display().to_string(),
            source,
        })
    }

    fn of(fault: Fault) -> Self {
        Self(Box::new(fault))
    }

    /// Whether the program is not there or too old: no image will fare better.
    pub fn is_unusable(&self) -> bool {
        matches!(
            *self.0,
            Fault::Missing { .. } | Fault::Start { .. } | Fault::TooOld { .. }
        )
    }

    /// Whether the tool was ended because the work was canceled.
    pub fn is_canceled(&self) -> bool {
        matches!(*self.0, Fault::Canceled { .. })
    }

    /// Whether the tool was ended because its time was over.
    pub fn is_timeout(&self) -> bool {
        matches!(*self.0, Fault::Timeout { .. })
    }

    /// Whether the same call may go well another time.
    pub fn is_retryable(&self) -> bool {
        !self.is_unusable() && !self.is_canceled()
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
