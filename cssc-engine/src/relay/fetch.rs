//! Blobs that come from a registry: each once, however many ask for it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cssc_registry::{BlobReader, Descriptor, Digest, RegistryError};
use tokio::sync::watch;

use super::calls::Origin;
use super::failure::{RelayError, RelayFailure};
use super::figures;
use super::grants::LoginState;
use super::service::Service;
use super::store::{Claim, Held, Partial, Room};

/// How much is read at once.
pub(super) const PIECE: usize = 64 << 10;

/// How far a fetch is.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    /// The registry has not answered.
    Opening,
    /// This many bytes can be read.
    Came(u64),
    /// All of it can be read, and is what it should be.
    Complete,
    /// Nothing more comes.
    Failed(RelayFailure),
}

/// A blob that is coming.
#[derive(Debug)]
pub(super) struct Fetch {
    origin: Arc<Origin>,
    pub(super) blob: Descriptor,
    /// What came so far.
    pub(super) file: Arc<File>,
    pub(super) progress: watch::Receiver<Progress>,
    /// The logins that asked for it.
    wanted: Mutex<Vec<Weak<LoginState>>>,
}

impl Fetch {
    /// Waits until the registry has answered.
    pub(super) async fn opened(&self) -> Result<(), RelayFailure> {
        let mut progress = self.progress.clone();
        let opened = progress.wait_for(|progress| !matches!(progress, Progress::Opening));
        match opened.await.as_deref() {
            Ok(Progress::Failed(failure)) => Err(failure.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(unfinished()),
        }
    }

    /// Whether the same was asked of the same.
    pub(super) fn is_of(&self, origin: &Origin, blob: &Descriptor) -> bool {
        self.origin.name == origin.name && self.blob.size == blob.size
    }

    fn want(&self, login: &Arc<LoginState>) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|one| one.strong_count() > 0);
        if !wanted.iter().any(|one| one.as_ptr() == Arc::as_ptr(login)) {
            wanted.push(Arc::downgrade(login));
        }
    }

    /// Whether a login that asked for it is still there.
    fn is_wanted(&self) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut logins = wanted.iter().filter_map(Weak::upgrade);
        logins.any(|login| !login.is_revoked())
    }
}

/// The blobs that are coming.
#[derive(Debug, Default)]
pub(super) struct Fetches(Mutex<HashMap<Digest, Arc<Fetch>>>);

/// A blob that can be read.
#[derive(Debug)]
pub(super) enum Found {
    /// It is held.
    Held(Held),
    /// It is coming.
    Coming(Arc<Fetch>),
    /// There is no room to hold it.
    NoRoom,
}

impl Fetches {
    fn running(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Fetch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds a blob, and has it fetched where it is neither held nor coming. Blocks.
pub(super) fn find(
    service: &Arc<Service>,
    login: &Arc<LoginState>,
    origin: &Arc<Origin>,
    blob: &Descriptor,
) -> Result<Found, RelayFailure> {
    if let Some(held) = service.store.blob(&blob.digest) {
        return Ok(Found::Held(held));
    }
    let mut running = service.fetches.running();
    if let Some(fetch) = running.get(&blob.digest) {
        fetch.want(login);
        return Ok(Found::Coming(Arc::clone(fetch)));
    }
    // It may have come in between.
    if let Some(held) = service.store.blob(&blob.digest) {
        return Ok(Found::Held(held));
    }
    let Ok(room) = service.store.room(blob.size) else {
        return Ok(Found::NoRoom);
    };
    let partial = service.store.partial().map_err(RelayError::Disk)?;
    let (sender, progress) = watch::channel(Progress::Opening);
    let fetch = Arc::new(Fetch {
        origin: Arc::clone(origin),
        blob: blob.clone(),
        file: Arc::new(partial.reader().map_err(RelayError::Disk)?),
        progress,
        wanted: Mutex::default(),
    });
    fetch.want(login);
    running.insert(blob.digest.clone(), Arc::clone(&fetch));
    let running = Running {
        service: Arc::clone(service),
        fetch: Arc::clone(&fetch),
        progress: sender,
        failure: unfinished(),
    };
    tokio::spawn(running.run(partial, room));
    Ok(Found::Coming(fetch))
}

/// A fetch that is being done.
struct Running {
    service: Arc<Service>,
    fetch: Arc<Fetch>,
    progress: watch::Sender<Progress>,
    failure: RelayFailure,
}

impl Running {
    async fn run(mut self, partial: Partial, room: Room) {
        let Ok(permit) = Arc::clone(&self.service.calls.registry)
            .acquire_owned()
            .await
        else {
            return;
        };
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            match self.fetch_all(partial, room) {
                Ok(()) => drop(self.progress.send_replace(Progress::Complete)),
                Err(failure) => self.fail(failure),
            }
        });
    }

