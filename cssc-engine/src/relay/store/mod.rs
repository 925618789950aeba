//! What the relay holds, on disk: bounded, and found again by the next process.
//!
//! ```text
//! blobs/<algorithm>/<digits>
//! manifests/<algorithm>/<digits>    the media type, a line feed, the bytes
//! kept/<algorithm>-<digits>         empty: this is not to be evicted
//! partial/<random>                  not complete; removed at the start
//! ```

mod index;
mod partial;
mod scan;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cssc_registry::digest::Hasher;
use cssc_registry::{Digest, MAX_MANIFEST_LEN, Manifest};

use super::failure::RelayError;
use super::random;
use crate::private;
pub(super) use index::Lease;
use index::{Entry, Index, Kind};
pub(super) use partial::Partial;

/// Room for the media type before a manifest.
const MAX_MEDIA_TYPE_LEN: u64 = 256;

/// What the relay holds.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    index: Mutex<Index>,
    pub(super) random: random::Source,
    /// Nothing is added any more: the folder may be another relay's by now.
    closed: AtomicBool,
}

/// Content that is held, and stays while this is there.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) lease: Lease,
}

/// Room for content that is still to come.
#[derive(Debug)]
pub(super) struct Room {
    store: Arc<Store>,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.store.index().release(self.bytes);
    }
}

impl Room {
    /// Makes it room for this many bytes in all; never smaller.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), RelayError> {
        let cost = index::cost(bytes);
        let more = cost.saturating_sub(self.bytes);
        self.store.take(more)?;
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }
}

impl Store {
    /// Opens the folder, with what is in it.
    pub(super) fn open(folder: &Path, space: Option<u64>) -> io::Result<Self> {
        for part in [
            "blobs/sha256",
            "blobs/sha512",
            "manifests/sha256",
            "manifests/sha512",
            "kept",
            "partial",
        ] {
            private::make_folder(&folder.join(part))?;
        }
        let found = scan::scan(folder)?;
        let space = space.unwrap_or_else(|| scan::default_space(folder, found.used()));
        let store = Self {
            folder: folder.to_owned(),
            index: Mutex::new(found.within(space)),
            random: random::Source::new()?,
            closed: AtomicBool::new(false),
        };
        // A limit that is lower than the last time; what must stay stays.
        drop(store.take(0));
        Ok(store)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, kind: Kind, digest: &Digest) -> PathBuf {
        let folder = self.folder.join(kind.folder());
        folder.join(digest.algorithm()).join(digest.hex())
    }

