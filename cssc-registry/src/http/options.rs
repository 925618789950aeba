//! How to talk to a registry: the defaults suit a person at a terminal.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::credential::Credential;
use super::request_event::RequestEvent;
use crate::DEFAULT_CONCURRENCY;

/// How to talk to a registry over HTTP.
///
/// ```
/// use cssc_registry::{Credential, OciOptions, OciRegistry};
/// use std::time::Duration;
///
/// let options = OciOptions::default()
///     .timeout(Duration::from_secs(10))
///     .credential(Credential::password("me", "secret"));
/// let registry = OciRegistry::new(&"myregistry.azurecr.io".parse()?, options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OciOptions {
    pub(super) concurrency: NonZeroUsize,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) credentials: Credentials,
    pub(super) credential_files: Option<Vec<PathBuf>>,
    pub(super) helper_timeout: Duration,
    pub(super) plain_http: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) skip_tls_verify: bool,
    pub(super) observer: Option<Observer>,
}

#[derive(Clone)]
pub(super) enum Credentials {
    Find,
    Anonymous,
    Given(Credential),
}

pub(super) type Observer = Arc<dyn Fn(&RequestEvent) + Send + Sync>;

impl Default for OciOptions {
    fn default() -> Self {
        Self {
            concurrency: DEFAULT_CONCURRENCY,
            timeout: Duration::from_secs(30),
            attempts: 4,
            credentials: Credentials::Find,
            credential_files: None,
            helper_timeout: Duration::from_secs(10),
            plain_http: false,
            ca_file: None,
            skip_tls_verify: false,
            observer: None,
        }
    }
}

impl OciOptions {
    /// The most requests under way to one host. Default 16; fewer while the host says that they
    /// are too many.
    pub fn concurrency(mut self, most: NonZeroUsize) -> Self {
        self.concurrency = most;
        self
    }

    /// The longest that one request may take, with all its repetitions, pauses and tokens; where
    /// a blob of any size is read or written, the longest that nothing of it comes or goes.
    /// Default 30 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a request that may be repeated is sent at most. Default 4.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Shows this credential and no other. Default: `CSSC_REGISTRY_TOKEN` or
    /// `CSSC_REGISTRY_USERNAME` and `CSSC_REGISTRY_PASSWORD`, else what the files hold.
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credentials = Credentials::Given(credential);
        self
    }

    /// Shows no credential at all.
    pub fn anonymous(mut self) -> Self {
        self.credentials = Credentials::Anonymous;
        self
    }

    /// Looks for credentials in these files, in the format of docker and podman. Default: what
    /// `DOCKER_AUTH_CONFIG` holds; `REGISTRY_AUTH_FILE`; `config.json` in `DOCKER_CONFIG` or `~/.docker`;
    /// `containers/auth.json` in `XDG_RUNTIME_DIR` and in `XDG_CONFIG_HOME` or `~/.config`.
    pub fn credential_files(mut self, files: Vec<PathBuf>) -> Self {
        self.credential_files = Some(files);
        self
    }

    /// How long a credential helper may take. Default 10 seconds.
    pub fn helper_timeout(mut self, timeout: Duration) -> Self {
        self.helper_timeout = timeout;
        self
    }

    /// Speaks plain HTTP, and sends credentials over it, wherever the registry is. Default: TLS,
    /// except that on loopback plain HTTP is tried first.
    pub fn plain_http(mut self, plain: bool) -> Self {
        self.plain_http = plain;
        self
    }

    /// Trusts the certificates in this PEM file too, beside those of the system or those in
    /// `SSL_CERT_FILE`.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Believes any server to be the one it says it is. Default false.
    pub fn insecure_skip_tls_verify(mut self, skip: bool) -> Self {
        self.skip_tls_verify = skip;
        self
    }

    /// Is told of every request, on the thread that makes it.
    pub fn observer(mut self, observer: impl Fn(&RequestEvent) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }
}

impl fmt::Debug for OciOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OciOptions")
            .field("concurrency", &self.concurrency)
            .field("timeout", &self.timeout)
            .field("attempts", &self.attempts)
            .field("plain_http", &self.plain_http)
            .field("ca_file", &self.ca_file)
            .field("skip_tls_verify", &self.skip_tls_verify)
            .finish_non_exhaustive()
    }
}
