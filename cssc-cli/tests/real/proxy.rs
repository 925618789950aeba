//! A server before a registry, which sees every request and may refuse it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use cssc_registry::testing::{Reply, TestRegistry, TestRequest};

/// Passes on what `refuses` does not refuse.
pub(crate) fn before(
    registry: String,
    refuses: impl Fn(&TestRequest) -> Option<Reply> + Send + Sync + 'static,
) -> TestRegistry {
    TestRegistry::start(move |request| {
        refuses(request).unwrap_or_else(|| pass_on(&registry, request).1)
    })
    .unwrap()
}

/// Status and answer of the registry. It makes the addresses in its answers of the `Host` that it is given.
pub(crate) fn pass_on(registry: &str, request: &TestRequest) -> (u16, Reply) {
    let mut stream = TcpStream::connect(registry).unwrap();
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        if !["connection", "content-length", "transfer-encoding"].contains(&name.as_str()) {
            head = format!("{head}{name}: {value}\r\n");
        }
    }
    let length = request.body.len();
    head = format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&request.body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.unwrap());
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let status = status.parse().unwrap();
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| name != "connection")
        .collect();
    let is_chunked = |(name, _): &(String, &str)| name == "transfer-encoding";
    let body = if headers.iter().any(is_chunked) {
        unchunked(&body[4..])
    } else {
        body[4..].to_vec()
    };
    let reply = Reply::new(status).body(body);
    let headers = headers.into_iter().filter(|header| !is_chunked(header));
    let reply = headers.fold(reply, |reply, (name, value)| reply.header(&name, value));
    (status, reply)
}

/// A body that came in pieces.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = String::from_utf8_lossy(&rest[..end]);
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        if length == 0 {
            return body;
        }
        let begin = end + 2;
        body.extend_from_slice(&rest[begin..begin + length]);
        rest = &rest[begin + length + 2..];
    }
}
