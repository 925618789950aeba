//! Blobs: held, coming, or passed through.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cssc_registry::{Descriptor, Digest};
use hyper::body::Bytes;
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE};
use hyper::{Response, StatusCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::answer::{Answer, CONTENT_DIGEST, Refusal, answer, set};
use super::calls::blocking;
use super::failure::RelayFailure;
use super::fetch::{self, Found, PIECE, Progress};
use super::figures;
use super::grants::LoginState;
use super::manifests::is_elsewhere;
use super::range::{Wanted, wanted};
use super::service::{Asked, Service};
use super::store::Lease;
use crate::server::Content;

/// How many pieces wait for a client.
const AHEAD: usize = 2;

fn unknown() -> Refusal {
    Refusal::not_found("BLOB_UNKNOWN")
}

/// Answers with a blob.
pub(super) async fn get(
    asked: &Asked,
    digest: &Digest,
    headers: &HeaderMap,
) -> Result<Answer, Refusal> {
    let asked_for = &asked.login.blob_requests;
    asked_for.fetch_add(1, Ordering::Relaxed);
    let Some(blob) = readable(asked, digest).await? else {
        // Before a push clients ask for what need not be pushed.
        let is_known = asked.is_own && asked.is_head && is_pushable(asked, digest).await?;
        return is_known.then(|| head(digest, None)).ok_or_else(unknown);
    };
    if asked.is_head {
        return Ok(head(digest, Some(blob.size)));
    }
    let opened = open(asked, &blob).await?;
    let range = match wanted(headers.get(RANGE), opened.size()) {
        Wanted::All => None,
        Wanted::Part(range) => Some(range),
        Wanted::Nothing => {
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            let refusal = Refusal::new(status, "BLOB_UNKNOWN", "the blob has no such range");
            let range = format!("bytes */{}", opened.size());
            return Err(refusal.header(CONTENT_RANGE, range));
        }
    };
    opened.answer(asked, digest, range).await
}

/// The blob as a login may read it, with its true size where it is held.
async fn readable(asked: &Asked, digest: &Digest) -> Result<Option<Descriptor>, Refusal> {
    let reachable = asked.place.blob(digest);
    let is_pushed = asked.is_own && asked.login.pushed().blobs.contains(digest);
    if !is_pushed {
        return Ok(reachable);
    }
    let (store, name) = (Arc::clone(&asked.service.store), digest.clone());
    let held = blocking(move || store.blob(&name)).await?;
    let pushed = held.map(|held| Descriptor {
        media_type: String::new(),
        digest: digest.clone(),
        size: held.size,
    });
    Ok(pushed.or(reachable))
}

/// Whether the registry has it already.
async fn is_pushable(asked: &Asked, digest: &Digest) -> Result<bool, Refusal> {
    let is_known = asked.login.pushed().elsewhere.contains(digest);
    Ok(is_known || is_elsewhere(asked, false, digest).await?)
}

fn head(digest: &Digest, size: Option<u64>) -> Answer {
    let mut found = answer(StatusCode::OK, "");
    set(&mut found, CONTENT_TYPE, "application/octet-stream");
    set(&mut found, CONTENT_DIGEST, digest.as_str());
    set(&mut found, ACCEPT_RANGES, "bytes");
    if let Some(size) = size {
        set(&mut found, CONTENT_LENGTH, &size.to_string());
    }
    found
}

/// A blob that can be read now.
enum Opened {
    Source(Source),
    /// There is no room to hold it.
    Passed(Descriptor),
}

/// A file that a blob is in, or comes into.
struct Source {
    file: Arc<File>,
    size: u64,
    progress: Option<watch::Receiver<Progress>>,
    /// The file stays for as long.
    _lease: Option<Lease>,
}

async fn open(asked: &Asked, blob: &Descriptor) -> Result<Opened, Refusal> {
    let mut again = true;
    loop {
        let origin = Arc::clone(&asked.place.origin);
        let (service, login) = (Arc::clone(&asked.service), Arc::clone(&asked.login));
        let of = blob.clone();
        let found = blocking(move || fetch::find(&service, &login, &origin, &of)).await?;
        let coming = match found? {
            Found::NoRoom => return Ok(Opened::Passed(blob.clone())),
            Found::Held(held) => {
                return Ok(Opened::Source(Source {
                    file: Arc::new(held.file),
                    size: held.size,
                    progress: None,
                    _lease: Some(held.lease),
                }));
            }
            Found::Coming(coming) => coming,
        };
        match coming.opened().await {
            Ok(()) => {
                return Ok(Opened::Source(Source {
                    file: Arc::clone(&coming.file),
                    size: coming.blob.size,
                    progress: Some(coming.progress.clone()),
                    _lease: None,
                }));
            }
            // Another repository, asked for another login, says nothing of this one.
            Err(_) if again && !coming.is_of(&asked.place.origin, blob) => again = false,
            Err(failure) => return Err(failure.into()),
        }
    }
}

impl Opened {
    fn size(&self) -> u64 {
        match self {
            Self::Source(source) => source.size,
            Self::Passed(blob) => blob.size,
        }
    }

    async fn answer(
        self,
        asked: &Asked,
        digest: &Digest,
        part: Option<Range<u64>>,
    ) -> Result<Answer, Refusal> {
        let size = self.size();
        let range = part.clone().unwrap_or(0..size);
        let left = range.end.saturating_sub(range.start);
        let pieces = match self {
            Self::Source(source) => source.send(asked, range),
            Self::Passed(blob) => pass(asked, blob, range).await?,
        };
        let mut found = head(digest, Some(left)).map(|_| Content::Pieces { pieces, left });
        if let Some(part) = part {
            *Response::status_mut(&mut found) = StatusCode::PARTIAL_CONTENT;
            let last = part.end.saturating_sub(1);
            let range = format!("bytes {}-{last}/{size}", part.start);
            set(&mut found, CONTENT_RANGE, &range);
        }
        Ok(found)
    }
}

type Pieces = mpsc::Receiver<io::Result<Bytes>>;
type Sender = mpsc::Sender<io::Result<Bytes>>;

impl Source {
    /// Sends a part of the blob, as far as it has come, and the rest when it comes.
    fn send(self, asked: &Asked, range: Range<u64>) -> Pieces {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let (service, login) = (Arc::clone(&asked.service), Arc::clone(&asked.login));
        let permit = Arc::clone(&asked.permit);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = self.send_all(&service, &login, range, &sender).await {
                // Aborts the connection, so that nothing is taken for the whole.
                let _ = sender.send(Err(error)).await;
            }
        });
        pieces
    }

    async fn send_all(
        mut self,
        service: &Service,
        login: &LoginState,
        range: Range<u64>,
        sender: &Sender,
    ) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let came = self.came(at, login).await?.min(range.end);
            let length = usize::try_from(came.saturating_sub(at))
                .unwrap_or(PIECE)
                .min(PIECE);
            let file = Arc::clone(&self.file);
            let piece = blocking(move || read_at(&file, at, length)).await;
            let piece = piece.map_err(io::Error::other)??;
            let read = piece.len();
            if login.is_revoked() || sender.send(Ok(piece.into())).await.is_err() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            figures::add(&service.counters.served, read);
            at = at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Waits until more than `at` bytes are there; how many.
    async fn came(&mut self, at: u64, login: &LoginState) -> io::Result<u64> {
        let Some(progress) = &mut self.progress else {
            return Ok(self.size);
        };
        let enough = |progress: &Progress| !matches!(progress, Progress::Came(came) if *came <= at);
        let reached = progress
            .wait_for(enough)
            .await
            .map(|progress| progress.clone());
        match reached {
            Ok(Progress::Came(came)) => Ok(came),
            Ok(Progress::Complete | Progress::Opening) => Ok(self.size),
            Ok(Progress::Failed(failure)) => {
                login.fail(&failure);
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Err(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

/// Reads exactly the bytes that are known to be there.
fn read_at(file: &File, mut at: u64, length: usize) -> io::Result<Vec<u8>> {
    #[cfg(unix)]
    let read_some = |piece: &mut [u8], at| std::os::unix::fs::FileExt::read_at(file, piece, at);
    #[cfg(windows)]
    let read_some =
        |piece: &mut [u8], at| std::os::windows::fs::FileExt::seek_read(file, piece, at);
    let mut bytes = vec![0; length];
    let mut rest = bytes.as_mut_slice();
    while !rest.is_empty() {
        let read = read_some(rest, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at = at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        rest = rest.get_mut(read..).unwrap_or_default();
    }
    Ok(bytes)
}

/// Passes a blob through that there is no room for.
async fn pass(asked: &Asked, blob: Descriptor, range: Range<u64>) -> Result<Pieces, RelayFailure> {
    let own = Arc::clone(&asked.login.passing).acquire_owned().await;
    let all = &asked.service.calls.passing;
    let permits = (own, Arc::clone(all).acquire_owned().await);
    let (sender, pieces) = mpsc::channel(AHEAD);
    let (is_open, opened) = oneshot::channel();
    let asked = asked.clone();
    tokio::task::spawn_blocking(move || {
        let _permits = permits;
        pass_all(&asked, &blob, range, is_open, &sender);
    });
    match opened.await {
        Ok(opened) => opened.map(|()| pieces),
        Err(_) => Err(RelayFailure::Disk(
            "a blob was not passed through".to_owned(),
        )),
    }
}

fn pass_all(
    asked: &Asked,
    blob: &Descriptor,
    range: Range<u64>,
    is_open: oneshot::Sender<Result<(), RelayFailure>>,
    sender: &Sender,
) {
    let origin = &asked.place.origin;
    let mut reader = match origin.client.open_blob(&origin.repository, blob) {
        Ok(reader) => reader,
        Err(error) => return drop(is_open.send(Err(error.into()))),
    };
    let _ = is_open.send(Ok(()));
    let counters = &asked.service.counters;
    let mut piece = vec![0; PIECE];
    let mut at: u64 = 0;
    while at < range.end && !asked.login.is_revoked() {
        let bytes = match fetch::read(&mut reader, &mut piece) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(failure) => {
                asked.login.fail(&failure);
                return drop(sender.blocking_send(Err(io::ErrorKind::ConnectionAborted.into())));
            }
        };
        figures::add(&counters.fetched, bytes.len());
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let within = |place: u64| usize::try_from(place.saturating_sub(at)).unwrap_or(usize::MAX);
        let end = within(range.end).min(bytes.len());
        let part = bytes.get(within(range.start)..end).unwrap_or_default();
        if !part.is_empty() {
            figures::add(&counters.served, part.len());
            if sender
                .blocking_send(Ok(Bytes::copy_from_slice(part)))
                .is_err()
            {
                return;
            }
        }
        at = at.saturating_add(length);
    }
}
