//! Just enough of a client, which can do what none should.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cssc_engine::relay::Login;
use cssc_registry::{Digest, Manifest};

use crate::world::python;

#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) authority: String,
    pub(crate) authorization: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether all came that was promised.
    pub(crate) is_whole: bool,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|header| header.0.eq_ignore_ascii_case(name));
        found.map(|header| header.1.as_str())
    }

    /// The code of the error.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap()
    }
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
}

impl Client {
    pub(crate) fn of(login: &Login) -> Self {
        Self {
            authority: login.authority().to_owned(),
            authorization: Some(basic(login.user(), login.password())),
        }
    }

    pub(crate) fn as_(&self, authorization: &str) -> Self {
        Self {
            authority: self.authority.clone(),
            authorization: Some(authorization.to_owned()),
        }
    }

    pub(crate) fn anonymous(&self) -> Self {
        Self {
            authority: self.authority.clone(),
            authorization: None,
        }
    }

    /// The head of a request, without the empty line.
    pub(crate) fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: example.org\r\n");
        if let Some(authorization) = &self.authorization {
            head = format!("{head}Authorization: {authorization}\r\n");
        }
        for (name, value) in headers {
            head = format!("{head}{name}: {value}\r\n");
        }
        head
    }

    /// Sends a request, and leaves the answer.
    pub(crate) fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let head = self.head(method, path, headers);
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream
    }

    /// Sends a request, and reads the answer; its status is 0 when the connection ends instead.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let length = body.len().to_string();
        let mut all = vec![("Connection", "close"), ("Content-Length", &length)];
        all.extend_from_slice(headers);
        let mut stream = self.begin(method, path, &all);
        // It may be refused before all of it is sent.
        let _ = stream.write_all(body);
        read(&stream, method == "HEAD").unwrap_or_else(|_| Reply {
            status: 0,
            headers: Vec::new(),
            body: Vec::new(),
            is_whole: false,
        })
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], &[])
    }

    pub(crate) fn status(&self, method: &str, path: &str) -> u16 {
        self.send(method, path, &[], &[]).status
    }

    pub(crate) fn blob(&self, digest: &Digest) -> Reply {
        self.get(&blob(digest))
    }

    pub(crate) fn manifest(&self, reference: &str) -> Reply {
        self.get(&manifest(reference))
    }

    /// Pushes a blob in one request.
    pub(crate) fn push(&self, bytes: &[u8]) -> Reply {
        let digest = cssc_registry::digest::of(bytes);
        let path = format!("/v2/{}/blobs/uploads/?digest={digest}", python());
        self.send("POST", &path, &[], bytes)
    }

    pub(crate) fn put(&self, reference: &str, document: &Manifest) -> Reply {
        let kind = [("Content-Type", document.media_type.as_str())];
        self.send("PUT", &manifest(reference), &kind, &document.bytes)
    }

    /// Begins an upload: where it goes on.
    pub(crate) fn upload(&self) -> String {
        let reply = self.send(
            "POST",
            &format!("/v2/{}/blobs/uploads/", python()),
            &[],
            &[],
        );
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.location().to_owned()
    }
}

pub(crate) fn blob(digest: &Digest) -> String {
    format!("/v2/{}/blobs/{digest}", python())
}

pub(crate) fn manifest(reference: &str) -> String {
    format!("/v2/{}/manifests/{reference}", python())
}

/// A client that waits for too long has found a defect.
fn ended(error: &io::Error) {
    use io::ErrorKind::{TimedOut, WouldBlock};
    assert!(
        !matches!(error.kind(), WouldBlock | TimedOut),
        "no answer comes"
    );
}

/// Reads an answer to its end, or to where the connection ends.
pub(crate) fn read(stream: &TcpStream, is_head: bool) -> io::Result<Reply> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).inspect_err(ended)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut reply = Reply {
        status,
        headers,
        body: Vec::new(),
        is_whole: true,
    };
    let length = reply
        .header("content-length")
        .and_then(|length| length.parse().ok());
    let length: usize = length.unwrap_or(0);
    if !is_head {
        let limit = u64::try_from(length).unwrap();
        let mut reader = reader.take(limit);
        let read = reader.read_to_end(&mut reply.body).inspect_err(ended);
        reply.is_whole = read.is_ok() && reply.body.len() == length;
    }
    Ok(reply)
}
