//! One request and its answer, repeated where that may help: no credentials, no redirects.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::CertificateDer;
use ureq::config::Config;
use ureq::http::{HeaderMap, Method, Request};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, Timeout};

use super::address::{Address, Scheme};
use super::limiter::{Limiter, NoPermit};
use super::observe::RequestEvent;
use super::options::{Observer, OciOptions};
use super::tls::TlsConnector;
use super::{retry, trust};
use crate::registry::error::RegistryError;

const USER_AGENT: &str = concat!("cssc/", env!("CARGO_PKG_VERSION"));
/// What is read of an answer that is no success.
const MAX_ERROR_LEN: u64 = 64 << 10;
/// The longest that making a connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADER_LEN: usize = 64 << 10;

/// A request, ready to be sent.
#[derive(Clone)]
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    pub(super) address: Address,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<&'a [u8]>,
    /// The most bytes of a successful answer that are read.
    pub(super) limit: u64,
    /// Whether sending it twice does no more than sending it once.
    pub(super) repeatable: bool,
    /// Whether to come back at once when something answers that does not speak HTTP.
    pub(super) sniffs: bool,
}

impl Outgoing<'_> {
    pub(super) fn get(address: Address, limit: u64) -> Self {
        Self {
            method: Method::GET,
            address,
            headers: Vec::new(),
            body: None,
            limit,
            repeatable: true,
            sniffs: false,
        }
    }
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Where it came from.
    pub(super) address: Address,
    pub(super) is_head: bool,
    /// Whether the request had been sent before, so that it may have been done before too.
    pub(super) is_repeated: bool,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn all_headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok())
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
pub(super) struct Silence {
    pub(super) error: RegistryError,
    /// Whether trying again may help.
    passing: bool,
    /// Whether something listens there that does not speak HTTP.
    pub(super) is_garbled: bool,
}

/// Sends requests to any host, within the limits of each.
pub(super) struct Wire {
    plain: Agent,
    tls: OnceLock<Result<Agent, RegistryError>>,
    certificates: Vec<CertificateDer<'static>>,
    skip_tls_verify: bool,
    concurrency: usize,
    attempts: u32,
    timeout: Duration,
    limiters: Mutex<BTreeMap<String, Arc<Limiter>>>,
    observer: Option<Observer>,
}

impl Wire {
    pub(super) fn new(options: &OciOptions) -> Result<Self, RegistryError> {
        let certificates = match &options.ca_file {
            Some(path) => trust::read_ca_file(path)?,
            None => Vec::new(),
        };
        let concurrency = options.concurrency.get();
        Ok(Self {
            plain: Agent::with_parts(
                config(concurrency),
                ().chain(ConnectProxyConnector::default())
                    .chain(TcpConnector::default()),
                DefaultResolver::default(),
            ),
            tls: OnceLock::new(),
            certificates,
            skip_tls_verify: options.skip_tls_verify,
            concurrency,
            attempts: options.attempts,
            timeout: options.timeout,
            limiters: Mutex::default(),
            observer: options.observer.clone(),
        })
    }

    /// When a request that begins now must have ended.
    pub(super) fn deadline(&self) -> Instant {
        let now = Instant::now();
        // A time too far away to be told is as good as a year.
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        now.checked_add(self.timeout.min(year)).unwrap_or(now)
    }

