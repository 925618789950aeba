//! The container image of the repository: built from a Debian image of our own with the programs of
//! these tests, and used.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::place::Place;

/// Where a program of the environment is.
fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not in PATH"))
}

/// Buildah with images of its own, gone with the test.
struct Buildah<'a>(&'a Path);

impl Buildah<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        let done = Command::new("buildah")
            .env_remove("BUILDAH_ISOLATION")
            .arg("--root")
            .arg(self.0.join("storage"))
            .arg("--runroot")
            .arg(self.0.join("run"))
            .args(["--storage-driver", "vfs"])
            .args(arguments)
            .output()
            .unwrap();
        let (out, err) = (&done.stdout, &done.stderr);
        let said = String::from_utf8_lossy(out) + String::from_utf8_lossy(err);
        assert!(done.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(out).trim().to_owned()
    }
}

#[test]
fn the_container_image_is_built_and_used() {
    let Some(place) = Place::get() else { return };
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("context");
    let programs = context.join("tools");
    fs::create_dir_all(&programs).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_cssc"), programs.join("cssc")).unwrap();
    for name in ["trivy", "copa"] {
        fs::copy(program(name), programs.join(name)).unwrap();
    }
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Containerfile");
    fs::copy(recipe, context.join("Containerfile")).unwrap();

    let buildah = Buildah(folder.path());
    let registry = &place.registry;
    let base = format!("BASE={registry}/debian:12");
    buildah.run(&[
        "build",
        "--quiet",
        "--isolation=chroot",
        "--network=host",
        "--tls-verify=false",
        "--build-arg",
        &base,
        "--build-arg=PROGRAMS=tools",
        "--tag=cssc",
        context.to_str().unwrap(),
    ]);
    let container = buildah.run(&["from", "cssc"]);
    let run = |user: &str, words: &[&str]| {
        let database = format!(
            "TRIVY_DB_REPOSITORY={}",
            env::var("TRIVY_DB_REPOSITORY").unwrap()
        );
        let options = [
            "run",
            "--isolation=chroot",
            "--network=host",
            "--user",
            user,
        ];
        let variables = [
            "--env",
            &database,
            "--env",
            "HOME=/home/cssc",
            &container,
            "--",
        ];
        buildah.run(&[&options[..], &variables, words].concat())
    };
    for (words, said) in [
        (["cssc", "--version"], "cssc "),
        (["trivy", "--version"], "Version: "),
        (["copa", "--version"], "copa"),
        (["buildah", "--version"], "buildah version"),
        (["docker-credential-ecr-login", "version"], ""),
        (["docker-credential-pass", "version"], ""),
    ] {
        let out = run("cssc", &words);
        assert!(out.contains(said), "{words:?}: {out}");
    }
    // Whatever it needs to scan is there, for a user who is not root.
    let policy = r#"{"version": "v1", "repositories": [{"repository": "debian", "tags": ["12"]}]}"#;
    let script = format!(
        "echo '{policy}' | cssc workflow run -r {registry} --config - --until scan \
         --state /tmp/state.db 2>/tmp/said || {{ cat /tmp/said; exit 1; }}; \
         cssc workflow list -r {registry} --state /tmp/state.db -o tsv"
    );
    let listed = run("cssc", &["sh", "-c", &script]);
    assert!(listed.contains("debian:12\tvulnerable\t"), "{listed}");
}
