//! `/healthz` and `/metrics` for those who watch.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cssc_core::{Cycle, Outcome, Status, Summary};

use super::RunnerEvent;
use crate::tool::Cancel;

/// How things stand with a workflow that is served.
///
/// ```
/// use cssc_engine::runner::Monitor;
///
/// let monitor = Monitor::default();
/// assert!(monitor.metrics().contains("cssc_cycle_running 0"));
/// ```
#[derive(Debug, Default)]
pub struct Monitor(Mutex<Figures>);

#[derive(Debug, Default)]
struct Figures {
    running: bool,
    summary: Summary,
    /// Cycles that ended: succeeded, failed, canceled.
    cycles: [u64; 3],
    /// Steps done, and failed, by what they do.
    steps: [[u64; 2]; STEPS.len()],
    patched: u64,
    next: Option<DateTime<Utc>>,
    ended: Option<DateTime<Utc>>,
    registry: Option<bool>,
}

const STEPS: [&str; 6] = ["plan", "scan", "patch", "verify", "publish", "discard"];

impl Monitor {
    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn waiting(&self, next: Option<DateTime<Utc>>) {
        self.figures().next = next;
    }

    pub(super) fn registry(&self, is_there: bool) {
        self.figures().registry = Some(is_there);
    }

    pub(super) fn event(&self, event: &RunnerEvent<'_>) {
        let mut figures = self.figures();
        match event {
            RunnerEvent::Started { cycle, .. } => {
                figures.running = true;
                figures.summary = cycle.summary();
            }
            RunnerEvent::Done {
                work,
                outcome,
                summary,
                ..
            } => {
                figures.summary = *summary;
                let place = STEPS.iter().position(|step| *step == work.step.name());
                let failed = matches!(outcome, Outcome::Failed { .. });
                if **outcome == Outcome::Published {
                    figures.patched = figures.patched.saturating_add(1);
                }
                let counts = place.and_then(|place| figures.steps.get_mut(place));
                if let Some([done, failures]) = counts {
                    let count = if failed { failures } else { done };
                    *count = count.saturating_add(1);
                }
            }
            RunnerEvent::Ended { cycle } => {
                figures.running = false;
                figures.summary = cycle.summary();
            }
            RunnerEvent::Begun { .. } | RunnerEvent::Canceled => {}
        }
    }

    pub(super) fn ended(&self, cycle: &Cycle) {
        let mut figures = self.figures();
        figures.ended = cycle.record().finished();
        let [succeeded, failed, canceled] = &mut figures.cycles;
        let count = match cycle.record().status() {
            Status::Succeeded => succeeded,
            Status::Canceled => canceled,
            _ => failed,
        };
        *count = count.saturating_add(1);
    }

