//! `cssc man`: the manual pages.

use std::path::PathBuf;

use clap::Args;

use crate::exit::{Answer, Failure, Outcome, OutputError};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder to write the pages of all commands to, such as `/usr/local/share/man/man1`;
    /// without it the page of `cssc` goes to standard output
    folder: Option<PathBuf>,
}

pub(crate) fn run(man: &Man) -> Outcome {
    let Some(folder) = &man.folder else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(super::line()).render(&mut page);
        rendered.map_err(OutputError)?;
        let mut out = output::stdout();
        out.write_all(&page)?;
        out.flush()?;
        return Ok(Answer::Yes);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(super::line(), folder))
        .map_err(|error| {
            let folder = folder.display();
            Failure::new(format!("cannot write manual pages to `{folder}`: {error}"))
        })?;
    Ok(Answer::Yes)
}
