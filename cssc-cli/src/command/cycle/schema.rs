//! The JSON Schemas of what passes between the commands.

use clap::{Args, ValueEnum};
use cssc_core::cycle::{CYCLE_SCHEMA, RESULT_SCHEMA};

use crate::exit::{Answer, Outcome};
use crate::output;

/// Print the JSON Schema of a document
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// The document
    #[arg(value_name = "DOCUMENT", default_value = "cycle")]
    document: Document,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Document {
    /// What `cycle plan` writes
    Cycle,
    /// What `cycle run` writes
    Result,
}

impl Schema {
    pub(super) fn run(&self) -> Outcome {
        let mut out = output::stdout();
        let schema = match self.document {
            Document::Cycle => CYCLE_SCHEMA,
            Document::Result => RESULT_SCHEMA,
        };
        write!(out, "{schema}")?;
        out.flush()?;
        Ok(Answer::Yes)
    }
}
