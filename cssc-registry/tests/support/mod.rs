//! A real registry for tests: distribution as Debian packages it, with images that `skopeo`
//! pushes.
#![allow(dead_code, reason = "every test file uses another part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

pub(crate) mod olareg;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::json;

/// Whether all of `tools` are installed. Where one is missing the test fails if
/// `CSSC_REQUIRE_TOOLS` is 1, and is to be left out with a line that says so otherwise.
pub(crate) fn has_tools(tools: &[&str]) -> bool {
    for tool in tools {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
        if !is_there {
            assert!(
                std::env::var("CSSC_REQUIRE_TOOLS").as_deref() != Ok("1"),
                "`{tool}` is not installed"
            );
            eprintln!("left out: `{tool}` is not installed");
            return false;
        }
    }
    true
}

/// The user and the password that a registry with a password wants.
pub(crate) const USER: &str = "me";
pub(crate) const PASSWORD: &str = "not: a secret";

/// How a registry is started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup {
    pub(crate) tls: bool,
    pub(crate) password: bool,
    pub(crate) forbid_deletion: bool,
}

/// A `docker-registry` process on a loopback port that the system chose.
pub(crate) struct DockerRegistry {
    process: Child,
    port: u16,
    setup: Setup,
    directory: tempfile::TempDir,
    sent: Arc<AtomicU64>,
}

impl DockerRegistry {
    pub(crate) fn start(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut config = json!({
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": path("data")},
                "delete": {"enabled": !setup.forbid_deletion},
            },
            "http": {"addr": "127.0.0.1:0", "secret": "test"},
        });
        if setup.tls {
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
                .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
                .args(["-subj", "/CN=localhost"])
                .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
                .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
                .stderr(Stdio::null())
                .status();
            assert!(made.unwrap().success());
            config["http"]["tls"] =
                json!({"certificate": path("cert.pem"), "key": path("key.pem")});
        }
        if setup.password {
            let made = Command::new("htpasswd")
                .args(["-Bbc", &path("htpasswd"), USER, PASSWORD])
                .stderr(Stdio::null())
                .status();
            assert!(made.unwrap().success());
            config["auth"] = json!({"htpasswd": {"realm": "test", "path": path("htpasswd")}});
        }
        // JSON is YAML.
        fs::write(path("config.yml"), config.to_string()).unwrap();
        let sent = Arc::default();
        let (process, port) = serve(directory.path(), 0, &sent);
        Self {
            process,
            port,
            setup,
            directory,
            sent,
        }
    }

    /// How many bytes it has sent in the bodies of its answers, by its own log.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Where it keeps what it was given.
    pub(crate) fn storage(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Goes away, as a machine does that loses its power.
    pub(crate) fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Comes back where it was, with what it had.
    pub(crate) fn start_again(&mut self) {
        self.process = serve(self.directory.path(), self.port, &self.sent).0;
    }

    /// Goes on with another configuration, at the same place.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        self.stop();
        let path = self.directory.path().join("config.yml");
        let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
        self.start_again();
    }

    /// Host and port, as a registry is named.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The certificate it shows, when it speaks TLS.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// Pushes an image under some tags of a repository; images with other `content` differ.
    pub(crate) fn push(&self, repository: &str, tags: &[&str], content: &str) {
        let layout = tempfile::tempdir().unwrap();
        write_layout(layout.path(), "image", content);
        for tag in tags {
            let mut skopeo = Command::new("skopeo");
            skopeo.args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--dest-tls-verify=false",
            ]);
            if self.setup.password {
                skopeo.arg(format!("--dest-creds={USER}:{PASSWORD}"));
            }
            let status = skopeo
                .arg(format!("oci:{}:image", layout.path().display()))
                .arg(format!("docker://{}/{repository}:{tag}", self.host()))
                .status();
            assert!(status.unwrap().success());
        }
    }
}

/// Starts a registry in a folder, at a port or one that the system chooses, and waits for it.
fn serve(directory: &Path, port: u16, sent: &Arc<AtomicU64>) -> (Child, u16) {
    let mut process = Command::new("docker-registry")
        .arg("serve")
        .arg(directory.join("config.yml"))
        .env("REGISTRY_HTTP_ADDR", format!("127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(process.stderr.take().unwrap());
    let (sender, port) = mpsc::channel();
    let sent = Arc::clone(sent);
    // Reads on, so that the registry never waits for its log to be read.
    thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                let _ = sender.send(digits.parse().unwrap());
            }
            let written = line.split_once("http.response.written=");
            let written = written.and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            if line.contains("msg=\"response completed\"") && !line.contains("method=HEAD") {
                sent.fetch_add(written.unwrap_or(0), Ordering::Relaxed);
            }
        }
    });
    let port = port.recv_timeout(Duration::from_secs(60));
    (process, port.expect("docker-registry did not start"))
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes an OCI image layout that holds one small image.
pub(crate) fn write_layout(directory: &Path, tag: &str, content: &str) {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let store = |media_type: &str, bytes: &[u8]| {
        let digest = cssc_registry::digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    };
    // An empty tar, which is two blocks of zeros, and whatever makes this image this one.
    let layer = [0_u8; 1024];
    let diff_id = cssc_registry::digest::of(&layer);
    let config = json!({
        "architecture": "amd64", "os": "linux",
        // In the environment, which a patcher sees of it too.
        "config": {"Cmd": ["sh"], "Env": [format!("STANDIN={content}")]},
        "history": [{"created_by": "a test"}],
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": store(
            "application/vnd.oci.image.config.v1+json",
            config.to_string().as_bytes(),
        ),
        "layers": [store("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let mut entry = store(
        "application/vnd.oci.image.manifest.v1+json",
        manifest.to_string().as_bytes(),
    );
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(directory.join("index.json"), index.to_string()).unwrap();
    fs::write(
        directory.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
}
