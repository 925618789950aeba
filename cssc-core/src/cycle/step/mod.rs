//! The steps that runs are made of: what to do, as values that carry all they need.
//!
//! Whoever performs a step needs neither the cycle that issued it nor its state: a step can be
//! sent to another machine as JSON, and its outcome sent back. Every step can be done again.
//!
//! A new step is a file here with its struct and its outcome, a row in the table below, and a
//! file in whoever performs it.

mod attest;
mod candidate;
mod copy;
mod patch;
mod plan;
mod publish;
mod scan;
mod sign;
mod test;
mod verify;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::failure::StepFailure;
use super::id::Task;
use super::interrupt::Interrupt;

pub use attest::{Attach, AttestOutcome, AttestStep};
pub use candidate::Candidate;
pub use copy::{CopyContent, CopyOutcome, CopyStep, ManifestReplacement};
pub use patch::{BegunPublication, PatchOutcome, PatchRefusal, PatchStep};
pub use plan::{PinnedPolicy, PlanOutcome, PlanStep};
pub use publish::{PublishOutcome, PublishStep};
pub use scan::{ScanOutcome, ScanStep};
pub use sign::{SignOutcome, SignStep};
pub use test::{TestOutcome, TestStep};
pub use verify::{Comparison, VerifyOutcome, VerifyStep};

/// Everything there is to know of a kind of step stands in one row: its name, the task it belongs
/// to, what is done and what it comes to. The first row is done first when several runs are
/// ready: what is nearest to its end, so that images are finished one by one instead of all being
/// begun.
macro_rules! steps {
    ($($(#[$doc:meta])* $kind:ident $name:literal of $task:ident: $step:ty => $outcome:ty;)*) => {
        /// The kinds of steps. They order by what is done first when several are ready.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum StepKind {
            $($(#[$doc])* $kind,)*
        }

        impl StepKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// What is done, in a word: `scan`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The task whose runs have it.
            pub fn task(self) -> Task {
                match self {
                    $(Self::$kind => Task::$task,)*
                }
            }
        }

        /// What to do in one step.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", tag = "step")]
        #[non_exhaustive]
        pub enum Step {
            $($(#[$doc])* $kind($step),)*
        }

        impl Step {
            /// Which kind of step it is.
            pub fn kind(&self) -> StepKind {
                match self {
                    $(Self::$kind(_) => StepKind::$kind,)*
                }
            }
        }

        /// What a step came to: what it was meant to do, or why not.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub enum StepOutcome {
            $($(#[$doc])* $kind($outcome),)*
            /// The step failed.
            Failed(StepFailure),
            /// The step was ended from outside before it was done.
            Interrupted(Interrupt),
        }

        impl StepOutcome {
            /// The kind of step it is an outcome of; none for what any step may come to.
            pub fn kind(&self) -> Option<StepKind> {
                match self {
                    $(Self::$kind(_) => Some(StepKind::$kind),)*
                    Self::Failed(_) | Self::Interrupted(_) => None,
                }
            }
        }

        $(
            impl From<$step> for Step {
                fn from(step: $step) -> Self {
                    Self::$kind(step)
                }
            }

            impl From<$outcome> for StepOutcome {
                fn from(outcome: $outcome) -> Self {
                    Self::$kind(outcome)
                }
            }
        )*
    };
}

steps! {
    /// Writing the patch tag of an image.
    Publish "publish" of Patch: PublishStep => PublishOutcome;
    /// Having a program of the user's sign an image.
    Sign "sign" of Patch: SignStep => SignOutcome;
    /// Attaching evidence to an image.
    Attest "attest" of Patch: AttestStep => AttestOutcome;
    /// Copying into the registry what has passed the gate.
    Copy "copy" of Patch: CopyStep => CopyOutcome;
    /// Having a program of the user's try the candidate.
    Test "test" of Patch: TestStep => TestOutcome;
    /// Judging the candidate.
    Verify "verify" of Patch: VerifyStep => VerifyOutcome;
    /// Making the candidate.
    Patch "patch" of Patch: PatchStep => PatchOutcome;
    /// Scanning an image.
    Scan "scan" of Scan: ScanStep => ScanOutcome;
    /// Making the plan.
    Plan "plan" of Trigger: PlanStep => PlanOutcome;
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<StepFailure> for StepOutcome {
    fn from(failure: StepFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Interrupt> for StepOutcome {
    fn from(interrupt: Interrupt) -> Self {
        Self::Interrupted(interrupt)
    }
}
