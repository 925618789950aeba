//! The HTTP client underneath: `reqwest` on a runtime of its own, called from threads that block.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::address::{Address, Scheme};
use super::certificates;
use super::options::OciOptions;
use super::proxy::Proxies;
use super::request::{Request, Response};
use crate::ListBudget;
use crate::budget::Reservation;
use crate::error::RegistryError;

const USER_AGENT: &str = concat!("cssc/", env!("CARGO_PKG_VERSION"));
/// The longest that making a connection may take, through a proxy and with TLS.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is read of a response that is no success.
const MAX_ERROR_LEN: u64 = 64 << 10;
/// The most bytes of all header names and values.
const MAX_HEADER_LEN: usize = 64 << 10;

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Failure {
    /// The deadline passed.
    Deadline,
    /// The client could not be made, or there is no memory for the response.
    Unusable(RegistryError),
    /// No response came.
    Http(reqwest::Error),
    /// The body of the response did not come to its end.
    Cut(reqwest::Error),
    /// The response is larger than this.
    TooLarge(String),
}

/// Sends single requests, over connections that are kept.
pub(super) struct Client {
    runtime: OnceLock<Result<Runtime, RegistryError>>,
    /// By scheme, directly and through the proxy of the environment.
    clients: [[OnceLock<Result<reqwest::Client, RegistryError>>; 2]; 2],
    pub(super) proxies: Proxies,
    certificates: Vec<CertificateDer<'static>>,
    skip_tls_verify: bool,
    concurrency: usize,
}

impl Client {
    pub(super) fn new(options: &OciOptions) -> Result<Self, RegistryError> {
        let certificates = match &options.ca_file {
            Some(path) => certificates::read_ca_file(path)?,
            None => Vec::new(),
        };
        Ok(Self {
            runtime: OnceLock::new(),
            clients: Default::default(),
            proxies: Proxies::from_environment(),
            certificates,
            skip_tls_verify: options.skip_tls_verify,
            concurrency: options.concurrency.get(),
        })
    }

    /// Sends a request once, and reads the response, all before `deadline`. What is too long in a
    /// response that is no success is left out: the status says enough.
    pub(super) fn send(
        &self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        let client = self.client(&request.address).map_err(Failure::Unusable)?;
        let runtime = (self.runtime.get_or_init(Runtime::start).as_ref())
            .map_err(|error| Failure::Unusable(error.clone()))?;
        let mut builder = client.request(request.method.clone(), request.address.to_string());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body.to_vec());
        }
        let (address, limit) = (request.address.clone(), request.limit);
        let mut memory = request.budget.as_ref().map(ListBudget::reservation);
        let exchange = async move {
            let response = builder.send().await.map_err(Failure::Http)?;
            let (status, headers) = (response.status(), response.headers().clone());
            if length(&headers) > MAX_HEADER_LEN {
                return Err(Failure::TooLarge(format!(
                    "{MAX_HEADER_LEN} bytes of headers"
                )));
            }
            let limit = if status.is_success() {
                limit
            } else {
                MAX_ERROR_LEN
            };
            let body = match read(response, limit, memory.as_mut()).await {
                Err(Failure::Cut(_) | Failure::TooLarge(_)) if !status.is_success() => Vec::new(),
                body => body?,
            };
            Ok(Response {
                status: status.as_u16(),
                headers,
                body,
                address,
                is_repeated: false,
                _memory: memory,
            })
        };
        runtime.run(async move {
            let timed = tokio::time::timeout_at(deadline.into(), exchange);
            timed.await.unwrap_or(Err(Failure::Deadline))
        })
    }

    fn client(&self, address: &Address) -> Result<reqwest::Client, RegistryError> {
        let proxy = self.proxies.of(address)?;
        let is_tls = address.scheme == Scheme::Https;
        let [plain, secure] = &self.clients;
        let [direct, proxied] = if is_tls { secure } else { plain };
        let client = if proxy.is_some() { proxied } else { direct };
        client.get_or_init(|| self.build(is_tls, proxy)).clone()
    }

    fn build(&self, is_tls: bool, proxy: Option<&str>) -> Result<reqwest::Client, RegistryError> {
        // Reading the system's certificates takes a while, and plain HTTP needs none; a proxy
        // may.
        let tls: ClientConfig = if is_tls || proxy.is_some() {
            certificates::client_config(&self.certificates, self.skip_tls_verify)?
        } else {
            certificates::no_config()?
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(self.concurrency)
            .dns_resolver(Resolver)
            .tls_backend_preconfigured(tls);
        let unusable = |error: &reqwest::Error| {
            RegistryError::input(format!("cannot create the HTTP client: {error}"))
        };
        if let Some(proxy) = proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|error| unusable(&error))?;
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|error| unusable(&error))
    }
}

/// The bytes of all names and values.
fn length(headers: &HeaderMap) -> usize {
    headers.iter().fold(0, |length, (name, value)| {
        length
            .saturating_add(name.as_str().len())
            .saturating_add(value.len())
    })
}

/// Reads a body of at most `limit` bytes.
async fn read(
    mut response: reqwest::Response,
    limit: u64,
    mut memory: Option<&mut Reservation>,
) -> Result<Vec<u8>, Failure> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::Cut)? {
        let length = body.len().saturating_add(chunk.len());
        if length > most {
            return Err(Failure::TooLarge(format!("{limit} bytes")));
        }
        if length > body.capacity() {
            let capacity = length.max(body.capacity().saturating_mul(2));
            if let Some(memory) = &mut memory {
                memory.resize(capacity).map_err(Failure::Unusable)?;
            }
            body.reserve_exact(capacity.saturating_sub(body.len()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A runtime on a thread of its own; both end when it is dropped.
struct Runtime {
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl Runtime {
    fn start() -> Result<Self, RegistryError> {
        let failed = |error: io::Error| {
            RegistryError::unavailable(format!("cannot start the HTTP client: {error}"))
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new()
            .name("cssc-http".to_owned())
            .spawn(move || drop(runtime.block_on(stopped)))
            .map_err(failed)?;
        Ok(Self {
            handle,
            _stop: stop,
        })
    }

    /// Waits for what is done on the runtime. Unlike `block_on` this may be called anywhere, by
    /// a thread of another runtime too.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            // Nobody waits for it any more only if the waiting thread has died.
            drop(sender.send(work.await));
        });
        receiver.recv().unwrap_or_else(|_| {
            Err(Failure::Unusable(RegistryError::unavailable(
                "the HTTP client has ended",
            )))
        })
    }
}

/// The system's resolver, with failures that can be told from others.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(addresses) => {
                    let addresses: Vec<_> = addresses.collect();
                    Ok(Box::new(addresses.into_iter()) as Addrs)
                }
                Err(_) => Err(Box::new(HostNotFound) as Box<dyn Error + Send + Sync>),
            }
        })
    }
}

/// The resolver knows no address of a host.
#[derive(Debug)]
pub(super) struct HostNotFound;

impl Error for HostNotFound {}

impl fmt::Display for HostNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host was not found")
    }
}
