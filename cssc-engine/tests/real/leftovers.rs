//! What tools leave behind on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Where Buildah keeps its containers and images unless it is told otherwise.
const STORAGE: &str = "/var/lib/containers";

/// What there is of mounts, processes and files on this machine, and of bytes in the storage of
/// containers and images.
pub(crate) struct Leftovers(BTreeSet<String>);

impl Leftovers {
    pub(crate) fn look() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        // BuildKit may hold an image mounted for a moment after it has ended its work.
        let mounts = mounts.lines().filter(|line| !line.contains("/buildkit"));
        let files = ["/tmp", "/var/tmp", STORAGE, "/run/containers"]
            .into_iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flatten()
            .map(|entry| entry.unwrap().path().display().to_string());
        Self(
            mounts
                .map(str::to_owned)
                .chain(processes())
                .chain(files)
                .chain([stored()])
                .collect(),
        )
    }

    /// What there is now that was not. A process that was killed needs a moment to be gone.
    pub(crate) fn new_ones(&self) -> Vec<String> {
        let mut new = Vec::new();
        for _ in 0..30 {
            new = Self::look().0.difference(&self.0).cloned().collect();
            if new.is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        new
    }
}

/// How much the storage of containers and images holds.
fn stored() -> String {
    let used = Command::new("du").args(["-sb", STORAGE]).output().unwrap();
    String::from_utf8(used.stdout).unwrap()
}

/// Processes of the tools and of what they run.
fn processes() -> impl Iterator<Item = String> {
    let tools = [
        "buildah",
        "copa",
        "trivy",
        "apt-get",
        "dpkg",
        "runc",
        "qemu-aarch64",
    ];
    let running = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    running
        .filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            Some(format!("{} {}", name.trim(), entry.path().display()))
        })
        .filter(move |name| tools.iter().any(|tool| name.starts_with(tool)))
}
