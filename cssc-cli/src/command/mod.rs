//! The commands, a file each.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dry_run;
pub(crate) mod man;
pub(crate) mod policy;
pub(crate) mod schedule;
pub(crate) mod tags;
pub(crate) mod task;
pub(crate) mod workflow;

use crate::args::Command;
use crate::exit::Outcome;

/// Does what the arguments ask for.
pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Config(command) => config::run(command),
        Command::DryRun(command) => dry_run::run(&command),
        Command::Schedule(command) => schedule::run(&command),
        Command::Tags(command) => tags::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Workflow(command) => workflow::run(&command),
        Command::Task(command) => task::run(&command),
        Command::Completions(command) => completions::run(&command),
        Command::Man(command) => man::run(&command),
    }
}
