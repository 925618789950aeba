//! `cssc policy`: the policy that is stored in the registry itself.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use clap::{Args, Subcommand};
use cssc_core::text::is_plain;
use cssc_engine::policy_artifact::{POLICY_REPOSITORY, POLICY_TAG, PolicyArtifact, PolicyDeletion};
use cssc_engine::workflow;
use serde::Serialize;

use crate::args::{ConfigArgs, Format, FormatArgs, LintArgs, RegistryArgs, TakeOverArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::{self, confirm};
use crate::registry::Registry;
use crate::source;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the stored policy
    Show(Show),
    /// Store a policy, replacing the current one
    Push(Push),
    /// Delete the stored policy
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    lints: LintArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    take_over: TakeOverArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    take_over: TakeOverArgs,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Show(show) => show.run(),
        Command::Push(push) => push.run(),
        Command::Delete(delete) => delete.run(),
    }
}

#[derive(Serialize)]
struct Stored<'a> {
    digest: String,
    annotations: &'a BTreeMap<String, String>,
    policy: serde_json::Value,
}

impl Show {
    fn run(&self) -> Outcome {
        let stored = Registry::open(&self.registry)?.stored_artifact()?;
        if self.format.output == Format::Json {
            let policy = serde_json::from_slice(&stored.policy)
                .map_err(|error| Failure::No(format!("the stored policy is not JSON: {error}")))?;
            output::json(&Stored {
                digest: stored.digest.to_string(),
                annotations: &stored.annotations,
                policy,
            })?;
            return Ok(Answer::Yes);
        }
        let mut out = output::stdout();
        if io::stdout().is_terminal() {
            out.write_all(printable(&stored.policy).as_bytes())?;
        } else {
            out.write_all(&stored.policy)?;
        }
        if !stored.policy.ends_with(b"\n") {
            writeln!(out)?;
        }
        out.flush()?;
        Ok(Answer::Yes)
    }
}

/// The text with control characters and such as turn the direction of text made visible: a
/// terminal would obey them.
fn printable(text: &[u8]) -> String {
    let mut printable = String::with_capacity(text.len());
    for char in String::from_utf8_lossy(text).chars() {
        if is_plain(char) || matches!(char, '\n' | '\t') {
            printable.push(char);
        } else {
            printable.extend(char.escape_unicode());
        }
    }
    printable
}

impl Push {
    fn run(&self) -> Outcome {
        let config = self.config.file()?;
        self.registry.check_standard_input(&config)?;
        let text = config.read()?;
        source::valid(&config.name(), &text, &self.lints.lints())?;
        let registry = Registry::open(&self.registry)?;
        workflow::check_ours(registry.client(), self.take_over.take_over)?;
        // The schedule of a workflow is kept with its policy.
        let mut annotations = PolicyArtifact::annotations(registry.client())?.unwrap_or_default();
        workflow::mark_as_ours(&mut annotations);
        let digest = PolicyArtifact::push(registry.client(), &text, &annotations)?;
        let mut out = output::stdout();
        writeln!(out, "{POLICY_REPOSITORY}:{POLICY_TAG}@{digest}")?;
        out.flush()?;
        Ok(Answer::Yes)
    }
}

impl Delete {
    fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let place = format!("{POLICY_REPOSITORY}:{POLICY_TAG}");
        if PolicyArtifact::annotations(registry.client())?.is_none() {
            return Err(registry.no_policy());
        }
        workflow::check_ours(registry.client(), self.take_over.take_over)?;
        if !self.yes && !confirm(&format!("delete `{place}`"))? {
            return Ok(Answer::No);
        }
        match PolicyArtifact::delete(registry.client())? {
            PolicyDeletion::Deleted => output::note(&format!("deleted `{place}`")),
            PolicyDeletion::Untagged { shared_with } => {
                let others: Vec<String> =
                    shared_with.iter().map(|tag| format!("`{tag}`")).collect();
                output::note(&format!(
                    "removed the tag `{place}`; its manifest stays, because it is also {}",
                    others.join(", ")
                ));
            }
        }
        Ok(Answer::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_terminal_is_told_nothing() {
        let text = b"{\n\t\"a\": \"\x1b]0;title\x07\", \"b\": \"\xe2\x80\xae\xff\"}\r\n";
        assert_eq!(
            printable(text),
            "{\n\t\"a\": \"\\u{1b}]0;title\\u{7}\", \"b\": \"\\u{202e}\u{fffd}\"}\\u{d}\n"
        );
    }
}
