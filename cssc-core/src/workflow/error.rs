//! Why an outcome was not taken.

use super::id::RunId;

/// Why an outcome does not fit the cycle. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CycleError(Box<Fault>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("there is no run `{0}` in this cycle")]
    UnknownRun(RunId),
    #[error("the run `{0}` was canceled: its outcome comes too late")]
    Canceled(RunId),
    #[error(
        "no outcome of attempt {1} of the run `{0}` is awaited: it was reported already, or never begun"
    )]
    NotAwaited(RunId, u32),
    #[error("the run `{0}` is at its step `{1}`, and the outcome is of another")]
    Mismatch(RunId, &'static str),
    #[error("the stored cycle cannot be read: {0}")]
    Stored(String),
}

impl CycleError {
    pub(super) fn unknown_run(run: RunId) -> Self {
        Self::of(Fault::UnknownRun(run))
    }

    pub(super) fn canceled(run: RunId) -> Self {
        Self::of(Fault::Canceled(run))
    }

    pub(super) fn not_awaited(run: RunId, attempt: u32) -> Self {
        Self::of(Fault::NotAwaited(run, attempt))
    }

    pub(super) fn mismatch(run: RunId, step: &'static str) -> Self {
        Self::of(Fault::Mismatch(run, step))
    }

    pub(super) fn stored(what: impl Into<String>) -> Self {
        Self::of(Fault::Stored(what.into()))
    }

    fn of(fault: Fault) -> Self {
        Self(Box::new(fault))
    }

    /// Whether the cycle has no such run.
    pub fn is_unknown_run(&self) -> bool {
        matches!(*self.0, Fault::UnknownRun(_))
    }

    /// Whether the run was canceled before.
    pub fn is_canceled(&self) -> bool {
        matches!(*self.0, Fault::Canceled(_))
    }

    /// Whether the outcome was reported already, or that of another attempt is awaited, or none.
    pub fn is_not_awaited(&self) -> bool {
        matches!(*self.0, Fault::NotAwaited(..))
    }

    /// Whether the outcome belongs to another kind of step.
    pub fn is_mismatch(&self) -> bool {
        matches!(*self.0, Fault::Mismatch(..))
    }

    /// Whether stored records do not make up a cycle.
    pub fn is_stored(&self) -> bool {
        matches!(*self.0, Fault::Stored(_))
    }
}
