//! Labels of originals that mislead patchers.

use cssc_registry::{Descriptor, Manifest, Reference, RegistryClient};
use serde_json::json;

use super::world::{MANIFEST, Tools, World, python};

/// Copa takes an image with its label for one that it has patched. Docker writes labels as
/// `Labels`, Copa as `labels`.
#[test]
fn an_original_with_copas_label_gets_a_warning_in_either_spelling() {
    for (spelling, label, is_told) in [
        ("Labels", "BaseImage", true),
        ("labels", "BaseImage", true),
        ("Labels", "team", false),
    ] {
        let world = World::new();
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "config": {spelling: {label: "debian:12"}},
            "history": [{"fixable": ["CVE-1"], "stubborn": [], "patched": 0}],
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{:064}", 0)]},
        });
        let config = config.to_string();
        world
            .registry
            .put_blob(&python(), config.as_bytes())
            .unwrap();
        let kind = "application/vnd.oci.image.config.v1+json";
        let manifest = Manifest {
            media_type: MANIFEST.to_owned(),
            bytes: json!({
                "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                "config": Descriptor::of(kind, config.as_bytes()),
            })
            .to_string()
            .into_bytes(),
        };
        let tag = Reference::Tag("labelled".parse().unwrap());
        world
            .registry
            .put_manifest(&python(), &tag, &manifest)
            .unwrap();
        let cycle = world.cycle(&Tools::new(&world.registry));
        let run = cycle.rows().next().unwrap().patch_run_id.unwrap();
        let log = world.state.log(&run, 0).unwrap().unwrap();
        let warning = "warning: the original has the label `BaseImage`, which Copa leaves on what \
                       it has patched, with the value `debian:12`: Copa may patch that instead\n";
        assert_eq!(log.contains(warning), is_told, "{spelling}: {log}");
    }
}
