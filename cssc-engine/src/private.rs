//! Files and folders that are nobody else's business.

use std::fs;
use std::io;
use std::path::Path;

/// Makes the folder, with those above it, for this user alone; one that is there stays as it is.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Whether this is a folder of this user, and no link to one.
pub(crate) fn is_own_folder(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    let is_own =
        std::os::unix::fs::MetadataExt::uid(metadata) == rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    let is_own = true;
    metadata.is_dir() && is_own
}

/// For writing a file that, when it is made, is made for this user alone.
pub(crate) fn write_options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true);
    options
}
