//! olareg, a registry that lists referrers and deletes tags, with everything in memory.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// An `olareg` process on a loopback port; it is killed when dropped.
pub(crate) struct Olareg {
    process: Child,
    port: u16,
}

impl Olareg {
    pub(crate) fn start() -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new("olareg")
            .args(["serve", "--addr", "127.0.0.1", "--port", &port.to_string()])
            .args(["--store-type", "mem", "--api-delete"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut olareg = Self { process, port };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = olareg.process.try_wait().unwrap();
            assert!(ended.is_none(), "olareg ended: {ended:?}");
            assert!(begin.elapsed() < Duration::from_secs(60), "not started");
            thread::sleep(Duration::from_millis(20));
        }
        olareg
    }

    /// Host and port, as a registry is named.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }
}

impl Drop for Olareg {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
