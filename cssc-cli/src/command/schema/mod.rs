//! `cssc schema`: what the commands print and read as JSON.

use clap::{Args, ValueEnum};
use cssc_core::cycle::{CYCLE_SCHEMA, RESULT_SCHEMA};
use cssc_core::policy::POLICY_SCHEMA;
use serde_json::{Value, json};

use crate::exit::{Answer, Failure, Outcome};
use crate::output;

/// What the commands print; of each document its definition.
const OUTPUT_SCHEMA: &str = include_str!("output.schema.json");

/// Print the JSON Schema of a document that a command prints or reads
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// The document
    #[arg(value_name = "DOCUMENT")]
    document: Document,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Document {
    /// A policy
    Policy,
    /// What `dry-run` prints
    Plan,
    /// What `dry-run --explain` prints
    Explanation,
    /// What `dry-run --diff-dialects` prints
    Differences,
    /// What `config check` prints
    Check,
    /// What `schedule next` and `schedule calendar` print
    Next,
    /// What `tags list` prints
    Tags,
    /// What `tags latest` prints
    Latest,
    /// What `tags latest -` prints
    References,
    /// What `tags next` prints
    NextTag,
    /// What `image show` prints
    Story,
    /// What `policy show` prints
    StoredPolicy,
    /// What `workflow create`, `update` and `show` print
    Workflow,
    /// What `workflow cancel-run` prints
    Cancellation,
    /// What `workflow list` prints
    Images,
    /// What `workflow report --format json` prints, and `--on-end` passes on
    Report,
    /// What `task list-runs` prints
    Runs,
    /// What `doctor` prints
    Checks,
    /// Each line of `--log-format json`
    Log,
    /// What `cycle plan` writes
    Cycle,
    /// What `cycle run` writes
    Result,
}

pub(crate) fn run(schema: &Schema) -> Outcome {
    let mut out = output::stdout();
    match schema.document {
        Document::Policy => write!(out, "{POLICY_SCHEMA}")?,
        Document::Cycle => write!(out, "{CYCLE_SCHEMA}")?,
        Document::Result => write!(out, "{RESULT_SCHEMA}")?,
        document => {
            let value = document.to_possible_value();
            let name = value.as_ref().map_or("", |value| value.get_name());
            let schema = one(name).map_err(|error| Failure::new(error.to_string()))?;
            writeln!(out, "{schema:#}")?;
        }
    }
    out.flush()?;
    Ok(Answer::Yes)
}

/// The schema of one document, with all its parts.
fn one(name: &str) -> serde_json::Result<Value> {
    let mut schema: Value = serde_json::from_str(OUTPUT_SCHEMA)?;
    if let Some(schema) = schema.as_object_mut() {
        let id = format!("https://cssc-rs.github.io/cssc/{name}.schema.json");
        schema.insert("$id".to_owned(), json!(id));
        schema.insert("$ref".to_owned(), json!(format!("#/$defs/{name}")));
    }
    Ok(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_of_a_command_has_a_schema() {
        let all: Value = serde_json::from_str(OUTPUT_SCHEMA).unwrap();
        let documents: Vec<String> = all["$defs"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, schema)| schema["title"].is_string())
            .map(|(name, _)| name.clone())
            .collect();
        let others = [Document::Policy, Document::Cycle, Document::Result];
        let mut named: Vec<String> = Document::value_variants()
            .iter()
            .filter(|document| !others.contains(document))
            .map(|document| document.to_possible_value().unwrap().get_name().to_owned())
            .collect();
        named.sort();
        assert_eq!(named, documents);
    }
}