    fn fetch_all(&self, mut partial: Partial, room: Room) -> Result<(), RelayFailure> {
        let Fetch { origin, blob, .. } = &*self.fetch;
        let mut reader = origin.client.open_blob(&origin.repository, blob)?;
        self.progress.send_replace(Progress::Came(0));
        let mut piece = vec![0; PIECE];
        let mut came: u64 = 0;
        while let Some(bytes) = read(&mut reader, &mut piece)? {
            figures::add(&self.service.counters.fetched, bytes.len());
            partial.write(bytes).map_err(RelayError::Disk)?;
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            came = came.saturating_add(length);
            // The last of it is given when all of it is held.
            if came < blob.size {
                self.progress.send_replace(Progress::Came(came));
            }
            if self.gave_up() {
                return Err(unfinished());
            }
        }
        if came != blob.size {
            return Err(unfinished());
        }
        let store = &self.service.store;
        store.add_blob(&blob.digest, partial, blob.size, room, Claim::None)?;
        Ok(())
    }

    /// Says why it ends, for when it is dropped.
    fn fail(&mut self, failure: RelayFailure) {
        self.failure = failure;
    }

    /// Gives up when every login that asked is gone.
    fn gave_up(&self) -> bool {
        if self.fetch.is_wanted() {
            return false;
        }
        // Another may ask for it at this moment.
        let mut running = self.service.fetches.running();
        let is_over = !self.fetch.is_wanted();
        if is_over {
            running.remove(&self.fetch.blob.digest);
        }
        is_over
    }
}

impl Drop for Running {
    /// Also when the registry's client panics.
    fn drop(&mut self) {
        let digest = &self.fetch.blob.digest;
        let mut running = self.service.fetches.running();
        if running
            .get(digest)
            .is_some_and(|one| Arc::ptr_eq(one, &self.fetch))
        {
            running.remove(digest);
        }
        drop(running);
        self.progress.send_modify(|progress| {
            if !matches!(progress, Progress::Complete) {
                *progress = Progress::Failed(self.failure.clone());
            }
        });
    }
}

/// The next bytes of a blob; none at its end, where all of it was verified.
pub(super) fn read<'a>(
    reader: &mut BlobReader,
    piece: &'a mut [u8],
) -> Result<Option<&'a [u8]>, RelayFailure> {
    loop {
        match reader.read(piece) {
            Ok(0) => return Ok(None),
            Ok(read) => return Ok(piece.get(..read)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(&error)),
        }
    }
}

/// What reading a blob failed with, as its registry's failure.
fn broken(error: &std::io::Error) -> RelayFailure {
    use std::io::ErrorKind;
    if let Some(inner) = error.get_ref()
        && let Some(known) = inner.downcast_ref::<RegistryError>()
    {
        return known.clone().into();
    }
    let message = format!("cannot read a blob: {error}");
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => RegistryError::answer(message).into(),
        _ => RegistryError::unavailable(message).into(),
    }
}

fn unfinished() -> RelayFailure {
    RegistryError::unavailable("the blob was not read to its end").into()
}
