//! Continuous patching of container images, on the command line.
//!
//! The command line only speaks: arguments in, text and JSON out. What is decided is decided in
//! `cssc-core`, what touches the world is done by `cssc-engine`.
#![forbid(unsafe_code)]

mod args;
mod command;
mod exit;
mod output;
mod registry;
mod running;
mod source;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Arguments;
use crate::exit::{Answer, Failure, Outcome};

fn main() -> ExitCode {
    report(match Arguments::try_parse() {
        Ok(arguments) => command::run(arguments.command),
        Err(answer) => output::usage(&answer),
    })
}

/// Tells why a command failed, if there is somebody to tell, and gives the exit code.
fn report(result: Outcome) -> ExitCode {
    match result {
        Ok(Answer::Yes) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Incomplete) => ExitCode::from(2),
        Err(Failure::No(message)) => {
            output::error(&message);
            ExitCode::from(1)
        }
        Err(Failure::Message(message)) => {
            output::error(&message);
            ExitCode::from(2)
        }
    }
}
