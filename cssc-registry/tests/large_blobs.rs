//! Blobs that are read and written as they come, from and to registries that break off, stall, lie
//! and refuse.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly"
)]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use cssc_core::Repository;
use cssc_registry::digest::Hasher;
use cssc_registry::testing::{Reply, TestRegistry, TestRequest};
use cssc_registry::{
    BlobReader, Credential, Descriptor, OciOptions, OciRegistry, RegistryClient, RegistryError,
};

const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60);

/// Where little memory is measured, and others must not take much at the same time.
static ALONE: Mutex<()> = Mutex::new(());

fn python() -> Repository {
    "python".parse().unwrap()
}

fn client(host: &str, timeout: Duration) -> OciRegistry {
    let options = OciOptions::default().anonymous().timeout(timeout);
    OciRegistry::new(&host.parse().unwrap(), options).unwrap()
}

fn start(answer: impl Fn(&TestRequest) -> Reply + Send + Sync + 'static) -> TestRegistry {
    TestRegistry::start(answer).unwrap()
}

fn open(registry: &TestRegistry, blob: &[u8]) -> Result<BlobReader, RegistryError> {
    let client = client(&registry.host(), SHORT);
    client.open_blob(&python(), &Descriptor::of("", blob))
}

/// Why reading a blob fails that is answered so.
fn broken(reply: Reply, blob: &[u8]) -> (io::ErrorKind, String) {
    let registry = start(move |_| reply.clone());
    // The client lives for as long as the reader.
    let client = client(&registry.host(), SHORT);
    let blob = Descriptor::of("", blob);
    let mut reader = client.open_blob(&python(), &blob).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    let told = error.to_string().replace(&registry.host(), "HOST");
    (error.kind(), told)
}

#[test]
fn a_body_that_is_not_what_it_should_be_is_an_error() {
    let blob = b"twenty bytes of blob";
    let digest = cssc_registry::digest::of(blob);
    let (kind, told) = broken(
        Reply::new(200).body(blob).dripping(Duration::from_secs(3)),
        blob,
    );
    assert_eq!(kind, io::ErrorKind::TimedOut);
    assert_eq!(told, "`HOST` sent nothing for 500ms");
    let cut = Reply::new(200).body(&blob[..7]).claiming_length(20);
    let (kind, told) = broken(cut, blob);
    assert_eq!(kind, io::ErrorKind::UnexpectedEof);
    assert_eq!(told, "the connection to `HOST` was cut");
    for reply in [
        Reply::new(200).body("twenty bytes of blub"),
        Reply::new(200).body(blob).endless(),
    ] {
        let (kind, told) = broken(reply, blob);
        assert_eq!(kind, io::ErrorKind::InvalidData);
        assert_eq!(told, format!("the content does not match `{digest}`"));
    }
    let raw = format!("HTTP/1.0 200 OK\r\n\r\n{}", "twenty");
    let (kind, _) = broken(Reply::raw(raw), blob);
    assert_eq!(kind, io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_length_that_is_another_one_is_told_at_once() {
    for length in [0, 19, 21, u64::MAX] {
        let registry = start(move |_| Reply::new(200).claiming_length(length));
        let error = open(&registry, b"twenty bytes of blob").unwrap_err();
        assert!(error.is_invalid_answer() || length == u64::MAX, "{error}");
        if length == 19 {
            let told = error.to_string().replace(&registry.host(), "HOST");
            assert!(
                told.ends_with("`HOST` sends 19 bytes, where there should be 20"),
                "{told}"
            );
        }
    }
    let registry = start(|_| Reply::error(404, "BLOB_UNKNOWN"));
    assert!(open(&registry, b"").unwrap_err().is_absent());
}

#[test]
fn slow_is_no_failure_as_long_as_it_moves() {
    let blob = b"twenty bytes of blob";
    let registry = start(move |_| {
        Reply::new(200)
            .body(blob)
            .dripping(Duration::from_millis(100))
    });
    let client = client(&registry.host(), SHORT);
    let mut reader = client
        .open_blob(&python(), &Descriptor::of("", blob))
        .unwrap();
    let mut read = Vec::new();
    let begun = Instant::now();
    reader.read_to_end(&mut read).unwrap();
    assert_eq!(read, blob);
    assert!(begun.elapsed() > SHORT * 3);
}

#[test]
fn what_passes_is_asked_again_until_there_is_an_answer() {
    let count = AtomicUsize::new(0);
    let registry = start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Reply::new(503),
        2 => Reply::raw(""),
        _ => Reply::new(200).body("blob"),
    });
    let client = client(&registry.host(), LONG);
    let mut reader = client
        .open_blob(&python(), &Descriptor::of("", b"blob"))
        .unwrap();
    assert_eq!(io::read_to_string(&mut reader).unwrap(), "blob");
    assert_eq!(registry.request_count(), 4);
}

