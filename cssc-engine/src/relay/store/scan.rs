//! What an earlier process left in the folder.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use cssc_registry::Digest;

use super::Claim;
use super::index::{Entry, Index, Kind};

/// The most that is taken by default.
const MOST: u64 = 20 << 30;

/// Finds what is complete, and removes the rest. Content is verified when it is first used.
pub(super) fn scan(folder: &Path) -> io::Result<Index> {
    for entry in fs::read_dir(folder.join("partial"))? {
        fs::remove_file(entry?.path())?;
    }
    let mut found = Vec::new();
    for kind in [Kind::Blob, Kind::Manifest] {
        for algorithm in ["sha256", "sha512"] {
            let place = folder.join(kind.folder()).join(algorithm);
            each_file(&place, algorithm, &mut |digest, metadata| {
                let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push((changed, kind, digest, metadata.len()));
            })?;
        }
    }
    // What came last is most likely to be asked for again.
    found.sort_by_key(|one| one.0);
    let mut index = Index::default();
    for (_, kind, digest, size) in found {
        index.found(kind, digest, Entry::new(size, false));
    }
    keep(folder, &mut index)?;
    Ok(index)
}

fn each_file(
    folder: &Path,
    algorithm: &str,
    take: &mut dyn FnMut(Digest, fs::Metadata),
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        let metadata = entry.metadata()?;
        match format!("{algorithm}:{name}").parse() {
            Ok(digest) if metadata.is_file() => take(digest, metadata),
            // Not of the relay; to remove it is not for the relay either.
            _ => {}
        }
    }
    Ok(())
}

/// Marks what is to be kept; a mark of what is not there goes.
fn keep(folder: &Path, index: &mut Index) -> io::Result<()> {
    for entry in fs::read_dir(folder.join("kept"))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        let Ok(digest) = name.replacen('-', ":", 1).parse::<Digest>() else {
            continue;
        };
        let mut is_there = false;
        for kind in [Kind::Blob, Kind::Manifest] {
            if let Some(entry) = index.get(kind, &digest) {
                entry.claim(Claim::Kept);
                is_there = true;
            }
        }
        if !is_there {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Half of what is free, where what the relay holds already counts as free.
pub(super) fn default_space(folder: &Path, held: u64) -> u64 {
    (free(folder).saturating_add(held) >> 1).min(MOST)
}

#[cfg(unix)]
fn free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Unknown: the most is taken, and a full disk is an error in time.
#[cfg(not(unix))]
fn free(_: &Path) -> u64 {
    u64::MAX
}
