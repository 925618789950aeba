//! Real tools pull and push.

use std::path::Path;
use std::process::Command;

use cssc_engine::relay::Login;
use cssc_registry::{Digest, Manifest};

use crate::support::has_tools;
use crate::world::{World, bytes, digest};

/// The file that tools read logins from.
fn auth_file(folder: &Path, login: &Login) -> std::path::PathBuf {
    use base64::Engine as _;
    let secret = format!("{}:{}", login.user(), login.password());
    let secret = base64::prelude::BASE64_STANDARD.encode(secret);
    let auths = serde_json::json!({"auths": {login.authority(): {"auth": secret}}});
    let path = folder.join("auth.json");
    std::fs::write(&path, auths.to_string()).unwrap();
    path
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn document(manifest: &Manifest) -> serde_json::Value {
    serde_json::from_slice(&manifest.bytes).unwrap()
}

/// A tar file with one file in it.
fn tar(folder: &Path, name: &str, content: &[u8]) -> Vec<u8> {
    std::fs::write(folder.join(name), content).unwrap();
    let file = folder.join("layer.tar");
    run(Command::new("tar")
        .arg("-C")
        .arg(folder)
        .arg("-cf")
        .arg(&file)
        .arg(name));
    std::fs::read(file).unwrap()
}

#[test]
fn skopeo_pulls_and_pushes() {
    if !has_tools(&["skopeo"]) {
        return;
    }
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let layers = [1, 2, 3].map(|seed| tar(folder.path(), "file", &bytes(seed, 300_000)));
    let image = world.image(&layers);
    let (login, _) = world.login(std::slice::from_ref(&image));
    let auth = auth_file(folder.path(), &login);
    let copy = |from: &str, to: &str| {
        let mut command = Command::new("skopeo");
        command
            .args(["--insecure-policy", "copy", "--quiet", "--authfile"])
            .arg(&auth);
        command.args([
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            from,
            to,
        ]);
        run(&mut command);
    };
    let name = format!("docker://{}/{}", login.authority(), login.repository());
    let local = format!("oci:{}:a", folder.path().join("layout").display());
    copy(&format!("{name}@{}", digest(&image)), &local);
    assert_eq!(
        world.registry.asked("open_blob"),
        4,
        "layers and configuration"
    );
    copy(&local, &format!("{name}:{}", login.tag()));
    // It writes manifests in its own way.
    assert_eq!(
        login.pushed().as_ref().map(document),
        Some(document(&image))
    );
    assert_eq!(login.failure(), None);
    assert_eq!(world.registry.asked("put_blob"), 0);
    // The same, with every layer compressed anew, so that each has to be uploaded.
    let other = format!("dir:{}", folder.path().join("dir").display());
    copy(&local, &other);
    let mut command = Command::new("skopeo");
    command
        .args(["--insecure-policy", "copy", "--quiet", "--authfile"])
        .arg(&auth);
    command.args([
        "--dest-compress-format=gzip",
        "--dest-force-compress-format",
    ]);
    command.args([
        "--dest-tls-verify=false",
        &other,
        &format!("{name}:{}", login.tag()),
    ]);
    if command.output().unwrap().status.success() {
        assert_ne!(
            login.pushed().as_ref().map(document),
            Some(document(&image))
        );
    }
}

#[test]
fn buildah_pulls_patches_and_pushes() {
    if !has_tools(&["buildah"]) {
        return;
    }
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let layers = [tar(folder.path(), "base", &bytes(1, 300_000))];
    let image = world.image(&layers);
    let (login, client) = world.login(std::slice::from_ref(&image));
    let auth = auth_file(folder.path(), &login);
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("buildah");
        command.arg("--storage-driver=vfs");
        command.arg("--root").arg(folder.path().join("root"));
        command.arg("--runroot").arg(folder.path().join("runroot"));
        command
            .env("REGISTRY_AUTH_FILE", &auth)
            .env("BUILDAH_ISOLATION", "chroot");
        run(command.args(arguments)).trim().to_owned()
    };
    let name = format!("docker://{}/{}", login.authority(), login.repository());
    let from = format!("{name}@{}", digest(&image));
    let container = buildah(&["from", "--tls-verify=false", &from]);
    let added = folder.path().join("added");
    std::fs::write(&added, "added").unwrap();
    buildah(&["copy", &container, added.to_str().unwrap(), "/added"]);
    buildah(&["commit", "--quiet", &container, "patched"]);
    let to = format!("{name}:{}", login.tag());
    buildah(&["push", "--tls-verify=false", "--quiet", "patched", &to]);
    buildah(&["rm", &container]);
    let pushed = login.pushed().unwrap();
    let document = document(&pushed);
    let layers = document["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2, "{document}");
    for layer in layers {
        let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
        assert!(client.blob(&digest).is_whole);
    }
    assert_eq!(login.failure(), None);
}
