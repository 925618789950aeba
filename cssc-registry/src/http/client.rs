//! The HTTP client underneath: `reqwest` on a runtime of its own, called from threads that block.

use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use tokio::runtime::{Builder, Runtime};

use super::address::Address;
use super::certificates;
use super::content::Patience;
use super::options::OciOptions;
use super::proxy::Proxies;
use super::request::{Request, Response};
use super::stream::BodyStream;
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
    /// None came, or its body did not come to its end.
    Http(reqwest::Error),
    /// It is too large, and in what.
    TooLarge(String),
    /// It will not be otherwise another time.
    Permanent(RegistryError),
}

/// Sends single requests, over connections that are kept.
pub(super) struct Client {
    http: reqwest::Client,
    pub(super) proxies: Arc<Proxies>,
    runtime: OnceLock<Result<Runtime, RegistryError>>,
    /// How long nothing may come or go.
    timeout: Duration,
}

impl Client {
    pub(super) fn new(options: &OciOptions) -> Result<Self, RegistryError> {
        let named = options.ca_file.as_deref();
        let named = named.map(certificates::read_ca_file).transpose()?;
        let tls = certificates::client_config(named.unwrap_or_default(), options.skip_tls_verify)?;
        let proxies = Arc::new(Proxies::from_environment());
        let known = Arc::clone(&proxies);
        let proxy = reqwest::Proxy::custom(move |url| {
            let address = Address::parse(url.as_str())?;
            known.of(&address).ok().flatten().cloned()
        });
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .proxy(proxy)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(options.concurrency.get())
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| {
                RegistryError::input(format!("cannot create the HTTP client: {error}"))
            })?;
        Ok(Self {
            http,
            proxies,
            runtime: OnceLock::new(),
            timeout: options.timeout,
        })
    }

    /// Sends a request once, and reads the response, all before `deadline`; what is large may
    /// take longer, as long as it moves. May be called anywhere, by a thread of another runtime
    /// too.
    pub(super) fn send(
        &self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        // The client underneath asks again, and would take an error for no proxy.
        (self.proxies.of(&request.address)).map_err(Failure::Permanent)?;
        let runtime = self.runtime.get_or_init(start_runtime).as_ref();
        let runtime = runtime.map_err(|error| Failure::Permanent(error.clone()))?;
        let mut builder = (self.http).request(request.method.clone(), request.address.to_string());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let patience = Arc::new(Patience::new(self.timeout));
        if let Some(content) = request.body {
            let body = content.body(runtime.handle(), &patience);
            builder = builder.body(body.map_err(Failure::Permanent)?);
        }
        let reading = Reading {
            limit: request.limit,
            quiet: self.timeout,
            memory: request.budget.as_ref().map(ListBudget::reservation),
        };
        let exchange = exchange(builder, request.address.clone(), reading);
        let is_large = request.is_large();
        let (sender, receiver) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            let result = if is_large {
                patience.wait(exchange).await
            } else {
                let timed = tokio::time::timeout_at(deadline.into(), exchange).await;
                timed.unwrap_or(Err(Failure::Deadline))
            };
            // It is not waited for any more only if the waiting thread has died.
            drop(sender.send(result));
        });
        receiver.recv().unwrap_or_else(|_| {
            let ended = RegistryError::unavailable("the HTTP client has ended");
            Err(Failure::Permanent(ended))
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Waiting for its thread, as a runtime does by itself, is not allowed everywhere.
        if let Some(Ok(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn start_runtime() -> Result<Runtime, RegistryError> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("cssc-http")
        .enable_all()
        .build();
    runtime.map_err(|error| {
        RegistryError::unavailable(format!("cannot start the HTTP client: {error}"))
    })
}

/// How an answer is read.
struct Reading {
    /// The most bytes of a success; none leaves it to be read as it comes.
    limit: Option<u64>,
    /// How long nothing may come when it is read so.
    quiet: Duration,
    memory: Option<Reservation>,
}

async fn exchange(
    request: reqwest::RequestBuilder,
    address: Address,
    reading: Reading,
) -> Result<Response, Failure> {
    let response = request.send().await.map_err(Failure::Http)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let lengths = headers
        .iter()
        .map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    if lengths.fold(0, usize::saturating_add) > MAX_HEADER_LEN {
        return Err(Failure::TooLarge(format!(
            "more than {MAX_HEADER_LEN} bytes of headers"
        )));
    }
    let mut memory = reading.memory;
    let mut answer = Response {
        status: status.as_u16(),
        headers,
        body: Vec::new(),
        stream: None,
        address,
        is_repeated: false,
        _memory: None,
    };
    let limit = match reading.limit {
        _ if !status.is_success() => MAX_ERROR_LEN,
        Some(limit) => limit,
        None => {
            let host = answer.address.authority();
            answer.stream = Some(BodyStream::new(response, host, reading.quiet));
            return Ok(answer);
        }
    };
    answer.body = match read(response, limit, memory.as_mut()).await {
        // What is too long or cut is left out: the status says enough.
        Err(Failure::Http(_) | Failure::TooLarge(_)) if !status.is_success() => Vec::new(),
        body => body?,
    };
    Ok(Response {
        _memory: memory,
        ..answer
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
    while let Some(chunk) = response.chunk().await.map_err(Failure::Http)? {
        let length = body.len().saturating_add(chunk.len());
        if length > most {
            return Err(Failure::TooLarge(format!("more than {limit} bytes")));
        }
        if length > body.capacity() {
            let capacity = length.max(body.capacity().saturating_mul(2));
            if let Some(memory) = &mut memory {
                memory.resize(capacity).map_err(Failure::Permanent)?;
            }
            body.reserve_exact(capacity.saturating_sub(body.len()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
