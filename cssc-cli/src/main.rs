//! Continuous patching of container images, on the command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cssc_cli::run(std::env::args_os()))
}
