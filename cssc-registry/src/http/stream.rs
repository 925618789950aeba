//! The body of an answer, read as it comes.

use std::io::{self, Read};
use std::sync::mpsc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::mpsc as credit;
use tokio::task::JoinHandle;

use super::failure::describe;
use super::limiter::Permit;
use crate::error::RegistryError;

/// How many pieces are fetched ahead of the reader; each is at most some hundred kilobytes.
const AHEAD: usize = 4;
/// How much longer than its time limit a piece is waited for: the limit itself is watched where the
/// piece is fetched, and where that has died nothing tells.
const MARGIN: Duration = Duration::from_secs(5);

/// What came: a piece, or nothing at the end.
type Piece = io::Result<Option<Bytes>>;

/// The body of an answer, of which little is held at a time. Dropping it ends the request.
pub(super) struct BodyStream {
    /// What `Content-Length` says.
    pub(super) length: Option<u64>,
    host: String,
    quiet: Duration,
    piece: Bytes,
    /// The rest; none when it is over.
    rest: Option<Rest>,
}

struct Rest {
    pieces: mpsc::Receiver<Piece>,
    /// Each lets one more piece be fetched.
    credits: credit::UnboundedSender<()>,
    task: JoinHandle<()>,
    /// The right to have the request under way.
    permit: Option<Permit>,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl BodyStream {
    /// Begins to fetch the body; fails later when nothing comes for as long as `quiet`.
    pub(super) fn new(response: reqwest::Response, host: &str, quiet: Duration) -> Self {
        let length = response.content_length();
        let (sender, pieces) = mpsc::channel();
        let (credits, granted) = credit::unbounded_channel();
        for _ in 0..AHEAD {
            // It is received below.
            let _ = credits.send(());
        }
        let host = host.to_owned();
        let task = tokio::spawn(fetch(response, granted, sender, host.clone(), quiet));
        Self {
            length,
            host,
            quiet,
            piece: Bytes::new(),
            rest: Some(Rest {
                pieces,
                credits,
                task,
                permit: None,
            }),
        }
    }

    /// Keeps `permit` until the body has ended or is dropped.
    pub(super) fn hold(&mut self, permit: Permit) {
        if let Some(rest) = &mut self.rest {
            rest.permit = Some(permit);
        }
    }

    /// The next piece; empty at the end.
    fn next(&mut self) -> io::Result<Bytes> {
        let Some(rest) = &self.rest else {
            return Ok(Bytes::new());
        };
        let longest = self.quiet.saturating_add(MARGIN);
        let came = match rest.pieces.recv_timeout(longest) {
            Ok(came) => came,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(stalled(&self.host, self.quiet)),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("the HTTP client has ended"))
            }
        };
        if let Ok(Some(piece)) = came {
            // Whether it has ended shows in the next piece.
            let _ = rest.credits.send(());
            return Ok(piece);
        }
        self.rest = None;
        came.map(Option::unwrap_or_default)
    }
}

impl Read for BodyStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && self.rest.is_some() && !buffer.is_empty() {
            self.piece = self.next()?;
        }
        let length = self.piece.len().min(buffer.len());
        let part = self.piece.split_to(length);
        if let Some(buffer) = buffer.get_mut(..length) {
            buffer.copy_from_slice(&part);
        }
        Ok(length)
    }
}

/// Fetches a piece for each credit, until the end or until there are no more readers.
async fn fetch(
    mut response: reqwest::Response,
    mut credits: credit::UnboundedReceiver<()>,
    pieces: mpsc::Sender<Piece>,
    host: String,
    quiet: Duration,
) {
    while credits.recv().await.is_some() {
        let piece = match tokio::time::timeout(quiet, response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => {
                let (_, text) = describe(&host, None, &error);
                let error = RegistryError::unavailable(text);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, error))
            }
            Err(_) => Err(stalled(&host, quiet)),
        };
        let is_last = !matches!(piece, Ok(Some(_)));
        if pieces.send(piece).is_err() || is_last {
            return;
        }
    }
}

fn stalled(host: &str, quiet: Duration) -> io::Error {
    let text = format!("`{host}` sent nothing for {quiet:?}");
    io::Error::new(io::ErrorKind::TimedOut, RegistryError::unavailable(text))
}
