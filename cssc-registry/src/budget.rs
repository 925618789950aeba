//! What a listing may take in all, memory and time, and how far it has come.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::RegistryError;
use crate::list::DEFAULT_CONCURRENCY;

/// How to list many repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOptions {
    concurrency: NonZeroUsize,
    timeout: Duration,
    memory_limit: u64,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self {
            concurrency: DEFAULT_CONCURRENCY,
            timeout: Duration::from_secs(15 * 60),
            memory_limit: 256 << 20,
        }
    }
}

impl ListOptions {
    /// How many repositories are listed at a time. Default 16.
    pub fn concurrency(mut self, concurrency: NonZeroUsize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// How many repositories are listed at a time.
    pub fn at_a_time(&self) -> NonZeroUsize {
        self.concurrency
    }

    /// The longest that all repositories together may take. Default 15 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most bytes of memory that pages and tags of all repositories together may take.
    /// Default 256 MiB, which is some ten million tags.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }
}

/// What is left of the time and memory of a listing, shared by all its repositories.
#[derive(Clone)]
pub struct ListBudget(Arc<Shared>);

struct Shared {
    deadline: Instant,
    timeout: Duration,
    memory_limit: u64,
    reserved: AtomicU64,
    pages: AtomicUsize,
    tags: AtomicUsize,
}

/// When what begins now must have ended.
pub(crate) fn deadline_after(timeout: Duration) -> Instant {
    let now = Instant::now();
    // A time too far away to be told is as good as a year.
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    now.checked_add(timeout.min(year)).unwrap_or(now)
}

impl ListBudget {
    /// The budget of a listing that begins now.
    pub fn new(options: &ListOptions) -> Self {
        Self(Arc::new(Shared {
            deadline: deadline_after(options.timeout),
            timeout: options.timeout,
            memory_limit: options.memory_limit,
            reserved: AtomicU64::new(0),
            pages: AtomicUsize::new(0),
            tags: AtomicUsize::new(0),
        }))
    }

    /// Fails when the time is over.
    pub(crate) fn check_time(&self) -> Result<(), RegistryError> {
        if Instant::now() < self.0.deadline {
            return Ok(());
        }
        Err(RegistryError::unavailable(format!(
            "it was not listed within {:?}, the time limit for all repositories together",
            self.0.timeout
        )))
    }

    #[cfg(feature = "http")]
    pub(crate) fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// A share of the memory, of no bytes yet.
    pub(crate) fn reservation(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Counts a page with as many tags.
    pub(crate) fn count_page(&self, tags: usize) {
        self.0.pages.fetch_add(1, Ordering::Relaxed);
        self.0.tags.fetch_add(tags, Ordering::Relaxed);
    }

    /// The pages and the tags so far.
    pub(crate) fn counted(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.0.pages), count(&self.0.tags))
    }
}

impl Default for ListBudget {
    fn default() -> Self {
        Self::new(&ListOptions::default())
    }
}

impl fmt::Debug for ListBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListBudget").finish_non_exhaustive()
    }
}

/// A share of the memory of a listing, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: ListBudget,
    bytes: u64,
}

impl Reservation {
    /// Makes it a share of `bytes`; over the limit it stays what it was.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), RegistryError> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let shared = &self.budget.0;
        let own = self.bytes;
        let resized =
            (shared.reserved).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
                let reserved = reserved.saturating_sub(own).saturating_add(bytes);
                (bytes <= own || reserved <= shared.memory_limit).then_some(reserved)
            });
        if resized.is_err() {
            return Err(RegistryError::answer(format!(
                "its tags take too much memory: more than {} bytes, the limit for all \
                 repositories together",
                shared.memory_limit
            )));
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Keeps the share for as long as the listing goes on.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let reserved = &self.budget.0.reserved;
        reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back_unless_kept() {
        let budget = ListBudget::new(&ListOptions::default().memory_limit(100));
        let (mut one, mut two) = (budget.reservation(), budget.reservation());
        one.resize(60).unwrap();
        assert!(two.resize(41).unwrap_err().is_invalid_answer());
        two.resize(40).unwrap();
        one.resize(50).unwrap();
        two.resize(50).unwrap();
        drop(one);
        two.resize(10).unwrap();
        two.keep();
        let mut three = budget.reservation();
        assert!(three.resize(91).is_err());
        three.resize(90).unwrap();
    }
}
