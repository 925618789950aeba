//! TLS that fails says why, also on loopback, where plain HTTP is tried first.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail loudly"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cssc_core::Listing;
use cssc_registry::{OciOptions, OciRegistry, RegistryClient};
use support::has_tools;

/// A server of `openssl`, which speaks TLS and knows nothing of registries.
struct Server {
    process: Child,
    host: String,
}

impl Server {
    fn start(folder: &Path, certificate: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new("openssl")
            .args(["s_server", "-www", "-accept", "127.0.0.1:0"])
            .args(["-cert", &format!("{certificate}.pem"), "-key", "key.pem"])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let accepts = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.strip_prefix("ACCEPT 127.0.0.1:")?.to_owned())
        });
        // Reads on, so that the server never waits for that.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            host: format!("localhost:{}", accepts.expect("a port")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let made = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success(), "{arguments:?}");
}

/// A folder with `key.pem`, and certificates for `localhost` (`good`, signed by `ca`) and for
/// another name.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let make = |arguments: &[&str]| openssl(folder.path(), arguments);
    make(&[
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "key.pem",
    ]);
    for (name, host) in [("ca", "an-authority"), ("other", "other.example")] {
        let (out, subject) = (format!("{name}.pem"), format!("subjectAltName=DNS:{host}"));
        make(&[
            "req", "-x509", "-new", "-key", "key.pem", "-days", "2", "-subj", "/CN=test",
            "-addext", &subject, "-out", &out,
        ]);
    }
    make(&[
        "req",
        "-new",
        "-key",
        "key.pem",
        "-subj",
        "/CN=localhost",
        "-out",
        "good.csr",
    ]);
    fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost").unwrap();
    make(&[
        "x509",
        "-req",
        "-in",
        "good.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "key.pem",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "good.pem",
    ]);
    folder
}

fn list(host: &str, options: OciOptions) -> String {
    let options = options.anonymous().attempts(1);
    let client = OciRegistry::new(&host.parse().unwrap(), options).unwrap();
    match client.list_tags(&"python".parse().unwrap()) {
        Listing::Unavailable(reason) => reason.message().replace(host, "HOST"),
        listing => panic!("{listing:?}"),
    }
}

#[test]
fn a_tls_failure_on_loopback_names_its_cause() {
    if !has_tools(&["openssl"]) {
        return;
    }
    let folder = certificates();
    let trusting = |name: &str| OciOptions::default().ca_file(folder.path().join(name));
    for (certificate, arguments, options, reason) in [
        (
            "good",
            &[][..],
            OciOptions::default(),
            "its certificate is signed by an unknown authority; if you trust it, name a file with \
             the certificate of that authority",
        ),
        (
            "other",
            &[],
            OciOptions::default(),
            "its certificate is self-signed; if you trust it, name a file with it",
        ),
        (
            "other",
            &[],
            trusting("other.pem"),
            "its certificate is for another name",
        ),
        (
            "good",
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            trusting("ca.pem"),
            "it only supports insecure versions of TLS; TLS 1.2 or 1.3 is required",
        ),
        (
            "good",
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"],
            trusting("ca.pem"),
            "it supports none of the secure TLS cipher suites",
        ),
        (
            "good",
            &["-Verify", "1", "-verify_return_error"],
            trusting("ca.pem"),
            "it requires a client certificate, which is not supported",
        ),
    ] {
        let server = Server::start(folder.path(), certificate, arguments);
        assert_eq!(
            list(&server.host, options),
            format!("no secure connection to `HOST`: {reason}"),
            "{certificate} {arguments:?}"
        );
    }
    // What is right is let through, to a server that is no registry.
    let server = Server::start(folder.path(), "good", &[]);
    let told = list(&server.host, trusting("ca.pem"));
    assert!(
        told.contains("did not answer with a list of tags"),
        "{told}"
    );
}

#[test]
fn a_connection_that_is_cut_is_no_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let told = list(&host, OciOptions::default());
    assert!(told.contains("connection to `HOST`"), "{told}");
}

#[test]
fn a_file_of_certificates_is_read_with_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let refused = |path: &Path| {
        let options = OciOptions::default().anonymous().ca_file(path);
        let error = OciRegistry::new(&"localhost:5000".parse().unwrap(), options).unwrap_err();
        assert!(error.is_invalid_input());
        let message = error.to_string();
        let begin = format!("cannot use the certificates in `{}`: ", path.display());
        message.strip_prefix(&begin).expect(&message).to_owned()
    };
    // Sparse: no disk holds it.
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(refused(&path), "it is larger than 8388608 bytes");
    fs::write(&path, "nothing").unwrap();
    assert_eq!(refused(&path), "it holds no PEM certificate");
    fs::write(&path, "-----BEGIN CERTIFICATE-----\nx").unwrap();
    assert_eq!(refused(&path), "it is not a valid PEM file");
    assert_eq!(refused(folder.path()), "it is not a regular file");
}
