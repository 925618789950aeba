//! Packages of the tests' own: an archive that apt reads, images that have an old version from it,
//! and the advisories that say so.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use cssc_registry::testing::{Reply, TestRegistry};

use crate::place::Place;

/// The package, in this and in its file.
const PACKAGE: &str = "demo";

/// An archive, served on loopback.
pub(crate) struct Archive {
    server: TestRegistry,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    folder: tempfile::TempDir,
}

impl Archive {
    /// One that holds version 1.
    pub(crate) fn start() -> Self {
        let files = Arc::<Mutex<BTreeMap<String, Vec<u8>>>>::default();
        let content = Arc::clone(&files);
        let server = TestRegistry::start(move |request| {
            let path = request.path().trim_start_matches("/./");
            let path = path.trim_start_matches('/');
            match content.lock().unwrap().get(path) {
                Some(file) => Reply::new(200).body(file.clone()),
                None => Reply::new(404),
            }
        });
        let archive = Self {
            server: server.unwrap(),
            files,
            folder: tempfile::tempdir().unwrap(),
        };
        archive.release(1);
        archive
    }

    /// Where it answers.
    pub(crate) fn host(&self) -> String {
        self.server.host()
    }

    /// Replaces the version that it holds.
    pub(crate) fn release(&self, version: u32) {
        let package = package(self.folder.path(), version);
        let content = fs::read(&package).unwrap();
        let entry = entry(&content, version);
        let mut files = self.files.lock().unwrap();
        files.insert(format!("{PACKAGE}_{version}_all.deb"), content);
        files.insert("Packages".to_owned(), entry.into_bytes());
    }

    /// Builds an image with version 1 and this archive as its only source of packages: of Docker's
    /// format or not, and with a file of its own.
    pub(crate) fn image(&self, place: &Place, from: &str, to: &str, format: &str) {
        let source = format!("deb [trusted=yes] http://{} ./", self.host());
        build(place, self.folder.path(), (from, to, format), &source, "");
    }
}

/// Builds an image with version 1 that holds its archive, with version 2, in a folder of its own.
pub(crate) fn image_with_its_archive(place: &Place, from: &str, to: &str) {
    let folder = tempfile::tempdir().unwrap();
    let newer = package(folder.path(), 2);
    let packages = folder.path().join("Packages");
    fs::write(&packages, entry(&fs::read(&newer).unwrap(), 2)).unwrap();
    let add = format!(
        "mkdir -p $m/srv/archive; cp {} {} $m/srv/archive; head -c 100000 /dev/urandom >$m/srv/own",
        newer.display(),
        packages.display()
    );
    let source = "deb [trusted=yes] file:/srv/archive ./";
    build(place, folder.path(), (from, to, "oci"), source, &add);
}

/// Builds an image that Copa fetches packages with, in which there is what it would install.
pub(crate) fn tooling_image(place: &Place, from: &str, to: &str) {
    let storage = std::env::var("REAL_STORAGE_ARGS").unwrap();
    let script = format!(
        "set -e; bud() {{ buildah {storage} \"$@\"; }}
         b=$(bud from --tls-verify=false {from})
         bud run --isolation chroot --user 0:0 --workingdir / $b -- sh -e -c \
             'apt-get update; apt-get install --yes --no-install-recommends busybox-static
              rm -rf /etc/apt/sources.list /etc/apt/sources.list.d /var/lib/apt/lists'
         bud commit --quiet --rm --tls-verify=false $b docker://{}/{to}
         bud rmi --all --force",
        place.registry
    );
    let built = place.command("sh").args(["-c", &script]).output().unwrap();
    assert!(built.status.success(), "{built:?}");
}

fn build(place: &Place, folder: &Path, image: (&str, &str, &str), source: &str, add: &str) {
    let (from, to, format) = image;
    let (host, old) = (&place.registry, package(folder, 1));
    let storage = std::env::var("REAL_STORAGE_ARGS").unwrap();
    let script = format!(
        "set -e; bud() {{ buildah {storage} \"$@\"; }}
         b=$(bud from --tls-verify=false {from}); m=$(bud mount $b)
         rm -rf $m/etc/apt/sources.list $m/etc/apt/sources.list.d/*
         echo '{source}' >$m/etc/apt/sources.list
         cp {} $m/demo.deb; {add}
         bud run --isolation chroot --user 0:0 --workingdir / $b -- dpkg -i /demo.deb
         rm $m/demo.deb; bud umount $b
         bud commit --quiet --format {format} --rm --tls-verify=false $b docker://{host}/{to}
         bud rmi --all --force",
        old.display()
    );
    let built = place.command("sh").args(["-c", &script]).output().unwrap();
    assert!(built.status.success(), "{built:?}");
}

/// Makes the file of a version of the package.
fn package(folder: &Path, version: u32) -> PathBuf {
    let root = folder.join(format!("root-{version}"));
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    fs::create_dir_all(root.join("usr/share/demo")).unwrap();
    let version_file = root.join("usr/share/demo/version");
    fs::write(version_file, version.to_string()).unwrap();
    fs::write(root.join("DEBIAN/control"), control(version)).unwrap();
    let path = folder.join(format!("{PACKAGE}_{version}_all.deb"));
    let made = Command::new("dpkg-deb")
        .args(["--build", "--root-owner-group"])
        .args([&root, &path])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    path
}

fn control(version: u32) -> String {
    format!(
        "Package: {PACKAGE}\nVersion: {version}\nArchitecture: all\nMaintainer: A Test <a@b.c>\n\
         Description: something to patch\n"
    )
}

/// What stands of a package in the list of an archive.
fn entry(content: &[u8], version: u32) -> String {
    format!(
        "{}Filename: ./{PACKAGE}_{version}_all.deb\nSize: {}\nSHA256: {}\n\n",
        control(version),
        content.len(),
        cssc_registry::digest::of(content).hex()
    )
}

/// Pushes a database that knows of one vulnerability for each version below this one; the variable
/// that makes Trivy fetch it.
pub(crate) fn database(name: &str, fixed: u32) -> (&'static str, String) {
    let registry = std::env::var("REAL_REGISTRY").unwrap();
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../cssc-engine/tests/real/vulnerability_db.py");
    let mut process = Command::new("python3")
        .arg(script)
        .args([&registry, name])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    for version in 2..=fixed {
        writeln!(
            input,
            "debian 12\t{PACKAGE}\tCVE-2098-{version:04}\t{version}\tHIGH"
        )
        .unwrap();
    }
    drop(input);
    assert!(process.wait().unwrap().success());
    ("TRIVY_DB_REPOSITORY", format!("{registry}/{name}:2"))
}
