//! Listing many repositories at once.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use cssc_core::{Inventory, Listing, Repository};

use super::RegistryClient;

/// How many repositories are listed at a time unless told otherwise.
pub const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// How far a listing has come.
#[derive(Debug, Clone, Copy)]
pub struct ListProgress<'a> {
    /// How many repositories are done, this one included.
    pub done: usize,
    /// How many there are in all.
    pub total: usize,
    /// The repository just done.
    pub repository: &'a Repository,
    /// What its listing came to.
    pub listing: &'a Listing,
}

/// Lists `repositories`, `concurrency` at a time, and calls `progress` on this thread as each is
/// done, in whatever order that happens. The result does not depend on that order.
///
/// One that hangs holds up one thread, not the others.
pub fn list_all(
    client: &dyn RegistryClient,
    repositories: &[Repository],
    concurrency: NonZeroUsize,
    mut progress: impl FnMut(ListProgress<'_>),
) -> Inventory {
    let next = AtomicUsize::new(0);
    let (sender, done) = mpsc::channel();
    let mut inventory = Inventory::default();
    thread::scope(|scope| {
        for _ in 0..concurrency.get().min(repositories.len()) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                while let Some(repository) = repositories.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let listing = client.list_tags(repository);
                    if sender.send((repository, listing)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (done, (repository, listing)) in (1_usize..).zip(done) {
            progress(ListProgress {
                done,
                total: repositories.len(),
                repository,
                listing: &listing,
            });
            inventory.insert(repository.clone(), listing);
        }
    });
    inventory
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::InventoryRegistry;

    #[test]
    fn lists_each_once_and_tells_of_each() {
        let known: Inventory = ["a", "c"]
            .iter()
            .map(|name| {
                (
                    name.parse().unwrap(),
                    Listing::Found(cssc_core::TagSet::default()),
                )
            })
            .collect();
        let names: Vec<Repository> = ["c", "b", "a"].iter().map(|n| n.parse().unwrap()).collect();
        let client = InventoryRegistry::from(known.clone());
        for concurrency in [1, 2, 100] {
            let mut seen = Vec::new();
            let concurrency = NonZeroUsize::new(concurrency).unwrap();
            let listed = list_all(&client, &names, concurrency, |progress| {
                seen.push(progress.done);
                assert_eq!(progress.total, 3);
                assert_eq!(progress.listing, known.listing(progress.repository));
            });
            assert_eq!(seen, [1, 2, 3]);
            assert_eq!(listed.iter().count(), 3);
        }
        assert_eq!(
            list_all(&client, &[], DEFAULT_CONCURRENCY, |_| panic!()),
            Inventory::default()
        );
    }
}
