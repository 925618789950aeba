//! The commands, a file each.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod cycle;
pub(crate) mod doctor;
pub(crate) mod dry_run;
mod examples;
pub(crate) mod image;
pub(crate) mod man;
pub(crate) mod policy;
pub(crate) mod schedule;
pub(crate) mod schema;
pub(crate) mod tags;
pub(crate) mod task;
pub(crate) mod workflow;

use clap::{CommandFactory, Parser, Subcommand};

use crate::exit::Outcome;
use crate::output::LogArgs;

/// Keep the images of a registry free of known OS vulnerabilities.
///
/// A policy selects tags, a schedule triggers cycles, each cycle scans the newest patched
/// version of every image and, where something fixable is found, builds a patched image under a
/// new tag.
#[derive(Debug, Parser)]
#[command(name = "cssc", version, max_term_width = 100, infer_long_args = false)]
#[command(
    after_help = "Exit codes: 0 success; 1 the answer is no (invalid policy, failed \
    images, over the limit); 2 it could not be done (usage, I/O, registry).\n\
    Every option can be set by an environment variable: CSSC_ and its name in capitals, such as \
    CSSC_REGISTRY for --registry. The command line takes precedence over the environment."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check and write policies
    #[command(subcommand)]
    Config(config::Command),
    /// Show which images would be patched, under which tag, and when
    DryRun(dry_run::DryRun),
    /// Show when a workflow runs
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Answer questions about the tags of a repository
    #[command(subcommand)]
    Tags(tags::Command),
    /// Show what the registry records about an image and its patches
    #[command(subcommand)]
    Image(image::Command),
    /// Read and write the policy that is stored in a registry
    #[command(subcommand)]
    Policy(policy::Command),
    /// Run a policy on a schedule: scan, patch, publish
    #[command(subcommand)]
    Workflow(workflow::Command),
    /// Run one cycle on several machines: plan it, run its shards, finish it
    #[command(subcommand)]
    Cycle(cycle::Command),
    /// Show the runs of the tasks and their logs
    #[command(subcommand)]
    Task(task::Command),
    /// Check in advance what a cycle needs: registry, permissions, policy, tools
    Doctor(Box<doctor::Doctor>),
    /// Print the JSON Schema of a document that a command prints or reads
    Schema(schema::Schema),
    /// Print the completion script for a shell
    Completions(completions::Completions),
    /// Write the manual pages
    Man(man::Man),
}

/// The whole command line, as the parser knows it.
pub(crate) fn line() -> clap::Command {
    examples::add(Arguments::command())
}

/// Does what the arguments ask for.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    arguments.log.apply();
    match arguments.command {
        Command::Config(command) => config::run(command),
        Command::DryRun(command) => dry_run::run(&command),
        Command::Schedule(command) => schedule::run(&command),
        Command::Tags(command) => tags::run(&command),
        Command::Image(command) => image::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Workflow(command) => workflow::run(&command),
        Command::Cycle(command) => cycle::run(&command),
        Command::Task(command) => task::run(&command),
        Command::Doctor(command) => doctor::run(&command),
        Command::Schema(command) => schema::run(&command),
        Command::Completions(command) => completions::run(&command),
        Command::Man(command) => man::run(&command),
    }
}