    /// The figures in the text format of Prometheus.
    pub fn metrics(&self) -> String {
        let figures = self.figures();
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, lines: &[(String, f64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let label = |key: &str, value: &str| format!("{{{key}=\"{value}\"}}");
        let plain = |value| [(String::new(), value)];
        let truth = |value| plain(if value { 1.0 } else { 0.0 });
        metric(
            "cssc_cycle_running",
            "gauge",
            "Whether a cycle is going on.",
            &truth(figures.running),
        );
        let summary = &figures.summary;
        let images = [
            ("queued", summary.queued),
            ("running", summary.running),
            ("patched", summary.patched),
            ("skipped", summary.skipped),
            ("failed", summary.failed),
            ("canceled", summary.canceled),
        ];
        metric(
            "cssc_images",
            "gauge",
            "Images of the current cycle by how they stand.",
            &images.map(|(state, count)| {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                (label("state", state), count.into())
            }),
        );
        let cycles = ["succeeded", "failed", "canceled"]
            .into_iter()
            .zip(figures.cycles);
        metric(
            "cssc_cycles_total",
            "counter",
            "Cycles that ended since the start.",
            &cycles
                .map(|(status, count)| (label("status", status), float(count)))
                .collect::<Vec<_>>(),
        );
        let steps = STEPS
            .iter()
            .zip(figures.steps)
            .flat_map(|(step, [done, failed])| {
                [("done", done), ("failed", failed)].map(|(outcome, count)| {
                    let labels = format!("{{step=\"{step}\",outcome=\"{outcome}\"}}");
                    (labels, float(count))
                })
            });
        metric(
            "cssc_steps_total",
            "counter",
            "Steps that ended since the start.",
            &steps.collect::<Vec<_>>(),
        );
        metric(
            "cssc_patched_images_total",
            "counter",
            "Patched images published since the start.",
            &plain(float(figures.patched)),
        );
        if let Some(is_there) = figures.registry {
            metric(
                "cssc_registry_up",
                "gauge",
                "Whether the policy could be read the last time.",
                &truth(is_there),
            );
        }
        for (name, help, time) in [
            (
                "cssc_next_cycle_timestamp_seconds",
                "When the next scheduled cycle begins.",
                figures.next,
            ),
            (
                "cssc_last_cycle_end_timestamp_seconds",
                "When the last cycle ended.",
                figures.ended,
            ),
        ] {
            if let Some(time) = time {
                let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
                metric(name, "gauge", help, &plain(float(seconds)));
            }
        }
        text
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus knows only such numbers"
)]
fn float(count: u64) -> f64 {
    count as f64
}

/// How much of a request is read.
const MAX_REQUEST: usize = 8 * 1024;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the wish to stop is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Answers `/healthz` and `/metrics` at a loopback address until it is told to stop, one request
/// at a time.
#[derive(Debug)]
pub struct MonitorServer {
    listener: TcpListener,
}

impl MonitorServer {
    /// Listens at `address`; port 0 takes any that is free.
    ///
    /// # Errors
    ///
    /// Fails when the address is not one of this machine alone, or is taken.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let reason = format!(
                "`{address}` can be reached from elsewhere: give a loopback address such as \
                 127.0.0.1:9090"
            );
            return Err(io::Error::new(ErrorKind::InvalidInput, reason));
        }
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

    /// Answers until `stop` is set; to be given a thread.
    pub fn run(&self, monitor: &Monitor, stop: &Cancel) {
        while !stop.is_canceled() {
            match self.listener.accept() {
                // Whoever goes away in the middle does not wait for an answer.
                Ok((stream, _)) => drop(answer(stream, monitor)),
                Err(_) => thread::sleep(LOOK),
            }
        }
    }
}

fn answer(mut stream: TcpStream, monitor: &Monitor) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let line = request_line(&mut stream)?;
    let mut words = line.split(' ');
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let path = path.split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/healthz") => ("200 OK", "text/plain", "ok\n".to_owned()),
        ("GET" | "HEAD", "/metrics") => (
            "200 OK",
            "text/plain; version=0.0.4; charset=utf-8",
            monitor.metrics(),
        ),
        ("GET" | "HEAD", _) => (
            "404 Not Found",
            "text/plain",
            "try /healthz or /metrics\n".to_owned(),
        ),
        _ => (
            "405 Method Not Allowed",
            "text/plain",
            "only GET\n".to_owned(),
        ),
    };
    let length = body.len();
    let body = if method == "HEAD" {
        String::new()
    } else {
        body
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()
}

/// The first line of a request. The rest of the head is read and not looked at, so that closing
/// the connection does not take the answer away.
fn request_line(stream: &mut TcpStream) -> io::Result<String> {
    let began = std::time::Instant::now();
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece)?;
        if read == 0 || head.len() >= MAX_REQUEST || began.elapsed() >= PATIENCE {
            return Err(ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn answers_what_it_knows_and_no_more() {
        let server = MonitorServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = server.address().unwrap();
        let (monitor, stop) = (Monitor::default(), Cancel::default());
        thread::scope(|scope| {
            scope.spawn(|| server.run(&monitor, &stop));
            let health = get(address, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
            assert!(health.ends_with("\r\n\r\nok\n"), "{health}");
            let metrics = get(address, "GET /metrics HTTP/1.1\r\n\r\n");
            assert!(
                metrics.contains("cssc_images{state=\"patched\"} 0\n"),
                "{metrics}"
            );
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
            stop.cancel();
        });
        let error = MonitorServer::bind("0.0.0.0:0".parse().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`0.0.0.0:0` can be reached from elsewhere: give a loopback address such as \
             127.0.0.1:9090"
        );
    }
}
