//! What those who watch are answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use super::Monitor;
use crate::server::{self, Content, Handler, Limits};
use crate::tool::StopToken;

/// How long a client may take for each part of its request.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// What clients may take. One more, and the oldest that waits has to go.
const LIMITS: Limits = Limits {
    connections: 128,
    head_bytes: 8 << 10,
    head: TIME_LIMIT,
    idle: TIME_LIMIT,
    stalled: TIME_LIMIT,
    keep_alive: false,
};
/// How often the wish to stop is looked for.
const CHECK: Duration = Duration::from_millis(200);

/// Answers `/healthz` and `/metrics` until it is to stop.
///
/// All who reach the address may read both; they tell numbers, no names of images. One thread
/// serves all clients, none waits for another, and there is a limit to their number, their time
/// and what they send.
#[derive(Debug)]
pub struct MonitorServer {
    listener: TcpListener,
    runtime: Runtime,
}

impl MonitorServer {
    /// Listens at `address`; port 0 takes any that is free.
    ///
    /// # Errors
    ///
    /// Fails when the address is not of this machine, or is taken.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        Ok(Self { listener, runtime })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Fails when the operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` says so; to be given a thread.
    pub fn run(&self, monitor: &Monitor, stop: &StopToken) {
        let (sender, questions) = mpsc::channel(1);
        let serve = server::serve(&self.listener, Arc::new(Questions(sender)), LIMITS);
        let answer = answer_all(questions, monitor, stop);
        self.runtime.block_on(server::first(serve, answer));
    }
}

/// A request, and where its answer goes.
type Question = (Method, String, oneshot::Sender<Response<Content>>);

/// Hands requests to the thread that has the monitor.
struct Questions(mpsc::Sender<Question>);

impl Handler for Questions {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Content> {
        let (sender, answer) = oneshot::channel();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        // No answer comes only when all ends.
        let _ = self.0.send((method, path, sender)).await;
        answer
            .await
            .unwrap_or_else(|_| Response::new(Content::Whole(Bytes::new())))
    }
}

/// Answers until `stop` says so.
async fn answer_all(mut questions: mpsc::Receiver<Question>, monitor: &Monitor, stop: &StopToken) {
    let mut look = tokio::time::interval(CHECK);
    while !stop.is_stopped() {
        let work = async {
            while let Some((method, path, client)) = questions.recv().await {
                // The client may be gone.
                let _ = client.send(answer(&method, &path, monitor));
            }
        };
        let again = async {
            look.tick().await;
        };
        server::first(work, again).await;
    }
}

fn answer(method: &Method, path: &str, monitor: &Monitor) -> Response<Content> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let (status, kind, body) = match path {
        _ if !is_read => {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            (status, PLAIN, "only GET\n".to_owned())
        }
        "/healthz" => match monitor.health() {
            Ok(()) => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
            Err(reason) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                (status, PLAIN, format!("{reason}\n"))
            }
        },
        "/metrics" => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            (StatusCode::OK, kind, monitor.metrics())
        }
        "/" => (StatusCode::OK, "text/html; charset=utf-8", monitor.page()),
        _ => {
            let body = "try /, /healthz or /metrics\n".to_owned();
            (StatusCode::NOT_FOUND, PLAIN, body)
        }
    };
    let length = HeaderValue::from(body.len());
    let body = if *method == Method::HEAD {
        Bytes::new()
    } else {
        body.into()
    };
    let mut answer = Response::new(Content::Whole(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, length);
    if !is_read {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::thread;
    use std::time::Instant;

    use super::*;
    use cssc_core::cycle::Interrupt;

    fn get(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Runs `test` beside a server at `address`.
    fn served(address: &str, test: impl FnOnce(SocketAddr, &Monitor)) {
        let server = MonitorServer::bind(address.parse().unwrap()).unwrap();
        let address = server.address().unwrap();
        let (monitor, stop) = (Monitor::default(), StopToken::default());
        thread::scope(|scope| {
            scope.spawn(|| server.run(&monitor, &stop));
            // Also when the test fails, or it would wait for the server for ever.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                test(address, &monitor);
            }));
            stop.stop(Interrupt::Stopped);
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        });
    }

    #[test]
    fn answers_what_it_knows_and_no_more() {
        served("127.0.0.1:0", |address, _| {
            let health = get(address, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
            assert!(health.ends_with("\r\n\r\nok\n"), "{health}");
            let metrics = get(address, "GET /metrics HTTP/1.1\r\n\r\n");
            let patched = "cssc_images{state=\"patched\"} 0\n";
            assert!(metrics.contains(patched), "{metrics}");
            let page = get(address, "GET / HTTP/1.1\r\n\r\n");
            assert!(page.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"));
            assert!(page.contains("<h1>No cycle has ended yet</h1>"), "{page}");
            let head = get(address, "HEAD /healthz HTTP/1.1\r\n\r\n");
            assert!(head.ends_with("\r\n\r\n"), "{head}");
            for (request, status) in [
                ("GET /secret HTTP/1.1\r\n\r\n", "404"),
                ("POST /healthz HTTP/1.1\r\n\r\n", "405"),
                ("nonsense\r\n\r\n", "400"),
            ] {
                let answer = get(address, request);
                assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
            }
            let mut flood = TcpStream::connect(address).unwrap();
            let _ = flood.write_all(&vec![b'a'; 100_000]);
            let mut rest = Vec::new();
            let _ = flood.read_to_end(&mut rest);
            assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"));
        });
    }

    #[test]
    fn says_when_it_is_unhealthy() {
        served("127.0.0.1:0", |address, monitor| {
            let long_ago = Instant::now().checked_sub(super::super::STUCK_AFTER);
            monitor.figures().heard = long_ago.unwrap();
            let health = get(address, "GET /healthz HTTP/1.1\r\n\r\n");
            assert!(
                health.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
                "{health}"
            );
            let reason = "\r\n\r\nnothing happened for 300 s\n";
            assert!(health.ends_with(reason), "{health}");
        });
    }

    /// Twice as many slow clients as there may be: those who ask and read are answered at once.
    #[test]
    fn slow_clients_delay_nobody() {
        served("127.0.0.1:0", |address, _| {
            let slow: Vec<TcpStream> = (0..LIMITS.connections * 2)
                .map(|_| {
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.write_all(b"GET /healthz HT").unwrap();
                    stream
                })
                .collect();
            for _ in 0..5 {
                let begun = Instant::now();
                let health = get(address, "GET /healthz HTTP/1.1\r\n\r\n");
                assert!(health.ends_with("\r\n\r\nok\n"), "{health}");
                assert!(begun.elapsed() < TIME_LIMIT / 2, "{:?}", begun.elapsed());
            }
            drop(slow);
        });
    }

    /// A probe reaches a pod by the pod's address.
    #[test]
    fn listens_wherever_it_is_told_to() {
        served("0.0.0.0:0", |address, _| {
            let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
            let health = get(address, "GET /healthz HTTP/1.1\r\n\r\n");
            assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
        });
    }
}
