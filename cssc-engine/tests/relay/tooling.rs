//! Images that tools need for themselves.

use std::sync::Arc;

use cssc_engine::relay::{Registry, ToolingImages};
use cssc_registry::{LayoutRegistry, Reference, RegistryClient, RegistryError};

use crate::client::Client;
use crate::world::{World, bytes, python};

/// One registry, whatever it is called.
struct Images(Arc<LayoutRegistry>);

impl ToolingImages for Images {
    fn registry(&self, _: &Registry) -> Result<Arc<dyn RegistryClient>, RegistryError> {
        Ok(Arc::<LayoutRegistry>::clone(&self.0))
    }
}

/// As Copa does, which looks at two places.
#[test]
fn an_image_that_is_not_there_is_no_failure_of_the_relay() {
    let mut world = World::new();
    let image = world.image(&[bytes(1, 1_000)]);
    let images = LayoutRegistry::open(world.layouts.path()).unwrap();
    let tag = Reference::Tag("12".parse().unwrap());
    images.put_manifest(&python(), &tag, &image).unwrap();
    let images = Images(Arc::new(images));
    world.relay = world.relay.with_tooling(Arc::new(images));
    let login = world.relay.login_with_tooling(&python(), &[]);
    let client = Client::of(&login);
    let path = |name: &str| format!("/v2/tooling/{name}/manifests/12");
    assert_eq!(client.status("GET", &path("ghcr.io/team/none")), 404);
    assert_eq!(client.status("GET", &path("docker.io/team/python")), 200);
    assert_eq!(login.failure(), None);
}
