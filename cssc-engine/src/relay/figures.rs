//! What the relay did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a relay did since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayFigures {
    /// Requests, those without a login included.
    pub requests: u64,
    /// Bytes of content that were fetched from registries.
    pub fetched: u64,
    /// Bytes of content that tools were given.
    pub served: u64,
    /// Bytes that it holds now, as its limit counts them.
    pub stored: u64,
}

/// Numbers that only grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) fetched: AtomicU64,
    pub(super) served: AtomicU64,
}

impl Counters {
    pub(super) fn figures(&self, stored: u64) -> RelayFigures {
        RelayFigures {
            requests: self.requests.load(Ordering::Relaxed),
            fetched: self.fetched.load(Ordering::Relaxed),
            served: self.served.load(Ordering::Relaxed),
            stored,
        }
    }
}

/// Adds the length of something.
pub(super) fn add(counter: &AtomicU64, length: usize) {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    counter.fetch_add(length, Ordering::Relaxed);
}