    /// Sends `request` until there is an answer that will stay what it is, or the deadline
    /// passes, or it was sent often enough.
    pub(super) fn send(
        &self,
        request: &Outgoing<'_>,
        deadline: Instant,
    ) -> Result<Answer, Silence> {
        let limiter = self.limiter(request.address.authority());
        let mut failures: u32 = 0;
        loop {
            let attempt = {
                match limiter.permit(deadline) {
                    Ok(_permit) => self.exchange(request, deadline),
                    Err(no_permit) => return Err(self.no_permit(&request.address, no_permit)),
                }
            };
            failures = failures.saturating_add(1);
            let is_last = !request.repeatable || failures >= self.attempts;
            let asked = match &attempt {
                Ok(answer) if !retry::is_passing(answer.status) => {
                    limiter.answered();
                    return attempt.map(|answer| Answer {
                        is_repeated: failures > 1,
                        ..answer
                    });
                }
                Ok(answer) => {
                    let asked = answer.header("retry-after");
                    let asked =
                        asked.and_then(|value| retry::retry_after(value, SystemTime::now()));
                    if answer.status == 429 {
                        limiter.too_many(asked);
                    }
                    // Who says when to come back is asked again then, however often that is.
                    if is_last && (asked.is_none() || !request.repeatable) {
                        return attempt;
                    }
                    asked
                }
                Err(silence) if !silence.passing => return attempt,
                Err(silence) if silence.is_garbled && request.sniffs => return attempt,
                Err(_) if is_last || limiter.is_silent() => {
                    limiter.gave_up();
                    return attempt;
                }
                Err(_) => None,
            };
            let pause = retry::pause(failures).max(asked.unwrap_or_default());
            if pause >= deadline.saturating_duration_since(Instant::now()) {
                return attempt;
            }
            thread::sleep(pause);
        }
    }

