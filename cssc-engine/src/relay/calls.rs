//! Calls that block, made from where nothing may.

use std::fmt;
use std::hash::Hash;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use cssc_registry::{RegistryClient, RegistryError, Repository};
use std::collections::HashMap;
use tokio::sync::{Semaphore, watch};

use super::failure::RelayError;

/// How many calls of registries are made at the same time. One may take as long as the registry
/// does; the disk has threads beside them.
const CALLS: usize = 16;
/// How many blobs are passed through at the same time, each at the pace of its client.
const PASSING: usize = 32;
/// How many of them one login may have: a slow one holds up itself.
pub(super) const PASSING_OF_ONE: usize = 4;
/// How many threads there are for all that blocks.
pub(super) const THREADS: usize = 72;

/// Where content comes from.
pub(super) struct Origin {
    /// What no other origin is called.
    pub(super) name: String,
    pub(super) client: Arc<dyn RegistryClient>,
    pub(super) repository: Repository,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Origin").field(&self.name).finish()
    }
}

/// Bounds the calls of registries.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) registry: Arc<Semaphore>,
    pub(super) passing: Arc<Semaphore>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            registry: Arc::new(Semaphore::new(CALLS)),
            passing: Arc::new(Semaphore::new(PASSING)),
        }
    }
}

impl Calls {
    /// Asks a registry.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        origin: &Arc<Origin>,
        ask: impl FnOnce(&dyn RegistryClient, &Repository) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let permit = Arc::clone(&self.registry).acquire_owned().await;
        let permit = permit.map_err(|_| RegistryError::unavailable("the relay has ended"))?;
        let origin = Arc::clone(origin);
        let asked = blocking(move || {
            // Until the call ends, also when there is no need of its answer any more.
            let _permit = permit;
            ask(&*origin.client, &origin.repository)
        });
        let unfinished = |_| RegistryError::unavailable("the work was not finished");
        asked.await.map_err(unfinished)?
    }
}

/// Does what blocks; fails only when that panics or the relay ends.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RelayError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| RelayError::Disk(io::Error::other("the work was not finished")))
}

/// Work whose result several wait for, and that is done once.
#[derive(Debug)]
pub(super) struct Flights<K, V>(Mutex<HashMap<K, watch::Receiver<Option<V>>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The result of work that is being done, or else of `work`; none when it was not finished.
    pub(super) async fn get(
        self: &Arc<Self>,
        key: K,
        work: impl Future<Output = V> + Send + 'static,
    ) -> Option<V> {
        let mut result = self.join(key, work);
        let result = result.wait_for(Option::is_some).await.ok()?;
        result.clone()
    }

    fn join(
        self: &Arc<Self>,
        key: K,
        work: impl Future<Output = V> + Send + 'static,
    ) -> watch::Receiver<Option<V>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = flights.get(&key) {
            return running.clone();
        }
        let (sender, result) = watch::channel(None);
        flights.insert(key.clone(), result.clone());
        let landing = Landing {
            flights: Arc::clone(self),
            key,
        };
        // Of its own: the client that asked first may go away.
        tokio::spawn(async move {
            let value = work.await;
            drop(landing);
            sender.send_replace(Some(value));
        });
        result
    }
}

/// Forgets a flight when it is over, in whatever way.
struct Landing<K: Eq + Hash, V> {
    flights: Arc<Flights<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let flights = self.flights.0.lock();
        flights
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}
