//! A registry that counts what it is asked, and does badly when it is bid to.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use cssc_core::Listing;
use cssc_registry::{
    BlobReader, Descriptor, Digest, LayoutRegistry, Manifest, Reference, RegistryClient,
    RegistryError, Repository,
};

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Nothing is known.
    Away,
    /// Blobs break off after so many bytes.
    Dies(usize),
    /// Blobs end after so many bytes.
    Ends(usize),
    /// Blobs and manifests are others than they should be.
    Lies,
    /// The client panics.
    Panics,
    /// Blobs go on after so many bytes when the gate is opened, and manifests come then.
    Waits(usize, Arc<Gate>),
}

/// Holds up those who come until it is opened.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let is_open = self.is_open.lock().unwrap();
        drop(
            self.opened
                .wait_while(is_open, |is_open| !*is_open)
                .unwrap(),
        );
    }
}

pub(crate) struct Faulty {
    pub(crate) inner: LayoutRegistry,
    fault: Mutex<Fault>,
    asked: Mutex<BTreeMap<&'static str, usize>>,
}

impl Faulty {
    pub(crate) fn new(inner: LayoutRegistry) -> Self {
        Self {
            inner,
            fault: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// How often something was asked.
    pub(crate) fn asked(&self, what: &str) -> usize {
        self.asked.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    fn ask(&self, what: &'static str) -> Result<Fault, RegistryError> {
        *self.asked.lock().unwrap().entry(what).or_default() += 1;
        let fault = self.fault.lock().unwrap().clone();
        match fault {
            Fault::Away => Err(RegistryError::unavailable("the registry is away")),
            Fault::Panics => panic!("as it was bid to"),
            fault => Ok(fault),
        }
    }
}

/// A blob that goes wrong.
struct Bad {
    inner: BlobReader,
    fault: Fault,
    came: usize,
}

impl Read for Bad {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = match &self.fault {
            Fault::Dies(after) if self.came >= *after => {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Fault::Waits(after, gate) if self.came >= *after => {
                gate.pass();
                usize::MAX
            }
            Fault::Dies(after) | Fault::Ends(after) | Fault::Waits(after, _) => *after - self.came,
            _ => usize::MAX,
        };
        let most = most.min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.came += read;
        if matches!(self.fault, Fault::Lies) && read > 0 {
            buffer[0] ^= 1;
        }
        Ok(read)
    }
}

impl RegistryClient for Faulty {
    fn list_tags(&self, repository: &Repository) -> Listing {
        self.inner.list_tags(repository)
    }

    fn resolve(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        self.ask("resolve")?;
        self.inner.resolve(repository, reference)
    }

    fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Manifest, RegistryError> {
        let fault = self.ask("get_manifest")?;
        let mut manifest = self.inner.get_manifest(repository, reference)?;
        match fault {
            Fault::Lies => manifest.bytes.push(b' '),
            Fault::Waits(_, gate) => gate.pass(),
            _ => {}
        }
        Ok(manifest)
    }

    fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        self.ask("put_manifest")?;
        self.inner.put_manifest(repository, reference, manifest)
    }

    fn get_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        self.ask("get_blob")?;
        self.inner.get_blob(repository, blob, limit)
    }

    fn put_blob(&self, repository: &Repository, bytes: &[u8]) -> Result<Digest, RegistryError> {
        self.ask("put_blob")?;
        self.inner.put_blob(repository, bytes)
    }

    fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError> {
        self.ask("has_blob")?;
        self.inner.has_blob(repository, digest)
    }

    fn open_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
    ) -> Result<BlobReader, RegistryError> {
        let fault = self.ask("open_blob")?;
        let inner = self.inner.open_blob(repository, blob)?;
        let bad = Bad {
            inner,
            fault,
            came: 0,
        };
        Ok(BlobReader::new(blob, bad))
    }

    fn put_blob_file(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        file: &Path,
    ) -> Result<(), RegistryError> {
        self.ask("put_blob_file")?;
        self.inner.put_blob_file(repository, blob, file)
    }

    fn delete(&self, repository: &Repository, reference: &Reference) -> Result<(), RegistryError> {
        self.ask("delete")?;
        self.inner.delete(repository, reference)
    }
}
