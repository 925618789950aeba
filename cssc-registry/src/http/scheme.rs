//! Whether a registry on loopback speaks TLS, where its name does not say.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::OciRegistry;
use super::address::Scheme;
use super::request::{Request, Response};
use super::transport::{Kind, TransportError};

/// How long the first request may find out alone what the registry speaks. One that hangs must not
/// hold up the others, each of which can find out as well.
const LONGEST_PROBE: Duration = Duration::from_millis(100);

/// Whether a registry on loopback speaks TLS; plain HTTP is tried first, since it sends nothing
/// that is secret before it is answered. The first request finds out, the others wait for it.
#[derive(Default)]
pub(super) struct SchemeProbe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
enum State {
    #[default]
    Unknown,
    Begun(Instant),
    Known(Scheme),
}

impl SchemeProbe {
    pub(super) fn known(scheme: Scheme) -> Self {
        Self {
            state: Mutex::new(State::Known(scheme)),
            changed: Condvar::new(),
        }
    }

    /// What is known by now.
    pub(super) fn known_scheme(&self) -> Option<Scheme> {
        match *self.lock() {
            State::Known(scheme) => Some(scheme),
            _ => None,
        }
    }

    /// Waits for the scheme to be known; none if it is for the caller to find out.
    fn wait(&self, deadline: Instant) -> Option<Scheme> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let left = match *state {
                State::Known(scheme) => return Some(scheme),
                State::Unknown => Duration::ZERO,
                State::Begun(begun) => LONGEST_PROBE
                    .saturating_sub(now.saturating_duration_since(begun))
                    .min(deadline.saturating_duration_since(now)),
            };
            if left.is_zero() {
                *state = State::Begun(now);
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends a probe, with what came of it.
    fn end(&self, found: Option<Scheme>) {
        let mut state = self.lock();
        *state = match (found, *state) {
            (Some(scheme), _) | (None, State::Known(scheme)) => State::Known(scheme),
            (None, _) => State::Unknown,
        };
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OciRegistry {
    /// Sends `sent`, which is `request` with credentials, over what the registry speaks.
    pub(super) fn transmit(
        &self,
        request: &mut Request<'_>,
        mut sent: Request<'_>,
        is_registry: bool,
        deadline: Instant,
    ) -> Result<Response, TransportError> {
        if !is_registry || self.scheme.known_scheme().is_some() {
            return self.transport.send(&sent, deadline);
        }
        if let Some(scheme) = self.scheme.wait(deadline) {
            sent.address = sent.address.with_scheme(scheme);
            request.address = sent.address.clone();
            return self.transport.send(&sent, deadline);
        }
        let (response, found) = self.try_schemes(&mut sent, deadline);
        self.scheme.end(found);
        request.address = sent.address;
        response
    }

    /// Sends a request in plain HTTP, and with TLS if that is what turns out to be spoken.
    fn try_schemes(
        &self,
        request: &mut Request<'_>,
        deadline: Instant,
    ) -> (Result<Response, TransportError>, Option<Scheme>) {
        request.sniffs = true;
        let plain = self.transport.send(request, deadline);
        request.sniffs = false;
        let may_be_tls = match &plain {
            // Those who expect TLS and know HTTP say so in words that hold this one.
            Ok(answer) => {
                answer.status == 400 && String::from_utf8_lossy(&answer.body).contains("HTTPS")
            }
            Err(failed) => failed.kind == Kind::NotHttp,
        };
        if !may_be_tls {
            let found = plain.is_ok().then_some(Scheme::Http);
            return (plain, found);
        }
        let mut secure = request.clone();
        secure.address = secure.address.with_scheme(Scheme::Https);
        secure.repeatable = false;
        match (self.transport.send(&secure, deadline), plain) {
            (Ok(answer), _) => {
                request.address = secure.address;
                (Ok(answer), Some(Scheme::Https))
            }
            // It did say that it speaks TLS, or began to: what is wrong with that is what
            // matters.
            (Err(failed), Ok(_)) => (Err(failed), None),
            (Err(failed), Err(_)) if failed.kind == Kind::Tls => (Err(failed), None),
            // A connection that was cut means nothing by itself.
            (Err(_), Err(_)) => (self.transport.send(request, deadline), None),
        }
    }
}
