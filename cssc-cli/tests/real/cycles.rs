//! Several patches at once, and cycles that follow each other with other patchers.

use serde_json::json;

use crate::archive::{Archive, database, image_with_its_archive};
use crate::place::Place;

const COPA: &str = "--patcher copa";
const BUILDAH: &str = "--patcher buildah --buildah-isolation chroot";

/// A database for one cycle, and a folder of Trivy's own for it.
fn variables(name: &str, fixed: u32, folder: &tempfile::TempDir) -> [(&'static str, String); 2] {
    let cache = folder.path().join(fixed.to_string());
    [
        database(name, fixed),
        ("TRIVY_CACHE_DIR", cache.display().to_string()),
    ]
}

#[test]
fn four_images_are_patched_at_once_with_copa() {
    let Some(place) = Place::get() else { return };
    let base = format!("{}/debian:12", place.registry);
    let tags = ["1", "2", "3", "4"];
    for tag in tags {
        image_with_its_archive(&place, &base, &format!("four:{tag}"));
    }
    place.policy("four", &tags);
    let folder = tempfile::tempdir().unwrap();
    let variables = variables("four-db", 2, &folder);
    place.cycle(&format!("{COPA} --jobs 4"), &variables);
    for row in place.rows().as_array().unwrap() {
        assert_eq!(row["outcome"], "patched", "{row}");
    }
    for tag in tags {
        let (was, is) = (format!("four:{tag}"), format!("four:{tag}-1"));
        let layers = |image: &str| place.manifest(image).unwrap()["layers"].clone();
        let (was, is) = (layers(&was), layers(&is));
        let own = was.as_array().unwrap();
        assert_eq!(is.as_array().unwrap()[..own.len()], own[..], "{tag}");
    }
    place.cycle(&format!("{COPA} --jobs 4"), &variables);
    for row in place.rows().as_array().unwrap() {
        assert_eq!(row["outcome"], "clean", "{row}");
    }
}

/// An index with a platform that is emulated, and an image of Docker's format.
#[test]
fn copa_buildah_and_copa_again_patch_what_each_has_left() {
    let Some(place) = Place::get() else { return };
    let archive = Archive::start();
    let base = |tag: &str| format!("{}/debian:{tag}", place.registry);
    archive.image(&place, &base("12"), "mixed:amd64", "oci");
    archive.image(&place, &base("12-arm64"), "mixed:arm64", "oci");
    archive.image(&place, &base("12"), "mixed:docker", "docker");
    let platforms = [
        ("amd64", json!({"os": "linux", "architecture": "amd64"})),
        (
            "arm64",
            json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
        ),
    ];
    place.index("mixed", "index", &platforms);
    place.policy("mixed", &["docker", "index"]);
    let folder = tempfile::tempdir().unwrap();
    for (number, patcher) in [(1, COPA), (2, BUILDAH), (3, COPA)] {
        archive.release(number + 1);
        let variables = variables("mixed-db", number + 1, &folder);
        place.cycle(patcher, &variables);
        let rows = place.rows();
        for (index, tag) in ["docker", "index"].into_iter().enumerate() {
            let row = &rows[index];
            assert_eq!(row["outcome"], "patched", "{number}: {row}");
            assert_eq!(row["patchedImage"], format!("mixed:{tag}-{number}"));
        }
        is_patched(&place, number);
    }
    // Nothing is new, whichever patcher would patch.
    for patcher in [BUILDAH, COPA] {
        place.cycle(patcher, &variables("mixed-db", 4, &folder));
        for row in place.rows().as_array().unwrap() {
            assert_eq!(row["outcome"], "clean", "{row}");
        }
    }
}

/// Every image of a cycle is its original with one layer, which holds the version of the cycle.
fn is_patched(place: &Place, number: u32) {
    let index = place.manifest(&format!("mixed:index-{number}")).unwrap();
    let digest = |place: usize| {
        let digest = index["manifests"][place]["digest"].as_str().unwrap();
        format!("mixed@{digest}")
    };
    assert_eq!(index["manifests"][1]["platform"]["variant"], "v8");
    for (was, is) in [
        ("mixed:amd64", digest(0)),
        ("mixed:arm64", digest(1)),
        ("mixed:docker", format!("mixed:docker-{number}")),
    ] {
        let [before, after] = [was, &is].map(|image| place.manifest(image).unwrap());
        let [was_layers, is_layers] =
            [&before, &after].map(|manifest| manifest["layers"].as_array().unwrap().clone());
        assert_eq!(is_layers.len(), was_layers.len() + 1, "{is}");
        assert_eq!(is_layers[..was_layers.len()], was_layers[..], "{is}");
        assert_eq!(before["mediaType"], after["mediaType"]);
        for key in ["architecture", "variant", "os"] {
            assert_eq!(place.config(was)[key], place.config(&is)[key]);
        }
        let version = place.inside(&is, "cat /usr/share/demo/version");
        assert_eq!(version, (number + 1).to_string(), "{is}");
    }
}
