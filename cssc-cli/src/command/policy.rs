//! `cssc policy`: the policy that is stored in the registry itself.

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Args, Subcommand};
use cssc_engine::policy_artifact::{POLICY_REPOSITORY, POLICY_TAG, PolicyArtifact, PolicyDeletion};
use serde::Serialize;

use crate::args::{Format, FormatArgs, RegistryArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::{self, confirm};
use crate::registry::Registry;
use crate::source::{self, PolicySource};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the stored policy
    Show(Show),
    /// Store a policy in place of the one there
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
    /// The policy; `-` is standard input
    #[arg(long, value_name = "FILE")]
    config: PolicySource,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    registry: RegistryArgs,
    /// Do not ask
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
        out.write_all(&stored.policy)?;
        if !stored.policy.ends_with(b"\n") {
            writeln!(out)?;
        }
        out.flush()?;
        Ok(Answer::Yes)
    }
}

impl Push {
    fn run(&self) -> Outcome {
        if self.config.is_standard_input() && self.registry.reads_standard_input() {
            let message = "only one of policy and password can come from standard input";
            return Err(Failure::new(message));
        }
        let text = self.config.read()?;
        source::valid(&self.config.name(), &text)?;
        let registry = Registry::open(&self.registry)?;
        // The schedule of a workflow is kept with its policy.
        let annotations = PolicyArtifact::pull(registry.client())?
            .map(|stored| stored.annotations)
            .unwrap_or_default();
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
        registry.stored_artifact()?;
        let place = format!("{POLICY_REPOSITORY}:{POLICY_TAG}");
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
