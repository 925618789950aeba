//! How many requests may be under way to a host, and when it wants none.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest that a host is left alone at its word: a mistake of its own must not silence it
/// for a year.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// How long the first request to a host goes alone, so that the others find its connection. One that
/// hangs must not hold them up for longer.
const LONGEST_START: Duration = Duration::from_millis(500);

/// Hands out permits for requests to one host.
///
/// A host that says "too many requests" gets half as many at a time, none for as long as it
/// asks but for minutes at most, then a single one, and one more with each answer.
pub(super) struct Limiter {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    in_flight: usize,
    start: Start,
    allowed: usize,
    not_before: Option<Instant>,
    /// The host was tried as often as allowed and never answered since.
    silent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Ahead,
    Begun(Instant),
    Over,
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPermit {
    /// Others took all there are until the deadline.
    Late,
    /// The host wants nothing for so long, which is beyond the deadline.
    Closed(Duration),
}

/// The right to have one request under way; ends when dropped.
pub(super) struct Permit(Arc<Limiter>);

impl Limiter {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::new(State {
                in_flight: 0,
                start: Start::Ahead,
                allowed: most,
                not_before: None,
                silent: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for a permit, until `deadline` at the latest, and not at all if there will be none.
    pub(super) fn permit(self: &Arc<Self>, deadline: Instant) -> Result<Permit, NoPermit> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let opens = state.not_before.filter(|&opens| opens > now);
            let started = match state.start {
                Start::Begun(begun) => begun.checked_add(LONGEST_START).filter(|&end| end > now),
                Start::Ahead | Start::Over => None,
            };
            if opens.is_none() && started.is_none() && state.in_flight < state.allowed {
                state.in_flight = state.in_flight.saturating_add(1);
                if state.start == Start::Ahead {
                    state.start = Start::Begun(now);
                }
                return Ok(Permit(Arc::clone(self)));
            }
            if now >= deadline {
                return Err(NoPermit::Late);
            }
            let until = opens.unwrap_or(deadline);
            if until > deadline {
                return Err(NoPermit::Closed(until.saturating_duration_since(now)));
            }
            let until = started.map_or(until, |end| end.min(until));
            state = self
                .changed
                .wait_timeout(state, until.saturating_duration_since(now))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The host said that these are too many requests, and perhaps for how long it wants none.
    pub(super) fn too_many(&self, pause: Option<Duration>) {
        let mut state = self.lock();
        state.allowed = (state.allowed / 2).max(1);
        let pause = pause.map(|pause| pause.min(LONGEST_PAUSE));
        if pause.is_some_and(|pause| pause >= Duration::from_secs(1)) {
            state.allowed = 1;
        }
        if let Some(opens) = pause.and_then(|pause| Instant::now().checked_add(pause)) {
            state.not_before = state.not_before.max(Some(opens));
        }
    }

    /// The host answered.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        state.allowed = state.allowed.saturating_add(1).min(self.most);
        state.silent = false;
        drop(state);
        self.changed.notify_one();
    }

    /// The host did not answer however often it was tried.
    pub(super) fn gave_up(&self) {
        self.lock().silent = true;
    }

    /// Whether trying more than once is a waste of everybody's time.
    pub(super) fn is_silent(&self) -> bool {
        self.lock().silent
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is sound at every moment, whoever panicked while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        let is_start = state.start != Start::Over;
        state.start = Start::Over;
        drop(state);
        if is_start {
            self.0.changed.notify_all();
        } else {
            self.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn soon() -> Instant {
        Instant::now().checked_add(Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn never_more_than_allowed() {
        let limiter = Arc::new(Limiter::new(3));
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _permit = limiter.permit(soon()).unwrap();
                        let in_flight = now.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(in_flight, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
    }

    #[test]
    fn too_many_requests_become_fewer_and_grow_again() {
        let limiter = Arc::new(Limiter::new(4));
        drop(limiter.permit(soon()));
        limiter.too_many(None);
        let two = [limiter.permit(soon()), limiter.permit(soon())];
        assert!(matches!(
            limiter.permit(Instant::now()),
            Err(NoPermit::Late)
        ));
        limiter.answered();
        assert!(limiter.permit(Instant::now()).is_ok());
        drop(two);
        limiter.too_many(Some(Duration::from_secs(3600)));
        let closed = limiter.permit(soon()).err();
        assert!(matches!(closed, Some(NoPermit::Closed(wait)) if wait.as_secs() == 119));
    }
}
