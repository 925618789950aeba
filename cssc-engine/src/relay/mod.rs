//! The registry that tools are given in place of the real one.
//!
//! No tool touches the user's registry. A scanner or a patcher is given images as
//! `ADDRESS:PORT/<repository>@<digest>` of the relay, and a [`Login`] that may read what is
//! reachable from the image of its step, and nothing else. What is asked for comes from the
//! registry, is verified on the way and held on disk for the next who asks; what is pushed goes
//! into the relay and stays there.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use cssc_engine::relay::{Relay, RelayOptions};
//! use cssc_registry::{LayoutRegistry, Reference, RegistryClient};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Arc::new(LayoutRegistry::open("images".as_ref())?);
//! let repository = "python".parse()?;
//! let image = registry.get_manifest(&repository, &Reference::Tag("3.11".parse()?))?;
//! let relay = Relay::start("relay".as_ref(), registry, &RelayOptions::default())?;
//! let login = relay.login(&repository, &[image.clone()]);
//! println!("{}/{repository}@{}", login.authority(), image.descriptor().digest);
//! # Ok(())
//! # }
//! ```

mod answer;
mod blobs;
mod calls;
mod failure;
mod fetch;
mod figures;
mod grants;
mod login;
mod manifests;
mod on_demand;
mod options;
mod random;
mod range;
mod references;
mod route;
mod service;
mod store;
mod tooling;
mod uploads;

use std::fs::{File, TryLockError};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use cssc_core::Registry;
use cssc_registry::{Digest, Manifest, RegistryClient, Repository};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

pub use failure::{RelayError, RelayFailure};
pub use figures::RelayFigures;
pub use login::Login;
pub use on_demand::RelayOnDemand;
pub use options::RelayOptions;
pub use tooling::{ToolingImages, tooling_name};

use crate::private;
use crate::server::{self, Limits};
use calls::Origin;
use grants::Place;
use service::Service;
use store::{Claim, Store};

/// What clients may take.
const LIMITS: Limits = Limits {
    connections: 256,
    head_bytes: 64 << 10,
    head: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    stalled: Duration::from_secs(60),
    keep_alive: true,
};
/// How long the end waits for what is being done.
const END: Duration = Duration::from_millis(200);

/// A registry that is served to tools; when it is dropped, all its connections end.
#[derive(Debug)]
pub struct Relay {
    service: Arc<Service>,
    server: JoinHandle<()>,
    runtime: Option<Runtime>,
    /// Nothing else may use the folder.
    _lock: File,
}

impl Relay {
    /// Starts to listen.
    ///
    /// What the folder holds from an earlier time is used again; unfinished uploads are removed,
    /// and what is damaged when it is first asked for.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be used, is used by another relay, or is another user's, and
    /// when the address is neither loopback nor private, not of this machine, or taken.
    pub fn start(
        folder: &Path,
        registry: Arc<dyn RegistryClient>,
        options: &RelayOptions,
    ) -> io::Result<Self> {
        let address = options.address()?;
        let lock = claim_folder(folder)?;
        let store = Arc::new(Store::open(folder, options.space)?);
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let service = Arc::new(Service {
            store,
            registry,
            tooling: OnceLock::new(),
            logins: grants::Logins::default(),
            fetches: fetch::Fetches::default(),
            manifests: Arc::default(),
            calls: calls::Calls::default(),
            counters: figures::Counters::default(),
            authority: options.authority(listener.local_addr()?)?,
        });
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(calls::THREADS)
            .thread_name("cssc-relay")
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(entered);
        let handler = Arc::clone(&service);
        let server = async move { server::serve(&listener, handler, LIMITS).await };
        Ok(Self {
            service,
            server: runtime.spawn(server),
            runtime: Some(runtime),
            _lock: lock,
        })
    }

    /// Serves tooling images too, to logins [that may read them](Self::login_with_tooling).
    pub fn with_tooling(self, images: Arc<dyn ToolingImages>) -> Self {
        let _ = self.service.tooling.set(images);
        self
    }

    /// Host and port, as tools name the registry.
    pub fn authority(&self) -> &str {
        &self.service.authority
    }

    /// A login of one step: it may read what is reachable from `roots`, and write under a tag of
    /// its own in this repository.
    pub fn login(&self, repository: &Repository, roots: &[Manifest]) -> Login {
        self.new_login(repository, roots, false)
    }

    /// A [login](Self::login) that may read tooling images besides.
    pub fn login_with_tooling(&self, repository: &Repository, roots: &[Manifest]) -> Login {
        self.new_login(repository, roots, true)
    }

    fn new_login(
        &self,
        repository: &Repository,
        roots: &[Manifest],
        may_have_tooling: bool,
    ) -> Login {
        let origin = Origin {
            // No repository begins with it.
            name: format!("/{repository}"),
            client: Arc::clone(&self.service.registry),
            repository: repository.clone(),
        };
        let place = Place::new(origin, false).with_roots(roots, &self.service.store);
        Login::new(&self.service, place, may_have_tooling)
    }

    /// Stores a blob of one's own. It is kept until it is [forgotten](Self::forget), also by the
    /// next process.
    ///
    /// # Errors
    ///
    /// Fails when there is no room, or the disk fails.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, RelayError> {
        let digest = cssc_registry::digest::of(bytes);
        let store = &self.service.store;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let room = store.room(size)?;
        let mut partial = store.partial()?;
        partial.write(bytes)?;
        store.add_blob(&digest, partial, size, room, Claim::Kept)?;
        Ok(digest)
    }

    /// Stores a manifest of one's own. It is kept until it is [forgotten](Self::forget), also by
    /// the next process.
    ///
    /// # Errors
    ///
    /// Fails when there is no room, or the disk fails.
    pub fn put_manifest(&self, manifest: &Manifest) -> Result<Digest, RelayError> {
        let digest = manifest.descriptor().digest;
        self.service
            .store
            .add_manifest(&digest, manifest, Claim::Kept)?;
        Ok(digest)
    }

    /// A manifest that is held: it was put or pushed, or was fetched and not evicted since.
    pub fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        let manifest = self.service.store.manifest(digest)?;
        cssc_registry::digest::matches(digest, &manifest.bytes).then_some(manifest)
    }

    /// The file of a blob that is held. One that is neither kept nor of a living login can be
    /// evicted at any time.
    pub fn blob_file(&self, digest: &Digest) -> Option<PathBuf> {
        self.service.store.blob_path(digest)
    }

    /// Keeps pushed content when its login goes, also for the next process.
    pub fn keep(&self, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests {
            self.service.store.keep(&digest);
        }
    }

    /// Lets go what was kept or put: it may be evicted.
    pub fn forget(&self, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests {
            self.service.store.forget(&digest);
        }
    }

    /// What it did so far.
    pub fn figures(&self) -> RelayFigures {
        self.service.counters.figures(self.service.store.used())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.service.store.close();
        self.server.abort();
        if let Some(runtime) = self.runtime.take() {
            // On a thread of its own: this one may be of another runtime, which forbids to wait.
            let end = std::thread::spawn(move || runtime.shutdown_timeout(END));
            drop(end.join());
        }
    }
}

/// Makes the folder this relay's alone, until what is returned is dropped.
fn claim_folder(folder: &Path) -> io::Result<File> {
    private::make_folder(folder)?;
    if !private::is_own_folder(&std::fs::symlink_metadata(folder)?) {
        let message = format!("`{}` is not a folder of this user", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let lock = private::write_options()
        .create(true)
        .open(folder.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("`{}` is used by another relay", folder.display()),
        )),
    }
}
