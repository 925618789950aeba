//! One request and its answer, repeated where that may help: no credentials, no redirects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::address::Address;
use super::client::Client;
use super::limiter::{Limiter, NoPermit};
use super::options::{Observer, OciOptions};
use super::redact::redact;
use super::request::{Request, Response};
use super::request_event::RequestEvent;
use super::retry;
use crate::budget::deadline_after;
use crate::error::RegistryError;

/// Why there is no response.
pub(super) struct TransportError {
    pub(super) error: RegistryError,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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
            kind: Kind::Permanent,
        }
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
        let deadline = deadline_after(self.timeout);
        let budget = request.budget.as_ref();
        budget.map_or(deadline, |budget| deadline.min(budget.deadline()))
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
            let permit = limiter.permit(deadline);
            let permit = permit.map_err(|why| self.no_permit(&request.address, why))?;
            let mut attempt = self.exchange(request, deadline);
            match &mut attempt {
                Ok(Response {
                    stream: Some(stream),
                    ..
                }) => stream.hold(permit),
                _ => drop(permit),
            }
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
                Err(failed) => match failed.kind {
                    Kind::Tls | Kind::Permanent => return attempt,
                    Kind::NotHttp if request.sniffs => return attempt,
                    _ if is_last || limiter.is_silent() => {
                        limiter.gave_up();
                        return attempt;
                    }
                    _ => None,
                },
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
        Arc::clone(limiters.entry(authority.to_owned()).or_insert_with(new))
    }

    /// Sends a request once, and reads the answer.
    fn exchange(
        &self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Response, TransportError> {
        let address = &request.address;
        let begun = Instant::now();
        let result = match self.client.send(request, deadline) {
            Ok(response) if response.status == 407 => Err(self.proxy_wants_credentials(address)),
            Ok(response) if response.is_success() => Ok(response),
            Ok(response) => Ok(Response {
                body: redact(request, response.body),
                ..response
            }),
            Err(failure) => Err(self.failure(address, failure)),
        };
        if let Some(observer) = &self.observer {
            let outcome = result.as_ref();
            observer(&RequestEvent {
                method: request.method.to_string(),
                address: request.shown_address(),
                outcome: outcome
                    .map(|response| (response.status, response.length()))
                    .map_err(|failed| failed.error.to_string()),
                elapsed: begun.elapsed(),
            });
        }
        result
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