#[test]
fn another_host_that_keeps_the_blob_sees_no_credential() {
    let storage = start(|_| Reply::new(200).body("blob"));
    let place = format!("http://{}/b?signature=s", storage.host());
    let registry = start(move |request| match request.header("authorization") {
        None => Reply::new(401).header("www-authenticate", "Basic realm=x"),
        Some(_) => Reply::new(307).header("location", place.clone()),
    });
    let options = OciOptions::default().credential(Credential::password("me", "hunter2"));
    let client = OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap();
    let reader = client.open_blob(&python(), &Descriptor::of("", b"blob"));
    assert_eq!(io::read_to_string(reader.unwrap()).unwrap(), "blob");
    let asked = storage.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn a_reader_counts_among_the_requests_until_it_ends() {
    let registry = start(|request| match request.method.as_str() {
        "HEAD" => Reply::new(200),
        _ => Reply::new(200).body("blob"),
    });
    let options = OciOptions::default().anonymous().timeout(SHORT);
    let options = options.concurrency(NonZeroUsize::new(1).unwrap());
    let client = OciRegistry::new(&registry.host().parse().unwrap(), options).unwrap();
    let blob = Descriptor::of("", b"blob");
    let open = || client.open_blob(&python(), &blob).unwrap();
    let is_free = || client.has_blob(&python(), &blob.digest) == Ok(true);
    let mut reader = open();
    assert!(!is_free());
    // It knows the length, and does not read beyond it.
    reader.read_exact(&mut [0; 4]).unwrap();
    assert!(is_free());
    drop(reader);
    let reader = open();
    assert!(!is_free());
    drop(reader);
    assert!(is_free());
}

/// Serves each connection, one request in each, with a function that gets the head of the request
/// and what follows.
fn serve(
    answer: impl Fn(&str, &mut BufReader<TcpStream>) -> io::Result<()> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if stream.read_line(&mut head).unwrap_or(0) == 0 {
                        return;
                    }
                }
                let _ = answer(&head, &mut stream);
            });
        }
    });
    host
}

fn respond(stream: &mut BufReader<TcpStream>, status: u16, headers: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}\r\n");
    stream.get_mut().write_all(head.as_bytes())
}

#[test]
fn a_reader_that_is_dropped_ends_the_request() {
    let (sender, ended) = mpsc::channel();
    let sender = Mutex::new(sender);
    let host = serve(move |_, stream| {
        respond(stream, 200, "")?;
        let piece = vec![0; 1 << 16];
        while stream.get_mut().write_all(&piece).is_ok() {}
        sender.lock().unwrap().send(()).unwrap();
        Ok(())
    });
    let client = client(&host, LONG);
    let mut blob = Descriptor::of("", b"blob");
    blob.size = 1 << 40;
    let mut reader = client.open_blob(&python(), &blob).unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    assert!(ended.recv_timeout(Duration::from_millis(300)).is_err());
    drop(reader);
    ended.recv_timeout(LONG).unwrap();
}

#[test]
fn a_reader_ends_with_its_client() {
    let registry = start(|_| Reply::new(200).body("blob").dripping(SHORT));
    let client = client(&registry.host(), LONG);
    let blob = Descriptor::of("", b"blob");
    let mut reader = client.open_blob(&python(), &blob).unwrap();
    drop(client);
    let begun = Instant::now();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the HTTP client has ended");
    assert!(begun.elapsed() < LONG);
}

/// A file with a blob of some length in it that nothing else has.
fn file(length: usize) -> (tempfile::TempDir, PathBuf, Descriptor) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer");
    let mut file = fs::File::create(&path).unwrap();
    let mut left = length;
    while left > 0 {
        let part = left.min(1 << 20);
        file.write_all(&vec![u8::try_from(left % 251).unwrap(); part])
            .unwrap();
        left -= part;
    }
    let mut blob = Descriptor::of("", b"");
    blob.size = u64::try_from(length).unwrap();
    blob.digest = digest_of(&path);
    (folder, path, blob)
}

fn digest_of(path: &Path) -> cssc_registry::Digest {
    let output = std::process::Command::new("sha256sum").arg(path).output();
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    format!("sha256:{}", &output[..64]).parse().unwrap()
}

