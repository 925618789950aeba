//! Why an outcome was not taken.

use super::id::RunId;
use super::step::StepKind;

/// Why an outcome does not fit the cycle. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CycleError(Box<Repr>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Repr {
    #[error("there is no run `{0}` in this cycle")]
    UnknownRun(RunId),
    #[error("the run `{0}` was canceled: its outcome comes too late")]
    Canceled(RunId),
    #[error(
        "no outcome of attempt {1} of the run `{0}` is awaited: it was reported already, or never begun"
    )]
    NotAwaited(RunId, u32),
    #[error("the run `{0}` is at its step `{1}`, and the outcome is of another")]
    Mismatch(RunId, StepKind),
    #[error("the stored cycle cannot be read: {0}")]
    Stored(String),
}

/// Of what kind a [`CycleError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CycleErrorKind {
    /// The cycle has no such run.
    UnknownRun,
    /// The run was canceled before.
    Canceled,
    /// The outcome was reported already, or that of another attempt is awaited, or none.
    NotAwaited,
    /// The outcome belongs to another kind of step.
    Mismatch,
    /// Stored records do not make up a cycle.
    Stored,
}

impl CycleError {
    pub(super) fn unknown_run(run: RunId) -> Self {
        Self::of(Repr::UnknownRun(run))
    }

    pub(super) fn canceled(run: RunId) -> Self {
        Self::of(Repr::Canceled(run))
    }

    pub(super) fn not_awaited(run: RunId, attempt: u32) -> Self {
        Self::of(Repr::NotAwaited(run, attempt))
    }

    pub(super) fn mismatch(run: RunId, step: StepKind) -> Self {
        Self::of(Repr::Mismatch(run, step))
    }

    pub(super) fn stored(what: impl Into<String>) -> Self {
        Self::of(Repr::Stored(what.into()))
    }

    fn of(repr: Repr) -> Self {
        Self(Box::new(repr))
    }

    /// Of what kind the error is.
    pub fn kind(&self) -> CycleErrorKind {
        match *self.0 {
            Repr::UnknownRun(_) => CycleErrorKind::UnknownRun,
            Repr::Canceled(_) => CycleErrorKind::Canceled,
            Repr::NotAwaited(..) => CycleErrorKind::NotAwaited,
            Repr::Mismatch(..) => CycleErrorKind::Mismatch,
            Repr::Stored(_) => CycleErrorKind::Stored,
        }
    }
}
