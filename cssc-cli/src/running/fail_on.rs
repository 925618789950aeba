//! Outcomes that are to fail a cycle which did all it could.

use clap::{Args, ValueEnum};
use cssc_core::cycle::{ImageOutcome, Summary};

use crate::exit::Answer;
use crate::output;

/// Outcomes that are to fail a cycle which did all it could.
#[derive(Debug, Args)]
pub(crate) struct FailOnArgs {
    /// Exit with 1 if any image has one of these outcomes: `vulnerable`, `end-of-life`,
    /// `unsupported`, `left-out`; separated by commas
    #[arg(long, value_name = "OUTCOMES", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A fixable finding is left
    Vulnerable,
    /// Its operating system is no longer supported
    EndOfLife,
    /// The scanner cannot analyze it
    Unsupported,
    /// The policy selects it, and the cycle does not cover it
    LeftOut,
}

impl FailOn {
    fn outcome(self) -> ImageOutcome {
        match self {
            Self::Vulnerable => ImageOutcome::Vulnerable,
            Self::EndOfLife => ImageOutcome::EndOfLife,
            Self::Unsupported => ImageOutcome::Unsupported,
            Self::LeftOut => ImageOutcome::LeftOut,
        }
    }
}

impl FailOnArgs {
    /// The answer, unless an image has one of the outcomes.
    pub(crate) fn apply(&self, answer: Answer, summary: &Summary) -> Answer {
        let mut is_refused = false;
        for outcome in self.fail_on.iter().map(|fail_on| fail_on.outcome()) {
            let count = summary.of(outcome);
            if count > 0 {
                let images = output::noun(count, "image");
                output::error(&format!("{images} {outcome} (--fail-on)"));
                is_refused = true;
            }
        }
        match answer {
            Answer::Yes if is_refused => Answer::No,
            answer => answer,
        }
    }
}
