//! A relay over a registry of layouts, with an image in it.

use std::net::TcpStream;
use std::sync::Arc;

use cssc_engine::relay::{Login, Relay, RelayOptions};
use cssc_registry::{
    Descriptor, Digest, LayoutRegistry, Manifest, Reference, RegistryClient, Repository,
};
use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;
use crate::registry::Faulty;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

pub(crate) fn python() -> Repository {
    "team/python".parse().unwrap()
}

/// Bytes that are no other blob's.
pub(crate) fn bytes(seed: u8, length: usize) -> Vec<u8> {
    let number = |at: usize| (at * 7 + at / 251 + usize::from(seed)).to_le_bytes()[0];
    (0..length).map(number).collect()
}

pub(crate) struct World {
    pub(crate) registry: Arc<Faulty>,
    pub(crate) relay: Relay,
    pub(crate) folder: TempDir,
    pub(crate) layouts: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_space(1 << 30)
    }

    pub(crate) fn with_space(space: u64) -> Self {
        let layouts = tempfile::tempdir().unwrap();
        let registry = Faulty::new(LayoutRegistry::open(layouts.path()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        Self::over(Arc::new(registry), folder, layouts, space)
    }

    /// A relay over what there is.
    pub(crate) fn over(
        registry: Arc<Faulty>,
        folder: TempDir,
        layouts: TempDir,
        space: u64,
    ) -> Self {
        let options = RelayOptions {
            space: Some(space),
            ..RelayOptions::default()
        };
        let client: Arc<dyn RegistryClient> = registry.clone();
        let relay = Relay::start(folder.path(), client, &options).unwrap();
        Self {
            registry,
            relay,
            folder,
            layouts,
        }
    }

    /// The next process, over the same folder.
    pub(crate) fn restart(self, space: u64) -> Self {
        let Self {
            registry,
            relay,
            folder,
            layouts,
        } = self;
        drop(relay);
        Self::over(registry, folder, layouts, space)
    }

    /// Stores a blob in the registry.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        self.registry.inner.put_blob(&python(), bytes).unwrap();
        Descriptor::of(media_type, bytes)
    }

    /// An image in the registry, with these layers.
    pub(crate) fn image(&self, layers: &[Vec<u8>]) -> Manifest {
        let manifest = self.unstored(layers);
        self.store(&manifest);
        manifest
    }

    /// An image whose manifest is not stored.
    pub(crate) fn unstored(&self, layers: &[Vec<u8>]) -> Manifest {
        let diffs: Vec<_> = layers
            .iter()
            .map(|layer| cssc_registry::digest::of(layer))
            .collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diffs},
        });
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        let layers: Vec<_> = layers.iter().map(|layer| self.blob(LAYER, layer)).collect();
        manifest_of(&config, &layers)
    }

    pub(crate) fn store(&self, manifest: &Manifest) {
        let reference = Reference::Digest(manifest.descriptor().digest);
        let registry = &self.registry.inner;
        registry
            .put_manifest(&python(), &reference, manifest)
            .unwrap();
    }

    /// An index in the registry.
    pub(crate) fn index(&self, manifests: &[Manifest]) -> Manifest {
        let index = index_of(manifests);
        self.store(&index);
        index
    }

    pub(crate) fn login(&self, roots: &[Manifest]) -> (Login, Client) {
        let login = self.relay.login(&python(), roots);
        let client = Client::of(&login);
        (login, client)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.relay.authority()).unwrap()
    }

    /// The files that are not complete.
    pub(crate) fn partial(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("partial"))
            .unwrap()
            .count()
    }
}

pub(crate) fn manifest_of(config: &Descriptor, layers: &[Descriptor]) -> Manifest {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
    });
    Manifest {
        media_type: MANIFEST.to_owned(),
        bytes: manifest.to_string().into_bytes(),
    }
}

pub(crate) fn index_of(manifests: &[Manifest]) -> Manifest {
    let manifests: Vec<_> = manifests.iter().map(Manifest::descriptor).collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    Manifest {
        media_type: INDEX.to_owned(),
        bytes: index.to_string().into_bytes(),
    }
}

pub(crate) fn digest(manifest: &Manifest) -> Digest {
    manifest.descriptor().digest
}

/// Waits for what must come true soon.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if is_true() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("never: {what}");
}
