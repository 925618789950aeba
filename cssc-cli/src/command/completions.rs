//! `cssc completions`: what a shell needs to complete a command line.

use clap::Args;
use clap_complete::Shell;

use crate::exit::{Answer, Outcome};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(completions: &Completions) -> Outcome {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut super::line(), "cssc", &mut script);
    let mut out = output::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Answer::Yes)
}