    fn limiter(&self, authority: &str) -> Arc<Limiter> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Limiter::new(self.concurrency));
        let limiter = limiters.entry(authority.to_owned()).or_insert_with(new);
        Arc::clone(limiter)
    }

    /// Sends a request once, and reads the answer.
    fn exchange(&self, request: &Outgoing<'_>, deadline: Instant) -> Result<Answer, Silence> {
        let begun = Instant::now();
        let result = self.exchange_unobserved(request, deadline);
        if let Some(observer) = &self.observer {
            let address = &request.address;
            let shown = if address.path().ends_with("/tags/list") {
                address.to_string()
            } else {
                address.with_target(address.path().to_owned()).to_string()
            };
            let length = |body: &[u8]| u64::try_from(body.len()).unwrap_or(u64::MAX);
            observer(&RequestEvent {
                method: method_name(&request.method),
                address: shown,
                outcome: match &result {
                    Ok(answer) => Ok((answer.status, length(&answer.body))),
                    Err(silence) => Err(silence.error.to_string()),
                },
                elapsed: begun.elapsed(),
            });
        }
        result
    }

    fn exchange_unobserved(
        &self,
        request: &Outgoing<'_>,
        deadline: Instant,
    ) -> Result<Answer, Silence> {
        let address = &request.address;
        let agent = self.agent(address.scheme).map_err(|error| Silence {
            error,
            passing: false,
            is_garbled: false,
        })?;
        let silence = |error| self.silence(address, error);
        let mut builder = Request::builder()
            .method(request.method.clone())
            .uri(address.to_string());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let remaining = deadline.saturating_duration_since(Instant::now());
        let remaining = Some(remaining.max(Duration::from_millis(1)));
        let is_loopback = address.is_loopback();
        let response = match request.body {
            Some(body) => builder
                .body(body)
                .map_err(ureq::Error::Http)
                .and_then(|ready| {
                    let ready = agent.configure_request(ready).timeout_global(remaining);
                    let ready = if is_loopback {
                        ready.proxy(None)
                    } else {
                        ready
                    };
                    agent.run(ready.build())
                }),
            None => builder
                .body(())
                .map_err(ureq::Error::Http)
                .and_then(|ready| {
                    let ready = agent.configure_request(ready).timeout_global(remaining);
                    let ready = if is_loopback {
                        ready.proxy(None)
                    } else {
                        ready
                    };
                    agent.run(ready.build())
                }),
        };
        let (parts, mut body) = response.map_err(silence)?.into_parts();
        let status = parts.status.as_u16();
        let is_head = request.method == Method::HEAD;
        let is_success = parts.status.is_success();
        let limit = if is_success {
            request.limit
        } else {
            MAX_ERROR_LEN
        };
        let mut bytes = Vec::new();
        if !is_head {
            let mut reader = body.as_reader().take(limit.saturating_add(1));
            match reader.read_to_end(&mut bytes) {
                Ok(_) => {}
                Err(error) if is_success => {
                    return Err(Silence {
                        is_garbled: false,
                        ..silence(error.into())
                    });
                }
                // The status says enough.
                Err(_) => bytes.clear(),
            }
        }
        if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
            if is_success {
                return Err(Silence {
                    error: RegistryError::answer(format!(
                        "the answer of `{}` is too large: more than {limit} bytes",
                        address.authority()
                    )),
                    passing: false,
                    is_garbled: false,
                });
            }
            bytes.clear();
        }
        Ok(Answer {
            status,
            headers: parts.headers,
            body: bytes,
            address: address.clone(),
            is_head,
            is_repeated: false,
        })
    }

    fn agent(&self, scheme: Scheme) -> Result<&Agent, RegistryError> {
        match scheme {
            Scheme::Http => Ok(&self.plain),
            // Reading the system's certificates takes a while, and loopback needs none.
            Scheme::Https => (self.tls)
                .get_or_init(|| {
                    let tls = trust::client_config(&self.certificates, self.skip_tls_verify)?;
                    let connector =
                        ().chain(ConnectProxyConnector::default())
                            .chain(TcpConnector::default())
                            .chain(TlsConnector(tls));
                    let resolver = DefaultResolver::default();
                    Ok(Agent::with_parts(
                        config(self.concurrency),
                        connector,
                        resolver,
                    ))
                })
                .as_ref()
                .map_err(RegistryError::clone),
        }
    }

    fn too_slow(&self, address: &Address) -> RegistryError {
        RegistryError::unavailable(format!(
            "`{}` did not answer within {:?}",
            address.authority(),
            self.timeout
        ))
    }

    fn no_permit(&self, address: &Address, why: NoPermit) -> Silence {
        Silence {
            error: match why {
                NoPermit::Late => self.too_slow(address),
                NoPermit::Closed(wait) => RegistryError::unavailable(format!(
                    "`{}` wants no requests for another {} s",
                    address.authority(),
                    wait.as_secs()
                )),
            },
            passing: false,
            is_garbled: false,
        }
    }

    fn silence(&self, address: &Address, error: ureq::Error) -> Silence {
        let host = address.authority();
        let silence = |passing, is_garbled, text: String| Silence {
            error: RegistryError::unavailable(text),
            passing,
            is_garbled,
        };
        match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => silence(
                true,
                false,
                format!("`{host}` could not be reached within {CONNECT_TIMEOUT:?}"),
            ),
            ureq::Error::Timeout(_) => Silence {
                error: self.too_slow(address),
                passing: false,
                is_garbled: false,
            },
            ureq::Error::HostNotFound => {
                let text = format!("the host `{host}` was not found: is the name right?");
                silence(false, false, text)
            }
            ureq::Error::Io(error) => match tls_error(&error) {
                Some(error) => silence(false, false, tls_failure(host, error)),
                None if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let text = format!("the connection to `{host}` was cut");
                    silence(true, true, text)
                }
                None if error.kind() == io::ErrorKind::ConnectionRefused => silence(
                    true,
                    false,
                    format!("`{host}` refuses connections: is a registry running there?"),
                ),
                None => silence(
                    true,
                    error.kind() == io::ErrorKind::ConnectionReset,
                    format!("the connection to `{host}` failed: {error}"),
                ),
            },
            ureq::Error::Protocol(_) => {
                silence(true, true, format!("`{host}` does not answer in HTTP"))
            }
            ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
                let text = format!("cannot reach `{host}` through the proxy of the environment");
                silence(true, false, text)
            }
            ureq::Error::LargeResponseHeader(..) => Silence {
                error: RegistryError::answer(format!(
                    "the answer of `{host}` is too large: more than {MAX_HEADER_LEN} bytes of \
                     headers"
                )),
                passing: false,
                is_garbled: false,
            },
            error => silence(
                false,
                false,
                format!("the request to `{host}` failed: {error}"),
            ),
        }
    }
}

fn config(concurrency: usize) -> Config {
    Agent::config_builder()
        .user_agent(USER_AGENT)
        .accept_encoding("")
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .max_response_header_size(MAX_HEADER_LEN)
        .max_idle_connections(concurrency.saturating_mul(2))
        .max_idle_connections_per_host(concurrency)
        .build()
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "GET",
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn tls_failure(host: &str, error: &rustls::Error) -> String {
    format!(
        "no secure connection to `{host}`: {}",
        trust::describe(error)
    )
}
