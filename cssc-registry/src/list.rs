//! Listing many repositories at once.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use cssc_core::{Inventory, Listing, Repository};

use super::{ListBudget, ListOptions, RegistryClient, listing};

/// How many repositories are listed at a time unless told otherwise.
pub const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// How often progress is told when no repository is done.
const TICK: Duration = Duration::from_millis(250);

/// How far a listing has come.
#[derive(Debug, Clone, Copy)]
pub struct ListProgress<'a> {
    /// How many repositories are done.
    pub done: usize,
    /// How many there are in all.
    pub total: usize,
    /// How many pages came so far, from all repositories.
    pub pages: usize,
    /// How many tags were on them.
    pub tags: usize,
    /// The repository just done and what its listing came to; none when only time has passed.
    pub finished: Option<(&'a Repository, &'a Listing)>,
}

impl fmt::Display for ListProgress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            done, total, tags, ..
        } = self;
        write!(
            f,
            "listed {done} of {total} repositories; tags so far: {tags}"
        )
    }
}

/// Lists `repositories`, several at a time, and calls `progress` on this thread as each is done,
/// in whatever order that happens, and a few times a second meanwhile.
///
/// One that hangs holds up one thread, not the others. A repository that would take more memory
/// than is left, or that is not listed when the time is over, is unavailable.
pub fn list_all(
    client: &dyn RegistryClient,
    repositories: &[Repository],
    options: &ListOptions,
    mut progress: impl FnMut(ListProgress<'_>),
) -> Inventory {
    let budget = ListBudget::new(options);
    let next = AtomicUsize::new(0);
    let (sender, finished) = mpsc::channel();
    let mut inventory = Inventory::default();
    let mut done: usize = 0;
    thread::scope(|scope| {
        for _ in 0..options.at_a_time().get().min(repositories.len()) {
            let (next, sender, budget) = (&next, sender.clone(), &budget);
            scope.spawn(move || {
                while let Some(repository) = repositories.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let listing = match budget.check_time() {
                        Ok(()) => client.list_tags_within(repository, budget),
                        Err(error) => listing(Err(error)),
                    };
                    if sender.send((repository, listing)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        loop {
            let finished = match finished.recv_timeout(TICK) {
                Ok(finished) => Some(finished),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            done = done.saturating_add(usize::from(finished.is_some()));
            let (pages, tags) = budget.counted();
            progress(ListProgress {
                done,
                total: repositories.len(),
                pages,
                tags,
                finished: (finished.as_ref()).map(|(repository, listing)| (*repository, listing)),
            });
            if let Some((repository, listing)) = finished {
                inventory.insert(repository.clone(), listing);
            }
        }
    });
    inventory
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InventoryRegistry;

    #[test]
    fn lists_each_once_and_tells_of_each() {
        let known: Inventory = ["a", "c"]
            .iter()
            .map(|name| {
                (
                    name.parse().unwrap(),
                    Listing::Found(cssc_core::tags::TagSet::default()),
                )
            })
            .collect();
        let names: Vec<Repository> = ["c", "b", "a"].iter().map(|n| n.parse().unwrap()).collect();
        let client = InventoryRegistry::from(known.clone());
        for concurrency in [1, 2, 100] {
            let mut seen = Vec::new();
            let concurrency = NonZeroUsize::new(concurrency).unwrap();
            let options = ListOptions::default().concurrency(concurrency);
            let listed = list_all(&client, &names, &options, |progress| {
                let (repository, listing) = progress.finished.unwrap();
                seen.push(progress.done);
                assert_eq!(progress.total, 3);
                assert_eq!(listing, known.listing(repository));
            });
            assert_eq!(seen, [1, 2, 3]);
            assert_eq!(listed.iter().count(), 3);
        }
        assert_eq!(
            list_all(&client, &[], &ListOptions::default(), |_| panic!()),
            Inventory::default()
        );
    }
}
