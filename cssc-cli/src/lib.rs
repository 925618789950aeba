//! Continuous patching of container images, on the command line.
//!
//! The command line only speaks: arguments in, text and JSON out. What is decided is decided in
//! `cssc-core`, what touches the world is done by `cssc-engine`.
#![forbid(unsafe_code)]

mod args;
mod command;
mod environment;
mod exit;
mod output;
mod registry;
mod running;
mod source;
mod values;

use std::ffi::OsString;

use clap::FromArgMatches;

use crate::command::Arguments;
use crate::environment::Environment;
use crate::exit::{Answer, Failure, Outcome};

/// Runs the command line: the first argument is the name of the program. Returns its exit code.
///
/// This is all of the program `cssc`, for whoever ships it in another form, such as the Python
/// package. It writes to the standard streams, and `workflow run` and `serve` react to SIGINT and
/// SIGTERM of the process: it is no library. Embed `cssc-engine` instead.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let environment = Environment::new(std::env::vars_os());
    let matches = environment
        .apply(command::line())
        .try_get_matches_from(&arguments);
    report(
        match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
            Ok(arguments) => command::run(arguments),
            Err(answer) => {
                let outcome = output::usage(&answer);
                if let Some(variable) = environment.blame(&answer, &arguments) {
                    output::note(&variable);
                }
                outcome
            }
        },
    )
}

/// Tells why a command failed, if there is somebody to tell, and gives the exit code.
fn report(result: Outcome) -> u8 {
    match result {
        Ok(Answer::Yes) | Err(Failure::OutputClosed) => 0,
        Ok(Answer::No) => 1,
        Ok(Answer::Incomplete) => 2,
        Err(Failure::No(message)) => {
            output::error(&message);
            1
        }
        Err(Failure::Message(message)) => {
            output::error(&message);
            2
        }
    }
}
