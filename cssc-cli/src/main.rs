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
mod source;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    exit::report(match args::Arguments::try_parse() {
        Ok(arguments) => command::run(arguments.command),
        Err(answer) => output::usage(&answer),
    })
}
