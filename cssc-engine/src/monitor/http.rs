//! Just enough of an HTTP server for those who watch.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::Monitor;
use crate::tool::StopToken;

/// How much of a request is read.
const MAX_REQUEST: usize = 8 * 1024;
/// How many clients are answered at the same time. One more, and the oldest has to go: who is
/// slow delays nobody.
const MAX_CLIENTS: usize = 128;
/// How long one client may take in all.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// How often clients are looked after, and the wish to stop is.
const CHECK: Duration = Duration::from_millis(10);

/// Answers `/healthz` and `/metrics` until it is told to stop.
///
/// Whoever reaches the address may read both; they tell numbers, no names of images. One thread
/// serves all clients, none waits for another, and there is a limit to their number, their time
/// and what they send.
#[derive(Debug)]
pub struct MonitorServer {
    listener: TcpListener,
}

impl MonitorServer {
    /// Listens at `address`; port 0 takes any that is free.
    ///
    /// # Errors
    ///
    /// Fails when the address is not of this machine, or is taken.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
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
        let mut clients = VecDeque::new();
        while !stop.is_stopped() {
            for _ in 0..MAX_CLIENTS {
                let Ok((stream, _)) = self.listener.accept() else {
                    break;
                };
                if stream.set_nonblocking(true).is_ok() {
                    clients.push_back(Client::new(stream));
                }
            }
            // First, so that whoever is done makes room.
            clients.retain_mut(|client| client.go_on(monitor).is_ok());
            while clients.len() > MAX_CLIENTS {
                clients.pop_front();
            }
            thread::sleep(CHECK);
        }
    }
}

/// A client whose request is being read, or who is being answered.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    since: Instant,
    request: Vec<u8>,
    /// What is still to be written.
    answer: Option<VecDeque<u8>>,
}

/// The client is answered, or is not worth waiting for.
struct Over;

impl Client {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            since: Instant::now(),
            request: Vec::new(),
            answer: None,
        }
    }

    /// Reads and writes as much as can be without waiting.
    fn go_on(&mut self, monitor: &Monitor) -> Result<(), Over> {
        if self.since.elapsed() >= TIME_LIMIT {
            return Err(Over);
        }
        if self.answer.is_none() && self.read()? {
            self.answer = Some(answer(&self.request, monitor).into());
        }
        if let Some(rest) = &mut self.answer {
            while !rest.is_empty() {
                let written = match self.stream.write(rest.make_contiguous()) {
                    Ok(0) => return Err(Over),
                    result => ready(result)?,
                };
                let Some(written) = written else {
                    return Ok(());
                };
                rest.drain(..written);
            }
            let _ = self.stream.shutdown(Shutdown::Write);
            return Err(Over);
        }
        Ok(())
    }

    /// Whether the head of the request is there. All of it is read, so that closing the
    /// connection does not take the answer away.
    fn read(&mut self) -> Result<bool, Over> {
        let mut piece = [0; 1024];
        while !self.request.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = match self.stream.read(&mut piece) {
                Ok(0) => return Err(Over),
                result => ready(result)?,
            };
            let Some(read) = read else { return Ok(false) };
            if self.request.len().saturating_add(read) > MAX_REQUEST {
                return Err(Over);
            }
            self.request
                .extend_from_slice(piece.get(..read).unwrap_or_default());
        }
        Ok(true)
    }
}

/// How many bytes went; none if that has to wait.
fn ready(result: io::Result<usize>) -> Result<Option<usize>, Over> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        Err(_) => Err(Over),
    }
}

fn answer(request: &[u8], monitor: &Monitor) -> Vec<u8> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/healthz") => match monitor.health() {
            Ok(()) => ("200 OK", PLAIN, "ok\n".to_owned()),
            Err(reason) => ("503 Service Unavailable", PLAIN, format!("{reason}\n")),
        },
        ("GET" | "HEAD", "/metrics") => (
            "200 OK",
            "text/plain; version=0.0.4; charset=utf-8",
            monitor.metrics(),
        ),
        ("GET" | "HEAD", "/") => ("200 OK", "text/html; charset=utf-8", monitor.page()),
        ("GET" | "HEAD", _) => {
            let body = "try /, /healthz or /metrics\n".to_owned();
            ("404 Not Found", PLAIN, body)
        }
        _ => ("405 Method Not Allowed", PLAIN, "only GET\n".to_owned()),
    };
    let length = body.len();
    let allow = if status.starts_with("405") {
        "Allow: GET, HEAD\r\n"
    } else {
        ""
    };
    let body = if method == "HEAD" { "" } else { &body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
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
                ("nonsense\r\n\r\n", "405"),
            ] {
                let answer = get(address, request);
                assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
            }
            let mut flood = TcpStream::connect(address).unwrap();
            let _ = flood.write_all(&vec![b'a'; 100_000]);
            let mut rest = Vec::new();
            let _ = flood.read_to_end(&mut rest);
            assert!(rest.is_empty());
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
            let slow: Vec<TcpStream> = (0..MAX_CLIENTS * 2)
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
