//! A registry in this process, on a loopback port, that answers as it is told: politely, or in
//! any way a client must survive. For tests of what talks to registries.
//!
//! ```
//! use cssc_registry::testing::{Reply, TestRegistry};
//!
//! let registry = TestRegistry::start(|request| match request.path() {
//!     "/v2/python/tags/list" => Reply::json(r#"{"name": "python", "tags": ["3.11"]}"#),
//!     _ => Reply::error(404, "NAME_UNKNOWN"),
//! })?;
//! assert!(registry.host().starts_with("127.0.0.1:"));
//! assert_eq!(registry.requests().len(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```

mod paging;
mod reply;

use std::io::{self, BufRead, BufReader, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use paging::{PagedTags, Paging};
pub use reply::Reply;

/// The longest request body that is read.
const MAX_BODY_LEN: u64 = 64 << 20;

type Handler = dyn Fn(&TestRequest) -> Reply + Send + Sync;

/// A server that answers every request as a function says; stops when dropped.
pub struct TestRegistry {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    requests: Mutex<Vec<TestRequest>>,
    streams: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    stopped: AtomicBool,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct TestRequest {
    /// The method, such as `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl TestRequest {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, as it was sent.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|pair| pair.0 == name).map(|pair| pair.1)
    }

    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|header| header.0 == name)
            .map(|h| h.1.as_str())
    }
}

impl TestRegistry {
    /// Starts a server on a loopback port that the system chooses.
    ///
    /// # Errors
    ///
    /// Fails when there is no port to be had.
    pub fn start(
        handler: impl Fn(&TestRequest) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            requests: Mutex::default(),
            streams: Mutex::default(),
            connections: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if server.stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    server.connections.fetch_add(1, Ordering::SeqCst);
                    let server = Arc::clone(&server);
                    // A connection that breaks is the client's affair.
                    thread::spawn(move || drop(server.serve(&stream)));
                }
            }
        });
        Ok(Self { address, shared })
    }

    /// Host and port, as a registry is named.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<TestRequest> {
        lock(&self.shared.requests).clone()
    }

    /// How many requests there were so far.
    pub fn request_count(&self) -> usize {
        lock(&self.shared.requests).len()
    }

    /// How many connections were made so far.
    pub fn connection_count(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The most requests that were being answered at one time.
    pub fn most_in_flight(&self) -> usize {
        self.shared.most_in_flight.load(Ordering::SeqCst)
    }

    /// Forgets the requests so far and the most in flight.
    pub fn reset(&self) {
        lock(&self.shared.requests).clear();
        self.shared.most_in_flight.store(0, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for TestRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestRegistry")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; it may be gone.
        drop(TcpStream::connect_timeout(
            &self.address,
            Duration::from_secs(1),
        ));
        for stream in lock(&self.shared.streams).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        lock(&self.streams).push(stream.try_clone()?);
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = read_request(&mut reader)? {
            let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst);
            self.most_in_flight
                .fetch_max(in_flight.saturating_add(1), Ordering::SeqCst);
            lock(&self.requests).push(request.clone());
            let reply = (self.handler)(&request);
            let delay = reply.delay;
            thread::sleep(delay);
            // No longer before the client can know: it may send the next request at once.
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            let is_head = request.method == "HEAD";
            if !reply.send(stream, is_head, &self.stopped)? {
                break;
            }
        }
        stream.shutdown(Shutdown::Both)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a request; none at the end of the connection, or of what can be understood.
fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<TestRequest>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut request = TestRequest {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let header = (name.to_ascii_lowercase(), value.trim().to_owned());
        request.headers.push(header);
    }
    let length = request.header("content-length");
    let length: u64 = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    reader
        .take(length.min(MAX_BODY_LEN))
        .read_to_end(&mut request.body)?;
    Ok(Some(request))
}