#[test]
fn what_is_there_is_not_sent() {
    let registry = start(|_| Reply::new(200));
    let (_folder, path, blob) = file(2 << 20);
    let client = client(&registry.host(), LONG);
    client.put_blob_file(&python(), &blob, &path).unwrap();
    let requests = registry.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, "HEAD");
}

/// Takes uploads as `put` says.
fn uploads(put: impl Fn(&TestRequest) -> Reply + Send + Sync + 'static) -> TestRegistry {
    start(move |request| match request.method.as_str() {
        "HEAD" => Reply::error(404, "BLOB_UNKNOWN"),
        "POST" => Reply::new(202).header("location", "/upload"),
        "PATCH" => Reply::new(202),
        _ => put(request),
    })
}

#[test]
fn a_file_that_is_refused_in_one_piece_goes_in_chunks() {
    let (_folder, path, blob) = file((3 << 20) + 5);
    let registry = uploads(|request| match request.body.len() {
        0 => Reply::new(201),
        _ => Reply::new(413),
    });
    let client = client(&registry.host(), LONG);
    client.put_blob_file(&python(), &blob, &path).unwrap();
    let requests = registry.requests();
    let patches = requests.iter().filter(|request| request.method == "PATCH");
    let ranges: Vec<_> = patches
        .clone()
        .map(|r| r.header("content-range").unwrap())
        .collect();
    assert_eq!(
        ranges,
        [
            "0-1048575",
            "1048576-2097151",
            "2097152-3145727",
            "3145728-3145732"
        ]
    );
    let sent: Vec<u8> = patches.flat_map(|r| r.body.clone()).collect();
    assert!(cssc_registry::digest::matches(&blob.digest, &sent));
}

/// The blob of a file, and what it is not: another digest, a byte more, a byte less.
fn wrong(blob: &Descriptor) -> [Descriptor; 3] {
    let [mut other, mut longer, mut shorter] = [blob.clone(), blob.clone(), blob.clone()];
    other.digest = cssc_registry::digest::of(b"other");
    longer.size += 1;
    shorter.size -= 1;
    [other, longer, shorter]
}

/// Asserts that a file is not taken for this blob.
fn is_refused(host: &str, path: &Path, blob: &Descriptor) {
    let error = client(host, LONG).put_blob_file(&python(), blob, path);
    let error = error.unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    let (path, digest, size) = (path.display(), &blob.digest, blob.size);
    let told = format!("`{path}` is not `{digest}` of {size} bytes");
    assert!(error.to_string().ends_with(&told), "{error}");
}

#[test]
fn a_file_that_is_another_one_is_never_complete() {
    let (folder, path, blob) = file((2 << 20) + 7);
    for blob in wrong(&blob) {
        let registry = uploads(|_| Reply::new(201));
        is_refused(&registry.host(), &path, &blob);
        for request in registry.requests() {
            let length = u64::try_from(request.body.len()).unwrap();
            assert!(request.method != "PUT" || length < blob.size);
        }
    }
    let registry = uploads(|_| Reply::new(201));
    let client = client(&registry.host(), LONG);
    for (path, told) in [
        (folder.path().to_owned(), "it is not a regular file"),
        (path.with_extension("x"), "No such file"),
    ] {
        let error = client.put_blob_file(&python(), &blob, &path).unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn a_file_that_is_another_one_is_never_complete_in_chunks_either() {
    let (_folder, path, blob) = file((2 << 20) + 7);
    for blob in wrong(&blob) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let host = serve(move |head, stream| {
            let length = length(head);
            match head.split(' ').next().unwrap() {
                "HEAD" => respond(stream, 404, "content-length: 0\r\n"),
                "POST" => respond(stream, 202, "location: /upload\r\ncontent-length: 0\r\n"),
                "PATCH" => {
                    io::copy(&mut stream.by_ref().take(length), &mut io::sink())?;
                    counted.fetch_add(1, Ordering::SeqCst);
                    respond(stream, 202, "content-length: 0\r\n")
                }
                _ if length > 0 => {
                    // Before it has all, or even much.
                    respond(stream, 413, "content-length: 0\r\n")?;
                    io::copy(stream, &mut io::sink()).map(drop)
                }
                _ => {
                    counted.fetch_add(1000, Ordering::SeqCst);
                    respond(stream, 201, "content-length: 0\r\n")
                }
            }
        });
        is_refused(&host, &path, &blob);
        // The last chunk is held back, and nothing ends the upload.
        assert_eq!(taken.load(Ordering::SeqCst), 2);
    }
}

/// The length that the head of a request states.
fn length(head: &str) -> u64 {
    let head = head.to_ascii_lowercase();
    let stated = head.split_once("content-length: ");
    stated.map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap())
}

