//! What can be set for every tool.

use std::path::PathBuf;
use std::time::Duration;

/// How long one scan or one patch may take unless told: 30 minutes.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Which program to start, what to add to its arguments, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOptions {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub program: PathBuf,
    /// Arguments added to those the tool is given anyway; none by default.
    pub extra: Vec<String>,
    /// How long one scan or patch may take, [`DEFAULT_TIME_LIMIT`] by default.
    pub time_limit: Duration,
}

impl ToolOptions {
    /// The defaults, with this program.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            extra: Vec::new(),
            time_limit: DEFAULT_TIME_LIMIT,
        }
    }
}
