//! A BuildKit in a network of its own, which reaches this machine at a private address.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::archive::{database, image_with_its_archive, tooling_image};
use crate::place::Place;

const NAMESPACE: &str = "cssc-real";
/// This machine, and the namespace.
const HERE: &str = "10.213.77.1";
const THERE: &str = "10.213.77.2";

fn ip(arguments: &str) -> bool {
    let done = Command::new("ip").args(arguments.split(' ')).output();
    done.unwrap().status.success()
}

/// A BuildKit in a network namespace, and what leads there.
struct Elsewhere {
    buildkit: Child,
    folder: tempfile::TempDir,
}

impl Elsewhere {
    /// One that takes the relay at a port of this machine for one that speaks plain HTTP.
    fn start(port: u16) -> Self {
        remove_network();
        for arguments in [
            format!("netns add {NAMESPACE}"),
            format!("link add cssc-here type veth peer name cssc-there netns {NAMESPACE}"),
            format!("address add {HERE}/24 dev cssc-here"),
            "link set cssc-here up".to_owned(),
            format!("-n {NAMESPACE} address add {THERE}/24 dev cssc-there"),
            format!("-n {NAMESPACE} link set cssc-there up"),
            format!("-n {NAMESPACE} link set lo up"),
        ] {
            assert!(ip(&arguments), "ip {arguments}");
        }
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let config = folder.path().join("buildkit.toml");
        let text = format!(
            "root = \"{place}/buildkit\"\n\
             [grpc]\naddress = [\"unix://{place}/socket\"]\n\
             [worker.oci]\nnetworkMode = \"host\"\n\
             [worker.containerd]\nenabled = false\n\
             [registry.\"{HERE}:{port}\"]\nhttp = true\n"
        );
        fs::write(&config, text).unwrap();
        // `ip netns exec` would hide the control groups.
        let buildkit = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{NAMESPACE}"))
            .args(["unshare", "--mount", "buildkitd", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let elsewhere = Self { buildkit, folder };
        for _ in 0..200 {
            if elsewhere.folder.path().join("socket").exists() {
                return elsewhere;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("BuildKit does not start")
    }

    fn address(&self) -> String {
        format!("unix://{}/socket", self.folder.path().display())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let id = self.buildkit.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.buildkit.wait();
        remove_network();
    }
}

fn remove_network() {
    ip("link delete cssc-here");
    ip(&format!("netns delete {NAMESPACE}"));
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_buildkit_elsewhere_patches_if_it_reaches_the_relay() {
    let Some(place) = Place::get() else { return };
    let base = format!("{}/debian:12", place.registry);
    image_with_its_archive(&place, &base, "elsewhere:1");
    place.policy("elsewhere", &["1"]);
    // Nothing else is reached from there, so all that Copa needs is in its images.
    tooling_image(
        &place,
        &base,
        "elsewhere/tooling/library/debian:stable-slim",
    );
    let tooling = format!("docker.io={}/elsewhere/tooling", place.registry);
    let port = free_port();
    let elsewhere = Elsewhere::start(port);
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        database("elsewhere-db", 2),
        ("TRIVY_CACHE_DIR", folder.path().display().to_string()),
        ("BUILDKIT_HOST", elsewhere.address()),
        (
            "CSSC_TOOLING_MIRROR",
            format!("{tooling} ghcr.io={}", place.registry),
        ),
    ];
    // At a loopback address it does not.
    let run = "run --config policy.json --attempts 1 --patcher copa";
    let mut command = place.workflow_command(run);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let said = command.output().unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let row = &place.rows()[0];
    assert_eq!(row["outcome"], "failed", "{row}");
    assert_eq!(row["reason"]["code"], "relay-not-reached", "{row}");

    let options = format!("--patcher copa --relay {HERE}:{port}");
    place.cycle(&options, &variables);
    let row = &place.rows()[0];
    assert_eq!(row["outcome"], "patched", "{row}");
    assert_eq!(place.tags("elsewhere"), ["1", "1-1"]);
}
