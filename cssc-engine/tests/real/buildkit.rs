//! A BuildKit of a test's own, which may end when the test wants it to.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

pub(crate) struct BuildKit {
    process: Child,
    folder: tempfile::TempDir,
}

impl BuildKit {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let config = folder.path().join("buildkit.toml");
        let text = format!(
            "root = \"{place}/buildkit\"\n\
             [grpc]\naddress = [\"unix://{place}/socket\"]\n\
             [worker.oci]\nnetworkMode = \"host\"\n\
             [worker.containerd]\nenabled = false\n"
        );
        fs::write(&config, text).unwrap();
        // One that ends amid a build leaves mounts behind. Among mounts of its own they end with it.
        let process = Command::new("unshare")
            .args(["--mount", "buildkitd", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let buildkit = Self { process, folder };
        for _ in 0..200 {
            if buildkit.folder.path().join("socket").exists() {
                return buildkit;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("BuildKit does not start")
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}/socket", self.folder.path().display())
    }

    /// Asks it to end.
    pub(crate) fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let id = self.process.id().to_string();
        move || {
            let _ = Command::new("kill").arg(&id).status();
        }
    }
}

impl Drop for BuildKit {
    fn drop(&mut self) {
        self.stopper()();
        let _ = self.process.wait();
    }
}
