//! Documents of a cycle as files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cssc_core::cycle::{CycleDocument, DocumentError, ShardResult};
use cssc_registry::atomic;
use serde::Serialize;

use crate::exit::Failure;

/// The most bytes of a document that are read: a cycle of a million images has less.
const MAX_LEN: u64 = 1 << 30;

/// The cycle document in a file.
pub(super) fn cycle(path: &Path) -> Result<CycleDocument, Failure> {
    read(path, CycleDocument::from_slice)
}

/// The result of a shard in a file.
pub(super) fn result(path: &Path) -> Result<ShardResult, Failure> {
    read(path, ShardResult::from_slice)
}

/// The result of a shard in a file, if that is there.
pub(super) fn result_if_there(path: &Path) -> Result<Option<ShardResult>, Failure> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        _ => result(path).map(Some),
    }
}

/// The results in files, and in the folders among them, also one folder further down: in whatever
/// way an engine hands them on.
pub(super) fn results(paths: &[PathBuf]) -> Result<Vec<ShardResult>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        add_files(path, 2, &mut files).map_err(|error| cannot_read(path, &error))?;
    }
    files.iter().map(|path| result(path)).collect()
}

fn add_files(path: &Path, depth: u32, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = path
        .read_dir()?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() && depth > 1 {
            add_files(&entry, depth.saturating_sub(1), files)?;
        } else if entry
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(entry);
        }
    }
    Ok(())
}

fn read<T>(path: &Path, parse: fn(&[u8]) -> Result<T, DocumentError>) -> Result<T, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_LEN).read_to_end(&mut bytes))
        .map_err(|error| cannot_read(path, &error))?;
    parse(&bytes).map_err(|error| Failure::new(format!("`{}`: {error}", path.display())))
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read `{}`: {error}", path.display()))
}

/// Writes a document in place of the one that is there: whoever is killed meanwhile leaves the old
/// one.
pub(super) fn write(path: &Path, document: &impl Serialize) -> Result<(), Failure> {
    let written = serde_json::to_vec(document)
        .map_err(io::Error::from)
        .and_then(|mut text| {
            text.push(b'\n');
            atomic::write(path, &text)
        });
    written.map_err(|error| Failure::new(format!("cannot write `{}`: {error}", path.display())))
}
