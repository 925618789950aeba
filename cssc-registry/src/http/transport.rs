//! One request and its answer, repeated where that may help: no credentials, no redirects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use reqwest::Method;

use super::address::Address;
use super::client::Client;
use super::limiter::{Limiter, NoPermit};
use super::options::{Observer, OciOptions};
use super::redact::redact;
use super::request::{Request, Response};
use super::request_event::RequestEvent;
use super::retry;
use crate::error::RegistryError;

/// Why there is no response.
pub(super) struct TransportError {
    pub(super) error: RegistryError,
    pub(super) kind: TransportErrorKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransportErrorKind {
    /// Trying again may help.
    Transient,
    /// Trying again may help, but what answered may also speak something else than HTTP.
    NotHttp,
    /// There is no secure connection.
    Tls,
    Permanent,
}

impl TransportError {
    pub(super) fn permanent(error: RegistryError) -> Self {
        Self {
            error,
            kind: TransportErrorKind::Permanent,
        }
    }

    /// Whether trying again may help.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            TransportErrorKind::Transient | TransportErrorKind::NotHttp
        )
    }

    /// Whether something listens there that does not speak HTTP.
    pub(super) fn is_not_http(&self) -> bool {
        self.kind == TransportErrorKind::NotHttp
    }

    pub(super) fn is_tls(&self) -> bool {
        self.kind == TransportErrorKind::Tls
    }
}

/// Sends requests to any host, within the limits of each.
pub(super) struct Transport {
    pub(super) client: Client,
    concurrency: usize,
    attempts: u32,
    pub(super) timeout: Duration,
    limiters: Mutex<BTreeMap<String, Arc<Limiter>>>,
    observer: Option<Observer>,
}

impl Transport {
    pub(super) fn new(options: &OciOptions) -> Result<Self, RegistryError> {
        Ok(Self {
            client: Client::new(options)?,
            concurrency: options.concurrency.get(),
            attempts: options.attempts,
            timeout: options.timeout,
            limiters: Mutex::default(),
            observer: options.observer.clone(),
        })
    }

    /// When a request that begins now must have ended.
    pub(super) fn deadline(&self, request: &Request<'_>) -> Instant {
        let now = Instant::now();
        // A time too far away to be told is as good as a year.
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let deadline = now.checked_add(self.timeout.min(year)).unwrap_or(now);
        match &request.budget {
            Some(budget) => deadline.min(budget.deadline()),
            None => deadline,
        }
    }

    /// Sends `request` until there is an answer that will stay what it is, or the deadline
    /// passes, or it was sent often enough.
    pub(super) fn send(
        &self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Response, TransportError> {
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
                    return attempt.map(|answer| Response {
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
                Err(error) if !error.is_transient() => return attempt,
                Err(error) if error.is_not_http() && request.sniffs => return attempt,
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
    fn exchange(
        &self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Response, TransportError> {
        let begun = Instant::now();
        let result = self.exchange_unobserved(request, deadline);
        if let Some(observer) = &self.observer {
            let address = &request.address;
            let shown = if address.path().ends_with("/tags/list") && !request.is_redirected {
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
                    Err(failed) => Err(failed.error.to_string()),
                },
                elapsed: begun.elapsed(),
            });
        }
        result
    }

    fn exchange_unobserved(
        &self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Response, TransportError> {
        let address = &request.address;
        let sent = self.client.send(request, deadline);
        let response = sent.map_err(|failure| self.failure(address, failure))?;
        if response.status == 407 {
            return Err(self.proxy_wants_credentials(address));
        }
        if response.is_success() {
            return Ok(response);
        }
        Ok(Response {
            body: redact(request, response.body),
            ..response
        })
    }

    fn no_permit(&self, address: &Address, why: NoPermit) -> TransportError {
        TransportError::permanent(match why {
            NoPermit::Late => self.too_slow(address),
            NoPermit::Closed(wait) => RegistryError::unavailable(format!(
                "`{}` wants no requests for another {} s",
                address.authority(),
                wait.as_secs()
            )),
        })
    }
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "GET",
    }
}
