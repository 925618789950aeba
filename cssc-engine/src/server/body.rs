//! What comes with a request, and what an answer holds.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use tokio::sync::mpsc;

/// What an answer holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it at once.
    Whole(Bytes),
    /// Piece by piece, `left` bytes in all. When the sender goes before that, the connection is
    /// aborted.
    Pieces {
        /// The pieces.
        pieces: mpsc::Receiver<io::Result<Bytes>>,
        /// How many bytes are still to come.
        left: u64,
    },
}

impl Content {
    pub(super) fn left(&self) -> u64 {
        match self {
            Self::Whole(bytes) => length(bytes),
            Self::Pieces { left, .. } => *left,
        }
    }

    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Self::Pieces { left: 0, .. } => Poll::Ready(None),
            Self::Pieces { pieces, left } => pieces.poll_recv(context).map(|piece| {
                let piece = piece.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
                Some(piece.inspect(|bytes| *left = left.saturating_sub(length(bytes))))
            }),
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Why a request's content does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Nothing came for too long.
    TimedOut,
    /// The connection broke.
    Broken,
}

/// The next piece of what comes with a request; none at its end.
pub(crate) async fn read_piece(
    body: &mut Incoming,
    patience: Duration,
) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        match tokio::time::timeout(patience, frame).await {
            Err(_) => return Err(BodyError::TimedOut),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(BodyError::Broken),
            Ok(Some(Ok(frame))) => {
                // Trailers say nothing here.
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}
