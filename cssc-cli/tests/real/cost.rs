//! What a cycle of real images costs. Measured when asked for:
//!
//! `cssc-engine/tests/real/with-image cargo test -p cssc-cli --test real -- --ignored --nocapture cost`

use std::time::Instant;

use crate::place::Place;
use crate::support::{DockerRegistry, Setup};

const IMAGES: usize = 20;

/// Twenty images on one base, each with a layer of its own.
#[test]
#[ignore = "a measurement"]
fn cost_of_twenty_images_that_share_a_base() {
    let Some(mut place) = Place::get() else {
        return;
    };
    let base = format!("{}/debian:12", place.registry);
    for attach in ["never", "always"] {
        let registry = DockerRegistry::start(Setup::default());
        place.registry = registry.host();
        place.copy_from(&base, "app:0");
        for number in 1..=IMAGES {
            let script = format!(
                "set -e; b=$(buildah from --tls-verify=false {host}/app:0)
                 m=$(buildah mount $b); head -c 100000 /dev/urandom >$m/srv/{number}
                 buildah umount $b; buildah commit --tls-verify=false --rm $b \
                     docker://{host}/app:{number}",
                host = registry.host()
            );
            let built = place.command("sh").args(["-c", &script]).output().unwrap();
            assert!(built.status.success(), "{built:?}");
        }
        let tags: Vec<String> = (1..=IMAGES).map(|number| number.to_string()).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        place.policy("app", &tags);
        let caches = [(), ()].map(|()| tempfile::tempdir().unwrap());
        for (cycle, cache, outcome) in [
            ("cold", 0, "patched"),
            ("again", 0, "clean"),
            ("again with an empty cache", 1, "clean"),
        ] {
            let cache = &caches[cache];
            let (begin, before) = (Instant::now(), registry.sent());
            let said = place
                .workflow_command(&format!(
                    "run --config policy.json --attach {attach} --patcher buildah \
                     --buildah-isolation chroot --jobs 2"
                ))
                .env("TRIVY_CACHE_DIR", cache.path())
                .output()
                .unwrap();
            assert!(said.status.success(), "{said:?}");
            let rows = place.rows();
            let rows = rows.as_array().unwrap();
            assert!(rows.iter().all(|row| row["outcome"] == outcome), "{rows:?}");
            println!(
                "--attach {attach}, {cycle}: {:.1} s, {} KB sent by the registry",
                begin.elapsed().as_secs_f64(),
                (registry.sent() - before) / 1000
            );
        }
    }
}
