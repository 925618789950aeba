//! An HTTP server whose clients can harm nothing but their own connections: heads, waits and
//! connections are limited, and a panic closes one connection.

mod body;
mod connection;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(crate) use body::{Content, read_piece};
use connection::{Activity, Watched};

/// How soon a connection is looked for again when all are busy.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long to wait when no connection can be taken, as when files have run out.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What a client may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at the same time. One more, and the one that has been silent for longest ends.
    pub(crate) connections: usize,
    /// Bytes of a request's head.
    pub(crate) head_bytes: usize,
    /// How long the head of a request may take.
    pub(crate) head: Duration,
    /// How long a connection may be without a request.
    pub(crate) idle: Duration,
    /// How long a client may read nothing of an answer.
    pub(crate) stalled: Duration,
    /// Whether a connection may have a second request.
    pub(crate) keep_alive: bool,
}

/// What answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers a request.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Content>> + Send;
}

/// Serves until the future is dropped, which ends all connections.
pub(crate) async fn serve<H: Handler>(listener: &TcpListener, handler: Arc<H>, limits: Limits) {
    let connections = Arc::new(Connections {
        open: Mutex::default(),
        free: Arc::new(Semaphore::new(limits.connections)),
    });
    let mut tasks = JoinSet::new();
    let mut number: u64 = 0;
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let Some(permit) = connections.room().await else {
            return;
        };
        number = number.wrapping_add(1);
        let open = connections.open(number);
        let handler = Arc::clone(&handler);
        tasks.spawn(async move {
            let _permit = permit;
            converse(stream, handler, limits, &open.activity).await;
            drop(open);
        });
    }
}

/// Answers the requests of one connection.
async fn converse<H: Handler>(
    stream: TcpStream,
    handler: Arc<H>,
    limits: Limits,
    activity: &Arc<Activity>,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let busy = Activity::busy(activity);
        let handler = Arc::clone(&handler);
        async move {
            let answer = handler.answer(request).await;
            Ok::<_, Infallible>(answer.map(|content| busy.until_sent(content)))
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .keep_alive(limits.keep_alive)
        // Clients that do not keep to the specification look for them in this case.
        .title_case_headers(true)
        .header_read_timeout(None)
        .max_header_size(limits.head_bytes);
    let connection = builder.serve_connection(Watched::new(stream, activity), service);
    first(
        async {
            // A connection that breaks is the client's affair.
            drop(connection.await);
        },
        activity.overdue(limits),
    )
    .await;
}

/// Ends with the first of both, and drops the other.
pub(crate) async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    std::future::poll_fn(|context| {
        let is_over =
            one.as_mut().poll(context).is_ready() || other.as_mut().poll(context).is_ready();
        if is_over {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// The connections that are open.
struct Connections {
    open: Mutex<HashMap<u64, Arc<Activity>>>,
    free: Arc<Semaphore>,
}

impl Connections {
    fn all(&self) -> MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one more: one that nothing is being done for makes way.
    async fn room(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        loop {
            let free = Arc::clone(&self.free);
            if let Ok(permit) = Arc::clone(&free).try_acquire_owned() {
                return Some(permit);
            }
            self.end_oldest();
            if let Ok(permit) = tokio::time::timeout(LOOK_AGAIN, free.acquire_owned()).await {
                return permit.ok();
            }
        }
    }

    fn end_oldest(&self) {
        let open = self.all();
        let silent = open
            .values()
            .filter_map(|one| Some((one.waits_since()?, one)));
        if let Some((_, oldest)) = silent.min_by_key(|one| one.0) {
            oldest.end();
        }
    }

    fn open(self: &Arc<Self>, number: u64) -> Open {
        let activity = Arc::new(Activity::default());
        self.all().insert(number, Arc::clone(&activity));
        Open {
            connections: Arc::clone(self),
            number,
            activity,
        }
    }
}

/// An open connection; it is forgotten when this is dropped.
struct Open {
    connections: Arc<Connections>,
    number: u64,
    activity: Arc<Activity>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.all().remove(&self.number);
    }
}