    fn marker(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}", digest.algorithm(), digest.hex());
        self.folder.join("kept").join(name)
    }

    /// How many bytes are held, as the limit counts them.
    pub(super) fn used(&self) -> u64 {
        self.index().used()
    }

    /// Room for this many bytes; what was not used for longest goes for it.
    pub(super) fn room(self: &Arc<Self>, bytes: u64) -> Result<Room, RelayError> {
        let bytes = index::cost(bytes);
        self.take(bytes)?;
        Ok(Room {
            store: Arc::clone(self),
            bytes,
        })
    }

    fn take(&self, bytes: u64) -> Result<(), RelayError> {
        let mut index = self.index();
        let evicted = index.take(bytes)?;
        // While the index is locked: nothing of the same name may be put there in between.
        for (kind, digest) in evicted {
            let _ = fs::remove_file(self.path(kind, &digest));
        }
        Ok(())
    }

    /// A file for what is still to come.
    pub(super) fn partial(&self) -> io::Result<Partial> {
        let name = self.random.text();
        Partial::create(self.folder.join("partial").join(name))
    }

    /// Adds a blob that was verified.
    pub(super) fn add_blob(
        &self,
        digest: &Digest,
        partial: Partial,
        size: u64,
        room: Room,
        claim: Claim,
    ) -> Result<(), RelayError> {
        self.add(Kind::Blob, digest, partial, size, room, claim)
    }

    /// Adds a manifest under a digest that was verified.
    pub(super) fn add_manifest(
        self: &Arc<Self>,
        digest: &Digest,
        manifest: &Manifest,
        claim: Claim,
    ) -> Result<(), RelayError> {
        let mut content = manifest.media_type.clone().into_bytes();
        content.push(b'\n');
        content.extend_from_slice(&manifest.bytes);
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let room = self.room(size)?;
        let mut partial = self.partial()?;
        partial.write(&content)?;
        self.add(Kind::Manifest, digest, partial, size, room, claim)
    }

    fn add(
        &self,
        kind: Kind,
        digest: &Digest,
        partial: Partial,
        size: u64,
        mut room: Room,
        claim: Claim,
    ) -> Result<(), RelayError> {
        if claim == Claim::Kept {
            self.mark(digest)?;
        }
        let mut index = self.index();
        if self.closed.load(Ordering::SeqCst) {
            return Err(io::Error::other("the relay has ended").into());
        }
        if let Some(entry) = index.get(kind, digest) {
            entry.claim(claim);
            drop(index);
            return Ok(());
        }
        let renamed = partial.keep_as(&self.path(kind, digest));
        if renamed.is_ok() {
            let given = std::mem::take(&mut room.bytes);
            index.release(given.saturating_sub(index::cost(size)));
            let mut entry = Entry::new(size, true);
            entry.claim(claim);
            index.insert(kind, digest.clone(), entry);
        }
        // The room locks the index when it goes.
        drop(index);
        Ok(renamed?)
    }

    /// A blob that is there.
    pub(super) fn blob(&self, digest: &Digest) -> Option<Held> {
        self.held(Kind::Blob, digest)
    }

    /// The file of a blob that is there.
    pub(super) fn blob_path(&self, digest: &Digest) -> Option<PathBuf> {
        self.blob(digest)?;
        Some(self.path(Kind::Blob, digest))
    }

    /// A manifest that is there.
    pub(super) fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        let held = self.held(Kind::Manifest, digest)?;
        let limit = MAX_MANIFEST_LEN.saturating_add(MAX_MEDIA_TYPE_LEN);
        let mut content = Vec::new();
        held.file.take(limit).read_to_end(&mut content).ok()?;
        split(&content)
    }

    fn held(&self, kind: Kind, digest: &Digest) -> Option<Held> {
        let (size, lease, verified) = self.index().open(kind, digest)?;
        let path = self.path(kind, digest);
        let file = File::open(&path)
            .ok()
            .filter(|file| verified || is_whole(kind, digest, file));
        // What a crash left damaged is not there.
        let Some(file) = file.and_then(|file| rewound(file).ok()) else {
            let mut index = self.index();
            if index.remove_opened(kind, digest, &lease) {
                let _ = fs::remove_file(&path);
            }
            return None;
        };
        if !verified && let Some(entry) = self.index().get(kind, digest) {
            entry.verified = true;
        }
        Some(Held { file, size, lease })
    }

    /// Gives back what a login claimed.
    pub(super) fn disclaim<'a>(
        &self,
        blobs: impl IntoIterator<Item = &'a Digest>,
        manifests: impl IntoIterator<Item = &'a Digest>,
    ) {
        let mut index = self.index();
        let blobs = blobs.into_iter().map(|digest| (Kind::Blob, digest));
        let manifests = manifests.into_iter().map(|digest| (Kind::Manifest, digest));
        for (kind, digest) in blobs.chain(manifests) {
            if let Some(entry) = index.get(kind, digest) {
                entry.disclaim();
            }
        }
    }

    /// Marks content to be kept, in this process and the next.
    ///
    /// Where the mark cannot be written the next process makes it again.
    pub(super) fn keep(&self, digest: &Digest) {
        let _ = self.mark(digest);
        let mut index = self.index();
        for kind in [Kind::Blob, Kind::Manifest] {
            if let Some(entry) = index.get(kind, digest) {
                entry.claim(Claim::Kept);
            }
        }
    }

    fn mark(&self, digest: &Digest) -> io::Result<()> {
        let mut options = private::write_options();
        options.create(true).open(self.marker(digest)).map(drop)
    }

    /// Lets content go that was kept.
    pub(super) fn forget(&self, digest: &Digest) {
        let _ = fs::remove_file(self.marker(digest));
        let mut index = self.index();
        for kind in [Kind::Blob, Kind::Manifest] {
            if let Some(entry) = index.get(kind, digest) {
                entry.kept = false;
            }
        }
    }
}

/// On whose account content stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// On no account: it may be evicted.
    None,
    /// A login's, for as long as that lives.
    Login,
    /// It is kept.
    Kept,
}

/// The digest of a file's content is checked.
fn is_whole(kind: Kind, digest: &Digest, file: &File) -> bool {
    let mut file = file;
    if kind == Kind::Manifest {
        let mut content = Vec::new();
        let is_read = file.read_to_end(&mut content).is_ok();
        return is_read
            && split(&content)
                .is_some_and(|manifest| cssc_registry::digest::matches(digest, &manifest.bytes));
    }
    has_digest(file, digest).unwrap_or(false)
}

/// Whether what is read has this digest.
pub(super) fn has_digest(mut content: impl Read, digest: &Digest) -> io::Result<bool> {
    let mut hasher = Hasher::new(digest);
    let mut piece = vec![0; 64 << 10];
    loop {
        match content.read(&mut piece)? {
            0 => return Ok(hasher.is(digest)),
            read => hasher.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

fn rewound(mut file: File) -> io::Result<File> {
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// Media type and bytes of a manifest.
fn split(content: &[u8]) -> Option<Manifest> {
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let (media_type, bytes) = content.split_at_checked(end)?;
    Some(Manifest {
        media_type: std::str::from_utf8(media_type).ok()?.to_owned(),
        bytes: bytes.get(1..)?.to_vec(),
    })
}
