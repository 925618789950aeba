//! `cssc man`: the manual pages.

use std::path::PathBuf;

use clap::Args;

use crate::exit::{Answer, Failure, Outcome};

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder to write the pages to, such as `/usr/local/share/man/man1`
    folder: PathBuf,
}

pub(crate) fn run(man: &Man) -> Outcome {
    let folder = man.folder.display();
    std::fs::create_dir_all(&man.folder)
        .and_then(|()| clap_mangen::generate_to(super::line(), &man.folder))
        .map_err(|error| {
            Failure::new(format!("cannot write manual pages to `{folder}`: {error}"))
        })?;
    Ok(Answer::Yes)
}
