//! What is sent with a request: bytes, or a file that is read while it is sent.

use std::io::{self, Cursor, Read};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::client::Failure;
use crate::Descriptor;
use crate::blob_reader::{file_error, open_file};
use crate::budget::deadline_after;
use crate::error::RegistryError;

/// What is longer than this is sent for as long as it moves; what is not has to be there in time.
const LARGE: u64 = 1 << 20;
/// How much of a large content is read at a time.
const PIECE_LEN: u64 = 256 << 10;
/// How many bytes a registry takes in a second when it reads a blob once more before it answers.
const CHECKED_PER_SECOND: u64 = 8 << 20;

/// What is to be sent; it can be read again and again.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Bytes(&'a [u8]),
    /// A file, and the blob that it is to be.
    File(&'a Path, &'a Descriptor),
}

impl<'a> Content<'a> {
    pub(super) fn len(self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File(_, blob) => blob.size,
        }
    }

    /// Whether it is sent for as long as it moves, however long that takes.
    pub(super) fn is_large(self) -> bool {
        self.len() > LARGE
    }

    /// Reads it from the start. The read that would reach the end of a file that is not the blob
    /// fails.
    pub(super) fn open(self) -> Result<Box<dyn Read + Send + 'a>, RegistryError> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(bytes),
            Self::File(path, blob) => Box::new(open_file(path, blob)?),
        })
    }

    /// What a failure to read it means.
    pub(super) fn error(self, error: &io::Error) -> RegistryError {
        match self {
            Self::Bytes(_) => RegistryError::input(error.to_string()),
            Self::File(path, blob) => file_error(path, blob, error),
        }
    }

    /// The body of a request, which tells `patience` how it moves.
    pub(super) fn body(
        self,
        runtime: &Handle,
        patience: &Arc<Patience>,
    ) -> Result<reqwest::Body, RegistryError> {
        let (source, on_error): (Box<dyn Read + Send>, OnError) = match self {
            Self::Bytes(bytes) if !self.is_large() => return Ok(bytes.to_vec().into()),
            Self::Bytes(bytes) => (
                Box::new(Cursor::new(bytes.to_vec())),
                Box::new(|error| RegistryError::input(error.to_string())),
            ),
            Self::File(path, blob) => {
                let reader = open_file(path, blob)?;
                let (path, blob) = (path.to_owned(), blob.clone());
                let on_error: OnError = Box::new(move |error| file_error(&path, &blob, error));
                (Box::new(reader), on_error)
            }
        };
        Ok(reqwest::Body::wrap(Pieces {
            next: Some(read_piece(runtime, source)),
            runtime: runtime.clone(),
            length: self.len(),
            left: self.len(),
            patience: Arc::clone(patience),
            on_error,
        }))
    }
}

type OnError = Box<dyn Fn(&io::Error) -> RegistryError + Send + Sync>;
type Source = Box<dyn Read + Send>;

/// A body that is read piece by piece, each while the one before is sent.
struct Pieces {
    next: Option<JoinHandle<(Source, io::Result<Vec<u8>>)>>,
    runtime: Handle,
    length: u64,
    left: u64,
    patience: Arc<Patience>,
    on_error: OnError,
}

/// Reads the next piece where reading may block.
fn read_piece(runtime: &Handle, mut source: Source) -> JoinHandle<(Source, io::Result<Vec<u8>>)> {
    runtime.spawn_blocking(move || {
        let mut piece = Vec::new();
        let read = source.by_ref().take(PIECE_LEN).read_to_end(&mut piece);
        (source, read.map(|_| piece))
    })
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = RegistryError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RegistryError>>> {
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let Poll::Ready(read) = Pin::new(next).poll(context) else {
            return Poll::Pending;
        };
        self.next = None;
        let (source, piece) = match read {
            Ok((source, Ok(piece))) => (source, piece),
            Ok((_, Err(error))) => return Poll::Ready(Some(Err((self.on_error)(&error)))),
            Err(_) => {
                let ended = RegistryError::unavailable("the HTTP client has ended");
                return Poll::Ready(Some(Err(ended)));
            }
        };
        let read = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(read);
        if self.left > 0 && read > 0 {
            self.next = Some(read_piece(&self.runtime, source));
            self.patience.moved(Duration::ZERO);
        } else {
            // The registry may read all of it before it answers.
            let checks = self.length.checked_div(CHECKED_PER_SECOND).unwrap_or(0);
            self.patience.moved(Duration::from_secs(checks));
        }
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// How long nothing may move.
pub(super) struct Patience {
    quiet: Duration,
    until: Mutex<Instant>,
}

impl Patience {
    pub(super) fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            until: Mutex::new(deadline_after(quiet)),
        }
    }

    /// Something moved; the next may take `more` time than usual.
    fn moved(&self, more: Duration) {
        *self.lock() = deadline_after(self.quiet.saturating_add(more));
    }

    /// Waits for `exchange` for as long as something moves.
    pub(super) async fn wait<T>(
        &self,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut exchange = pin!(exchange);
        loop {
            let until = *self.lock();
            match tokio::time::timeout_at(until.into(), exchange.as_mut()).await {
                Ok(result) => return result,
                Err(_) if *self.lock() > until => {}
                Err(_) => return Err(Failure::Deadline),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
