//! Files that are there as a whole or not at all.

use std::io::{self, Read};
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file in place of the one that is there, if any. A failure leaves what was there, and
/// nothing beside it.
///
/// # Errors
///
/// Fails when the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    copy(path, bytes)
}

/// Writes all that `content` holds to a file, as [`write`] does.
///
/// # Errors
///
/// Fails when the content cannot be read or the file cannot be written.
pub fn copy(path: &Path, content: impl Read) -> io::Result<()> {
    prepared(path, content)?.persist(path)?;
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
fn prepared(path: &Path, mut content: impl Read) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".cssc-");
    // As other files are made, and not for one user alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    io::copy(&mut content, &mut file)?;
    file.as_file().sync_all()?;
    Ok(file)
}
