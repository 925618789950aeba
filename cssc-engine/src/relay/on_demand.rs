//! A relay that is started when it is needed first.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cssc_registry::RegistryClient;

use super::{Relay, RelayOptions, ToolingImages};

/// A relay that is started when it is needed first: not every cycle has a tool to serve. It ends
/// when this is dropped.
pub struct RelayOnDemand {
    folder: PathBuf,
    registry: Arc<dyn RegistryClient>,
    options: RelayOptions,
    tooling: Option<Arc<dyn ToolingImages>>,
    relay: OnceLock<Relay>,
    starting: Mutex<()>,
}

impl RelayOnDemand {
    /// A relay for images of `registry` that keeps its content in `folder`, which nothing else uses
    /// at the same time.
    pub fn new(
        folder: PathBuf,
        registry: Arc<dyn RegistryClient>,
        options: RelayOptions,
        tooling: Option<Arc<dyn ToolingImages>>,
    ) -> Self {
        Self {
            folder,
            registry,
            options,
            tooling,
            relay: OnceLock::new(),
            starting: Mutex::new(()),
        }
    }

    /// The relay.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be started: its address is taken or not allowed, or its folder cannot be
    /// written.
    pub fn get(&self) -> io::Result<&Relay> {
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(relay) = self.relay.get() {
            return Ok(relay);
        }
        let relay = Relay::start(&self.folder, Arc::clone(&self.registry), &self.options)?;
        let relay = match &self.tooling {
            Some(images) => relay.with_tooling(Arc::clone(images)),
            None => relay,
        };
        Ok(self.relay.get_or_init(|| relay))
    }

    /// The relay, if it was started.
    pub fn started(&self) -> Option<&Relay> {
        self.relay.get()
    }
}

impl fmt::Debug for RelayOnDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayOnDemand")
            .field("folder", &self.folder)
            .field("relay", &self.relay)
            .finish_non_exhaustive()
    }
}
