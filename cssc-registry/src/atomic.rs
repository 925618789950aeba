//! Files that are there as a whole or not at all.

use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file in place of the one that is there, if any. A failure leaves what was there, and
/// nothing beside it.
///
/// # Errors
///
/// Fails when the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    prepared(path, bytes)?.persist(path)?;
    Ok(())
}

/// Writes a file where there is none.
///
/// # Errors
///
/// Fails when there is one ([`io::ErrorKind::AlreadyExists`]), and as [`write`] does.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    prepared(path, bytes)?.persist_noclobber(path)?;
    Ok(())
}

/// The file, beside its place.
fn prepared(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".cssc-");
    // As other files are made, and not for one user alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}
