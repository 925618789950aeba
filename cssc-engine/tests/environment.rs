//! What the environment says of registries: credentials, helpers, certificates, proxies.
//!
//! A test that changed its own environment would change that of its neighbours: each case is a
//! process of its own, this program once more.
#![cfg(all(feature = "http", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail loudly")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cssc_core::Listing;
use cssc_engine::registry::{OciOptions, OciRegistry, RegistryClient};
use cssc_engine::testing::{Reply, TestRegistry};
use support::{DockerRegistry, PASSWORD, Setup, USER, has_tools};

/// Lists `python` at the host in `CSSC_TEST_HOST`, with nothing but the environment to go by.
#[test]
fn child() {
    let Ok(host) = std::env::var("CSSC_TEST_HOST") else {
        return;
    };
    let options = OciOptions::default().helper_timeout(Duration::from_millis(500));
    let client = OciRegistry::new(&host.parse().unwrap(), options).unwrap();
    match client.list_tags(&"python".parse().unwrap()) {
        Listing::Found(tags) => println!("<found {}>", tags.len()),
        Listing::Absent => println!("<absent>"),
        Listing::Unavailable(reason) => println!("<{}>", reason.replace(&host, "HOST")),
    }
}

fn list(host: &str, home: &Path, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env_clear()
        .env("HOME", home)
        .env("CSSC_TEST_HOST", host)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, rest) = text.split_once('<').expect("an answer");
    rest.split('>').next().unwrap().to_owned()
}

/// A registry that lets in `me` with the password `hunter2`.
fn guarded() -> TestRegistry {
    TestRegistry::start(|request| match request.header("authorization") {
        Some("Basic bWU6aHVudGVyMg==") => Reply::json(r#"{"tags": ["3.11"]}"#),
        _ => Reply::error(401, "UNAUTHORIZED").header("www-authenticate", "Basic realm=x"),
    })
    .unwrap()
}

#[test]
fn variables_and_files() {
    let registry = guarded();
    let home = tempfile::tempdir().unwrap();
    let list = |environment: &[(&str, &str)]| list(&registry.host(), home.path(), environment);
    assert!(list(&[]).contains("there are no credentials for it"));
    let me = ("CSSC_REGISTRY_USERNAME", "me");
    assert_eq!(
        list(&[me, ("CSSC_REGISTRY_PASSWORD", "hunter2")]),
        "found 1"
    );
    let told = list(&[me, ("CSSC_REGISTRY_PASSWORD", "wrong")]);
    assert!(
        told.ends_with(
            "the credentials shown were those in `CSSC_REGISTRY_USERNAME` and \
             `CSSC_REGISTRY_PASSWORD`"
        ),
        "{told}"
    );

    let config = format!(
        r#"{{"auths": {{"{}": {{"auth": "bWU6aHVudGVyMg=="}}}}}}"#,
        registry.host()
    );
    let folder = home.path().join("else");
    let folder_name = folder.to_str().unwrap();
    for (file, variable) in [
        ("else/config.json", Some("DOCKER_CONFIG")),
        ("else/containers/auth.json", Some("XDG_RUNTIME_DIR")),
        ("else/containers/auth.json", Some("XDG_CONFIG_HOME")),
        (".docker/config.json", None),
        (".config/containers/auth.json", None),
    ] {
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &config).unwrap();
        let environment: Vec<_> = variable
            .map(|name| (name, folder_name))
            .into_iter()
            .collect();
        assert_eq!(list(&environment), "found 1", "{file}");
        fs::remove_file(&path).unwrap();
    }
    let file = home.path().join("auth.json");
    fs::write(&file, &config).unwrap();
    assert_eq!(
        list(&[("REGISTRY_AUTH_FILE", file.to_str().unwrap())]),
        "found 1"
    );
}

#[test]
fn helpers() {
    let registry = guarded();
    let home = tempfile::tempdir().unwrap();
    let host = registry.host();
    let docker = home.path().join(".docker");
    fs::create_dir(&docker).unwrap();
    let ask = |helper: &str, config: &str| {
        let path = home.path().join("docker-credential-test");
        fs::write(&path, format!("#!/bin/sh\n{helper}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(docker.join("config.json"), config).unwrap();
        let path = format!("{}:/usr/bin:/bin", home.path().display());
        list(&host, home.path(), &[("PATH", &path)])
    };
    let for_host = format!(r#"{{"credHelpers": {{"{host}": "test"}}, "credsStore": "other"}}"#);
    let for_all = r#"{"credsStore": "test", "auths": {}}"#;
    let good = format!(
        r#"read key; [ "$1 $key" = "get {host}" ] && echo '{{"ServerURL": "x", "Username": "me", "Secret": "hunter2"}}'"#
    );
    assert_eq!(ask(&good, &for_host), "found 1");
    assert_eq!(ask(&good, for_all), "found 1");
    let nothing = "echo credentials not found in native keychain; exit 1";
    assert!(ask(nothing, for_all).contains("there are no credentials for it"));
    let name = "the credential helper `docker-credential-test`";
    assert_eq!(
        ask("echo hunter2; exit 1", for_all),
        format!("{name} failed")
    );
    assert_eq!(
        ask("echo hunter2", for_all),
        "the credential helper `test` did not print what helpers print"
    );
    let begun = Instant::now();
    // One that hangs, and one that leaves behind what holds its output open.
    for hangs in ["exec sleep 60", "sleep 60 & exit 0"] {
        assert!(ask(hangs, for_all).starts_with(&format!("{name} did not answer within")));
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn certificates_and_proxies() {
    if !has_tools(&["docker-registry", "skopeo", "openssl", "htpasswd"]) {
        return;
    }
    let registry = DockerRegistry::start(Setup {
        tls: true,
        password: true,
        forbid_deletion: false,
    });
    registry.push("python", &["3.11"], "one");
    let home = tempfile::tempdir().unwrap();
    let me = [
        ("CSSC_REGISTRY_USERNAME", USER),
        ("CSSC_REGISTRY_PASSWORD", PASSWORD),
    ];
    let certificate = registry.certificate();
    let certificate = certificate.to_str().unwrap();
    let told = list(&registry.host(), home.path(), &me);
    assert_eq!(
        told,
        "no secure connection to `HOST`: its certificate signs itself; if you trust it, \
         name a file with it"
    );
    let trusting = [me[0], me[1], ("SSL_CERT_FILE", certificate)];
    assert_eq!(list(&registry.host(), home.path(), &trusting), "found 1");
    // No proxy stands between a machine and itself.
    let proxy = [
        trusting[0],
        trusting[1],
        trusting[2],
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ("ALL_PROXY", "http://127.0.0.1:1"),
    ];
    assert_eq!(list(&registry.host(), home.path(), &proxy), "found 1");
}
