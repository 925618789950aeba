//! What a cycle of real images costs. Measured when asked for, with `cssc` as it is released:
//!
//! `cssc-engine/tests/real/with-image cargo test --release -p cssc-cli --test real -- --ignored
//! --nocapture cost`
//!
//! `REAL_CSSC` names the folder of another `cssc` to measure, such as that of an earlier commit.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cssc_engine::relay::{Relay, RelayOptions};
use cssc_registry::{Descriptor, Manifest, Reference, RegistryClient};
use serde_json::json;

use crate::archive::{database, image_with_its_archive};
use crate::place::Place;
use crate::support::{DockerRegistry, Setup};

const IMAGES: usize = 20;
/// What the kernel counts time in, each second.
const TICKS: f64 = 100.0;

#[test]
#[ignore = "a measurement"]
fn cost_of_twenty_images_with_copa() {
    twenty_images("copa", "--patcher copa");
}

#[test]
#[ignore = "a measurement"]
fn cost_of_twenty_images_with_buildah() {
    twenty_images("buildah", "--patcher buildah --buildah-isolation chroot");
}

/// Twenty images on one base, each with a layer of its own.
fn twenty_images(name: &str, options: &str) {
    let Some(mut place) = Place::get() else {
        return;
    };
    let base = format!("{}/debian:12", place.registry);
    let registry = DockerRegistry::start(Setup::default());
    place.registry = registry.host();
    image_with_its_archive(&place, &base, "app:base");
    let tags: Vec<String> = (1..=IMAGES).map(|number| format!("v{number}")).collect();
    for tag in &tags {
        add_layer(&place, tag);
    }
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    place.policy("app", &tags);
    let database = database(&format!("cost-{name}"), 2);
    let caches = [(), ()].map(|()| tempfile::tempdir().unwrap());
    for (cycle, cache, outcome) in [
        ("cold", 0, "patched"),
        ("again", 0, "clean"),
        ("again, empty scanner cache", 1, "clean"),
    ] {
        let (begin, before) = (Instant::now(), registry.sent());
        let mut cssc =
            place.workflow_command(&format!("run --config policy.json {options} --jobs 2"));
        cssc.env(database.0, &database.1)
            .env("TRIVY_CACHE_DIR", caches[cache].path())
            .stderr(Stdio::null());
        let (own, tools) = watch(cssc.spawn().unwrap());
        let (wall, sent) = (begin.elapsed().as_secs_f64(), registry.sent() - before);
        let rows = place.rows();
        let rows = rows.as_array().unwrap();
        assert!(rows.iter().all(|row| row["outcome"] == outcome), "{rows:?}");
        println!(
            "| {name} | {cycle} | {wall:.1} s | {own:.2} s | {tools:.1} s | {:.2} MB |",
            mega(sent)
        );
    }
    let layers = place.manifest("app:v1").unwrap()["layers"].clone();
    let sizes = layers.as_array().unwrap().iter();
    let sizes: Vec<_> = sizes.map(|layer| layer["size"].to_string()).collect();
    println!("layers of an image: {} bytes", sizes.join(", "));
}

/// Writes the base again with a layer of random bytes on it.
fn add_layer(place: &Place, tag: &str) {
    let folder = tempfile::tempdir().unwrap();
    let script = "mkdir -p srv; head -c 100000 /dev/urandom >srv/own; tar -cf layer.tar srv";
    let made = Command::new("sh")
        .args(["-e", "-c", script])
        .current_dir(folder.path())
        .status();
    assert!(made.unwrap().success());
    let layer = fs::read(folder.path().join("layer.tar")).unwrap();
    let client = place.client();
    client.put_blob(&"app".parse().unwrap(), &layer).unwrap();
    let layer = Descriptor::of("application/vnd.oci.image.layer.v1.tar", &layer);
    place.change(("app:base", &format!("app:{tag}")), |manifest, config| {
        let list = |value: &mut serde_json::Value, new| value.as_array_mut().unwrap().push(new);
        list(&mut manifest["layers"], json!(layer));
        list(&mut config["rootfs"]["diff_ids"], json!(layer.digest));
        list(&mut config["history"], json!({"created_by": "a test"}));
    });
}

/// Waits for a process; the seconds of processor time that it took itself, and those of the
/// processes that it started and waited for.
fn watch(mut process: Child) -> (f64, f64) {
    let path = format!("/proc/{}/stat", process.id());
    let mut last = (0.0, 0.0);
    while process.try_wait().unwrap().is_none() {
        last = fs::read_to_string(&path).map_or(last, |stat| times(&stat).unwrap_or(last));
        thread::sleep(Duration::from_millis(20));
    }
    assert!(process.wait().unwrap().success());
    last
}

fn times(stat: &str) -> Option<(f64, f64)> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let seconds = |place: usize| Some(fields.get(place)?.parse::<f64>().ok()? / TICKS);
    let own = seconds(11)? + seconds(12)?;
    Some((own, seconds(13)? + seconds(14)?))
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// What the relay takes of this process to pass on a blob that it does not hold, and one that it
/// does.
#[test]
#[ignore = "a measurement"]
fn cost_of_the_relay() {
    let Some(mut place) = Place::get() else {
        return;
    };
    let registry = DockerRegistry::start(Setup::default());
    place.registry = registry.host();
    let repository = "app".parse().unwrap();
    let client = Arc::new(place.client());
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(
        folder.path(),
        Arc::<cssc_registry::OciRegistry>::clone(&client),
        &RelayOptions::default(),
    );
    let relay = relay.unwrap();
    for (what, count) in [("not held", 1), ("held", 8)] {
        let blob = vec![what.len().try_into().unwrap_or(0_u8); 256 << 20];
        client.put_blob(&repository, &blob).unwrap();
        let blob = Descriptor::of("application/vnd.oci.image.layer.v1.tar", &blob);
        let manifest = image_of(&place, &blob);
        let login = relay.login(&repository, &[manifest]);
        let pull = || {
            let url = format!(
                "http://{}:{}@{}/v2/app/blobs/{}",
                login.user(),
                login.password(),
                login.authority(),
                blob.digest
            );
            let done = Command::new("curl")
                .args(["--silent", "--fail", "--output", "/dev/null", &url])
                .status();
            assert!(done.unwrap().success());
        };
        if what == "held" {
            pull();
        }
        let own = || {
            times(&fs::read_to_string("/proc/self/stat").unwrap())
                .unwrap()
                .0
        };
        let (begin, before) = (Instant::now(), own());
        (0..count).for_each(|_| pull());
        let giga = mega(blob.size * count) / 1e3;
        println!(
            "{what}: {:.2} s of processor time and {:.2} s for each GB",
            (own() - before) / giga,
            begin.elapsed().as_secs_f64() / giga
        );
    }
}

/// An image in the repository with this layer.
fn image_of(place: &Place, layer: &Descriptor) -> Manifest {
    let (client, repository) = (place.client(), "app".parse().unwrap());
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers",
        "diff_ids": [layer.digest]}});
    let config = config.to_string();
    client.put_blob(&repository, config.as_bytes()).unwrap();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let config = Descriptor::of(
        "application/vnd.oci.image.config.v1+json",
        config.as_bytes(),
    );
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config,
        "layers": [layer]});
    let manifest = Manifest {
        media_type: media_type.to_owned(),
        bytes: manifest.to_string().into_bytes(),
    };
    let reference = Reference::Digest(manifest.descriptor().digest);
    client
        .put_manifest(&repository, &reference, &manifest)
        .unwrap();
    manifest
}
