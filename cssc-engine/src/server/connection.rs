//! What a connection is doing, and for how long.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Content, Limits};

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when the client reads nothing of what is to be sent.
    stalled: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request has begun.
    Idle,
    /// The head of a request comes.
    Head,
    /// A request is being answered.
    Busy,
    /// It has to make way for another.
    Ended,
}

impl Default for Activity {
    fn default() -> Self {
        let state = State {
            phase: Phase::Idle,
            since: Instant::now(),
            stalled: None,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }
}

impl Activity {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        if state.phase != Phase::Ended {
            state.phase = phase;
            state.since = Instant::now();
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A request is being answered until what this returns is dropped.
    pub(super) fn busy(this: &Arc<Self>) -> Busy {
        this.enter(Phase::Busy);
        Busy(Arc::clone(this))
    }

    /// Since when nothing is done for the client; none while something is.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let state = self.state();
        matches!(state.phase, Phase::Idle | Phase::Head).then_some(state.since)
    }

    /// Ends the connection.
    pub(super) fn end(&self) {
        self.enter(Phase::Ended);
    }

    fn came(&self) {
        if self.state().phase == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    fn sends(&self, is_stalled: bool) {
        let mut state = self.state();
        if state.stalled.is_some() != is_stalled {
            state.stalled = is_stalled.then(Instant::now);
            drop(state);
            self.changed.notify_one();
        }
    }

    fn deadline(&self, limits: Limits) -> Option<Instant> {
        let state = self.state();
        let phase = match state.phase {
            Phase::Idle => state.since.checked_add(limits.idle),
            Phase::Head => state.since.checked_add(limits.head),
            Phase::Busy => None,
            Phase::Ended => Some(state.since),
        };
        match (state.stalled, state.phase) {
            // What is still to be sent counts, not what has not been asked for.
            (Some(since), Phase::Idle | Phase::Busy) => since.checked_add(limits.stalled),
            _ => phase,
        }
    }

    /// Ends when the client has taken too long.
    pub(super) async fn overdue(&self, limits: Limits) {
        loop {
            let changed = self.changed.notified();
            match self.deadline(limits) {
                None => changed.await,
                Some(at) if at <= Instant::now() => return,
                Some(at) => drop(tokio::time::timeout_at(at, changed).await),
            }
        }
    }
}

/// A request is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    /// Goes on until `content` is sent.
    pub(super) fn until_sent(self, content: Content) -> Sent {
        Sent {
            content,
            _busy: self,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

/// Content that is being sent.
#[derive(Debug)]
pub(super) struct Sent {
    content: Content,
    _busy: Busy,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.content.poll_piece(context);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.content.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.left())
    }
}

/// A stream that tells what it does.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TokioIo<TcpStream>,
    activity: Arc<Activity>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: &Arc<Activity>) -> Self {
        Self {
            stream: TokioIo::new(stream),
            activity: Arc::clone(activity),
        }
    }
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.activity.came();
        }
        read
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.sends(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.activity.sends(written.is_pending());
        written
    }
}
