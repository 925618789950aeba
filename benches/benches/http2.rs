//! Listing 200 repositories of 50 tags over TLS from a server that takes 20 ms to answer: over
//! HTTP/2, and over HTTP/1.1 when the server offers nothing else.
//!
//! `cargo bench -p cssc-benches --bench http2`. Every listing makes its connections anew, as a run of
//! the command line does, and is compared with what the server holds. Beside the times stand the
//! connections over which requests were answered. `openssl` makes the certificate.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use cssc_core::{Listing, Repository};
use cssc_registry::{ListOptions, OciOptions, OciRegistry, list_all};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const DELAY: Duration = Duration::from_millis(20);
const REPOSITORIES: usize = 200;
const TAGS: usize = 50;

/// A server on loopback, for as long as this process runs.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Offers `protocols`, by their names in TLS.
    fn start(folder: &Path, protocols: &[&[u8]]) -> Self {
        let chain = CertificateDer::from_pem_file(folder.join("cert.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key");
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("a certificate that fits the key");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || runtime.block_on(serve(listener, acceptor, count)));
        Self {
            address,
            connections,
        }
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, connections: Arc<AtomicUsize>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (acceptor, connections) = (acceptor.clone(), Arc::clone(&connections));
        tokio::spawn(async move {
            // The client tries plain HTTP first, once.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            connections.fetch_add(1, Ordering::SeqCst);
            let server = auto::Builder::new(TokioExecutor::new());
            // The client closes connections as it likes.
            let ended = server.serve_connection(TokioIo::new(stream), service_fn(answer));
            drop(ended.await);
        });
    }
}

async fn answer(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
    tokio::time::sleep(DELAY).await;
    let tags: Vec<String> = (0..TAGS).map(|tag| format!("\"3.{tag}\"")).collect();
    let page = format!("{{\"tags\": [{}]}}", tags.join(","));
    Ok(Response::new(page))
}

/// A certificate for `localhost`, and its key.
fn certificate(folder: &Path) -> PathBuf {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output();
    assert!(made.expect("openssl").status.success());
    folder.join("cert.pem")
}

fn list(server: &Server, names: &[Repository], certificate: &Path) {
    let options = OciOptions::default().anonymous().ca_file(certificate);
    let host = format!("localhost:{}", server.address.port());
    let client = OciRegistry::new(&host.parse().expect("a valid host"), options);
    let client = client.expect("a client");
    let inventory = list_all(&client, names, &ListOptions::default(), |_| {});
    assert_eq!(inventory.iter().count(), REPOSITORIES);
    for (name, listing) in inventory.iter() {
        assert!(
            matches!(listing, Listing::Found(tags) if tags.len() == TAGS),
            "{name}: {listing:?}"
        );
    }
}

fn listing(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = certificate(folder.path());
    let names: Vec<Repository> = (0..REPOSITORIES)
        .map(|number| format!("r{number}").parse().expect("a valid name"))
        .collect();
    let mut group = criterion.benchmark_group("list over TLS");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    for (name, protocols) in [
        ("HTTP/2", &[&b"h2"[..], b"http/1.1"][..]),
        ("HTTP/1.1", &[b"http/1.1"]),
    ] {
        let server = Server::start(folder.path(), protocols);
        let begun = Instant::now();
        list(&server, &names, &certificate);
        println!(
            "{name}: {:.3?}, {} connections",
            begun.elapsed(),
            server.connections.load(Ordering::SeqCst)
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| list(&server, &names, &certificate));
        });
    }
    group.finish();
}

criterion_group!(benches, listing);
criterion_main!(benches);