#[test]
fn a_connection_that_is_closed_over_a_large_piece_is_no_end() {
    // With a word before it closes, or without; the rest of the piece is not read.
    for has_word in [true, false] {
        let (_folder, path, blob) = file(24 << 20);
        let chunks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&chunks);
        let host = serve(move |head, stream| {
            let length = length(head);
            match head.split(' ').next().unwrap() {
                "HEAD" => respond(stream, 404, "content-length: 0\r\n"),
                "POST" => respond(stream, 202, "location: /upload\r\ncontent-length: 0\r\n"),
                "PUT" if length > 0 => {
                    stream.read_exact(&mut vec![0; 1 << 16])?;
                    if has_word {
                        respond(stream, 413, "content-length: 0\r\n")?;
                    }
                    Ok(())
                }
                _ => {
                    io::copy(&mut stream.by_ref().take(length), &mut io::sink())?;
                    counted.fetch_add(1, Ordering::SeqCst);
                    respond(stream, 201, "content-length: 0\r\n")
                }
            }
        });
        let client = client(&host, LONG);
        client.put_blob_file(&python(), &blob, &path).unwrap();
        assert_eq!(chunks.load(Ordering::SeqCst), 25, "{has_word}");
    }
}

/// A registry whose uploads are read by `put`; all else is as it should be.
fn slow_uploads(
    put: impl Fn(u64, &mut BufReader<TcpStream>) -> io::Result<()> + Send + Sync + 'static,
) -> String {
    serve(move |head, stream| match head.split(' ').next().unwrap() {
        "HEAD" => respond(stream, 404, "content-length: 0\r\n"),
        "POST" => respond(stream, 202, "location: /upload\r\ncontent-length: 0\r\n"),
        _ => {
            put(length(head), stream)?;
            respond(stream, 201, "content-length: 0\r\n")
        }
    })
}

#[test]
fn an_upload_may_take_long_but_not_stand_still() {
    let _alone = ALONE.lock().unwrap();
    let (_folder, path, blob) = file(24 << 20);
    let steady = slow_uploads(|length, stream| {
        let mut piece = vec![0; 1 << 20];
        for _ in 0..length >> 20 {
            stream.read_exact(&mut piece)?;
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    });
    let begun = Instant::now();
    let slow = client(&steady, Duration::from_secs(1));
    slow.put_blob_file(&python(), &blob, &path).unwrap();
    assert!(begun.elapsed() > Duration::from_secs(2));

    let stalled = slow_uploads(|_, stream| {
        stream.read_exact(&mut vec![0; 1 << 20])?;
        thread::sleep(LONG);
        Ok(())
    });
    let begun = Instant::now();
    let error = client(&stalled, SHORT).put_blob_file(&python(), &blob, &path);
    let error = error.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("did not answer within 500ms"));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// The most memory that this process has taken, in bytes, since the last time that it was forgotten.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

#[test]
#[cfg(target_os = "linux")]
fn sixty_megabytes_take_a_few() {
    const LENGTH: usize = 60 << 20;
    const FEW: u64 = 16 << 20;
    let _alone = ALONE.lock().unwrap();
    let (_folder, path, blob) = file(LENGTH);
    let source = path.clone();
    let host = serve(move |head, stream| match head.split(' ').next().unwrap() {
        "GET" => {
            respond(stream, 200, &format!("content-length: {LENGTH}\r\n"))?;
            io::copy(&mut fs::File::open(&source)?, stream.get_mut()).map(drop)
        }
        "HEAD" => respond(stream, 404, "content-length: 0\r\n"),
        "POST" => respond(stream, 202, "location: /upload\r\ncontent-length: 0\r\n"),
        method => {
            let length = length(head);
            io::copy(&mut stream.by_ref().take(length), &mut io::sink())?;
            let status = if method == "PUT" && length > 0 {
                413
            } else {
                202
            };
            respond(stream, status, "content-length: 0\r\n")
        }
    });
    let client = client(&host, LONG);
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    let mut reader = client.open_blob(&python(), &blob).unwrap();
    // Slower than it comes, so that there is something to be held back.
    let mut hasher = Hasher::new(&blob.digest);
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = reader.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        thread::sleep(Duration::from_millis(1));
    }
    assert!(hasher.is(&blob.digest));
    let read = peak() - before;
    assert!(read < FEW, "{read} bytes to read");
    // In one piece first, and in chunks.
    client.put_blob_file(&python(), &blob, &path).unwrap();
    let written = peak() - before;
    assert!(written < FEW, "{written} bytes to write");
}
