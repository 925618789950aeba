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
    let arguments = args::Arguments::parse();
    let result = command::run(arguments.command);
    exit::report(result)
}
