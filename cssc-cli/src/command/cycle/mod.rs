//! `cssc cycle`: one cycle on several machines, whatever starts them.

mod document;
mod finish;
mod plan;
mod run;
mod schema;
mod shard;

use clap::Subcommand;
use cssc_core::cycle::DocumentError;

use crate::exit::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plan a cycle and write the document for the workers
    Plan(plan::Plan),
    /// Run one shard of a planned cycle
    Run(Box<run::Run>),
    /// Merge the results of the shards, clean up, and report
    Finish(finish::Finish),
    /// Print the JSON Schema of a document
    Schema(schema::Schema),
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Plan(plan) => plan.run(),
        Command::Run(run) => run.run(),
        Command::Finish(finish) => finish.run(),
        Command::Schema(schema) => schema.run(),
    }
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        Self::new(error.to_string())
    }
}
