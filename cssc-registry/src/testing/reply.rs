//! What a test registry answers, well-behaved or not.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// An answer, and what goes wrong with it.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    pub(super) delay: Duration,
    manner: Manner,
}

#[derive(Debug, Clone)]
enum Manner {
    Proper,
    /// States this length, sends the body as it is, and closes.
    Length(u64),
    /// Sends the body again and again.
    Endless,
    /// Sends the body a byte at a time.
    Drip(Duration),
    /// Sends nothing and keeps the connection open.
    Hang,
    /// Sends the body alone, without status and headers, and closes.
    Raw,
}

impl Reply {
    /// An answer with a status and no body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            delay: Duration::ZERO,
            manner: Manner::Proper,
        }
    }

    /// A success with a JSON body.
    pub fn json(body: impl Into<String>) -> Self {
        Self::new(200)
            .header("content-type", "application/json")
            .body(body.into())
    }

    /// A refusal as registries word it.
    pub fn error(status: u16, code: &str) -> Self {
        Self::new(status)
            .header("content-type", "application/json")
            .body(format!(
                r#"{{"errors": [{{"code": "{code}", "message": "so it is"}}]}}"#
            ))
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Waits before answering.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// States a length that is not that of the body, and closes the connection after the body.
    pub fn claiming_length(mut self, length: u64) -> Self {
        self.manner = Manner::Length(length);
        self
    }

    /// Sends the body over and over, without a length.
    pub fn endless(mut self) -> Self {
        self.manner = Manner::Endless;
        self
    }

    /// Sends the body one byte at a time, with a pause after each.
    pub fn dripping(mut self, pause: Duration) -> Self {
        self.manner = Manner::Drip(pause);
        self
    }

    /// Never answers.
    pub fn hang() -> Self {
        let mut reply = Self::new(200);
        reply.manner = Manner::Hang;
        reply
    }

    /// Sends these bytes, which need not be HTTP, and closes the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let mut reply = Self::new(200).body(bytes);
        reply.manner = Manner::Raw;
        reply
    }

    /// Sends the answer; whether the connection can serve another request.
    pub(super) fn send(
        &self,
        mut stream: &TcpStream,
        is_head: bool,
        stopped: &AtomicBool,
    ) -> io::Result<bool> {
        let own_length = u64::try_from(self.body.len()).unwrap_or(u64::MAX);
        let length = match self.manner {
            Manner::Raw => {
                stream.write_all(&self.body)?;
                return Ok(false);
            }
            Manner::Hang => {
                while !stopped.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(5));
                }
                return Ok(false);
            }
            Manner::Endless => None,
            Manner::Length(length) => Some(length),
            Manner::Proper | Manner::Drip(_) => Some(own_length),
        };
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        let states_length = self
            .headers
            .iter()
            .any(|header| header.0 == "content-length");
        match length {
            Some(length) if self.status != 204 && !states_length => {
                head = format!("{head}content-length: {length}\r\n");
            }
            None => head.push_str("connection: close\r\n"),
            _ => {}
        }
        for (name, value) in &self.headers {
            head = format!("{head}{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        if is_head {
            stream.write_all(head.as_bytes())?;
            return Ok(true);
        }
        let mut bytes = head.into_bytes();
        match self.manner {
            Manner::Drip(pause) => {
                stream.write_all(&bytes)?;
                for byte in self.body.chunks(1) {
                    if stopped.load(Ordering::SeqCst) {
                        return Ok(false);
                    }
                    stream.write_all(byte)?;
                    thread::sleep(pause);
                }
            }
            Manner::Endless => {
                stream.write_all(&bytes)?;
                while !stopped.load(Ordering::SeqCst) {
                    stream.write_all(&self.body)?;
                }
            }
            // In one piece, as one packet where it fits.
            _ => {
                bytes.extend_from_slice(&self.body);
                stream.write_all(&bytes)?;
            }
        }
        Ok(matches!(self.manner, Manner::Proper | Manner::Drip(_)))
    }
}
