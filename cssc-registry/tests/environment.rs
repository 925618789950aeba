//! What the environment says of registries: credentials, helpers, certificates, proxies.
//!
//! A test that changed its own environment would change that of its neighbours: each case is a
//! process of its own, this program once more.
#![cfg(all(feature = "http", unix))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cssc_core::Listing;
use cssc_registry::testing::{Reply, TestRegistry};
use cssc_registry::{ListOptions, OciOptions, OciRegistry, RegistryClient, list_all};
use support::{DockerRegistry, PASSWORD, Setup, USER, has_tools};

/// Lists `python` at the host in `CSSC_TEST_HOST`, with nothing but the environment to go by.
#[test]
fn child() {
    let Ok(host) = std::env::var("CSSC_TEST_HOST") else {
        return;
    };
    let options = OciOptions::default()
        .helper_timeout(Duration::from_millis(500))
        .timeout(Duration::from_secs(3))
        .attempts(1)
        .plain_http(std::env::var_os("CSSC_TEST_PLAIN").is_some());
    let client = OciRegistry::new(&host.parse().unwrap(), options).unwrap();
    match client.list_tags(&"python".parse().unwrap()) {
        Listing::Found(tags) => println!("<found {}>", tags.len()),
        Listing::Absent => println!("<absent>"),
        Listing::Unavailable(reason) => println!("<{}>", reason.to_string().replace(&host, "HOST")),
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
            "the credentials used were those in `CSSC_REGISTRY_USERNAME` and \
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
    // As CI systems hand it over; it goes before files.
    let folder = home.path().join(".docker");
    fs::write(folder.join("config.json"), "{").unwrap();
    assert_eq!(list(&[("DOCKER_AUTH_CONFIG", &config)]), "found 1");
    let told = list(&[("DOCKER_AUTH_CONFIG", "hunter2")]);
    assert_eq!(
        told,
        "cannot read credentials from `DOCKER_AUTH_CONFIG`: it is not the expected JSON at line 1, \
         column 1"
    );
    fs::remove_file(folder.join("config.json")).unwrap();
    let lines = [me, ("CSSC_REGISTRY_PASSWORD", "hunter2\n")];
    assert_eq!(list(&lines), "found 1");
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
    assert_eq!(
        ask(&good.replace("hunter2", r"hunter2\\n"), &for_host),
        "found 1"
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
        "the credential helper `test` did not print valid credentials"
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
        "no secure connection to `HOST`: its certificate is self-signed; if you trust it, \
         name a file with it"
    );
    let trusting = [me[0], me[1], ("SSL_CERT_FILE", certificate)];
    assert_eq!(list(&registry.host(), home.path(), &trusting), "found 1");
    let nobody = [
        ("SSL_CERT_FILE", "/dev/null"),
        ("SSL_CERT_DIR", "/dev/null"),
    ];
    let told = list(&registry.host(), home.path(), &nobody);
    let expected = "found no certificates to trust";
    assert!(told.starts_with(expected), "{told}");
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

const PLAIN: (&str, &str) = ("CSSC_TEST_PLAIN", "1");

#[test]
fn plain_http_goes_to_a_proxy_by_its_whole_address() {
    let proxy = TestRegistry::start(|request| match request.target.as_str() {
        "http://registry.invalid/v2/python/tags/list?n=1000" => Reply::json(r#"{"tags": ["a"]}"#),
        "http://locked.invalid/v2/python/tags/list?n=1000" => Reply::new(407),
        _ => Reply::new(400),
    })
    .unwrap();
    let home = tempfile::tempdir().unwrap();
    let list = |host: &str, name: &str, url: &str| list(host, home.path(), &[PLAIN, (name, url)]);
    let url = format!("http://{}", proxy.host());
    assert_eq!(list("registry.invalid", "HTTP_PROXY", &url), "found 1");
    assert_eq!(
        list("registry.invalid", "ALL_PROXY", &proxy.host()),
        "found 1"
    );
    let told = list("locked.invalid", "http_proxy", &url);
    let expected = format!("the proxy `{url}` rejected the credentials (407 Proxy");
    assert!(told.starts_with(&expected), "{told}");
    // The proxy for the other scheme is none.
    let told = list("registry.invalid", "HTTPS_PROXY", &url);
    assert_eq!(told, "the host `HOST` was not found: is the name right?");
    let told = list("registry.invalid", "HTTP_PROXY", "http://proxy.invalid:1");
    assert_eq!(
        told,
        "the host of the proxy `http://proxy.invalid:1` was not found: is the name right?"
    );
    let told = list("registry.invalid", "HTTP_PROXY", "ftp://p");
    assert!(
        told.starts_with("`HTTP_PROXY` names no proxy that can be used: `ftp://p`"),
        "{told}"
    );
    drop(proxy);
    let told = list("registry.invalid", "HTTP_PROXY", &url);
    assert_eq!(
        told,
        format!("the proxy `{url}` refuses connections: is it running?")
    );
}

#[test]
fn proxies_of_other_kinds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0_u8; 512];
            stream.read_exact(&mut bytes[..3]).unwrap();
            stream.write_all(&[5, 0]).unwrap();
            let length = stream.read(&mut bytes).unwrap();
            assert!(
                bytes[..length]
                    .windows(16)
                    .any(|name| name == b"registry.invalid")
            );
            stream
                .write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80])
                .unwrap();
            let _ = stream.read(&mut bytes).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"tags\":[\"a\"]}";
            stream.write_all(answer).unwrap();
        }
    });
    let home = tempfile::tempdir().unwrap();
    let url = format!("socks5h://{address}");
    let told = list(
        "registry.invalid",
        home.path(),
        &[PLAIN, ("ALL_PROXY", &url)],
    );
    assert_eq!(told, "found 1");
}

#[test]
fn a_proxy_that_drips_does_not_outlast_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(60));
            std::thread::spawn(move || {
                for byte in answer.as_bytes().chunks(1) {
                    if stream.write_all(byte).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(500));
                }
            });
        }
    });
    let home = tempfile::tempdir().unwrap();
    let url = format!("http://{address}");
    let begun = Instant::now();
    let certificates = ("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt");
    let proxy = ("HTTPS_PROXY", url.as_str());
    let told = list("registry.invalid", home.path(), &[proxy, certificates]);
    assert_eq!(told, "`HOST` did not answer within 3s");
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[test]
fn helpers_end_with_their_children_and_see_no_secret_of_ours() {
    let registry = guarded();
    let home = tempfile::tempdir().unwrap();
    let docker = home.path().join(".docker");
    fs::create_dir(&docker).unwrap();
    fs::write(docker.join("config.json"), r#"{"credsStore": "test"}"#).unwrap();
    let helper = home.path().join("docker-credential-test");
    let pid = home.path().join("pid");
    let seen = home.path().join("seen");
    let script = format!(
        "#!/bin/sh\nenv > {}\nsleep 60 &\necho $! > {}\nwait\n",
        seen.display(),
        pid.display()
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", home.path().display());
    let told = list(&registry.host(), home.path(), &[("PATH", &path)]);
    assert!(told.contains("did not answer within"), "{told}");
    let child = fs::read_to_string(&pid).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    assert!(status.is_err() || status.unwrap().contains(") Z"));
    assert!(!fs::read_to_string(&seen).unwrap().contains("CSSC_"));
}

#[test]
fn a_pipe_is_no_configuration() {
    let registry = guarded();
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let pipe = pipe.to_str().unwrap();
    let told = list(
        &registry.host(),
        home.path(),
        &[("REGISTRY_AUTH_FILE", pipe)],
    );
    assert_eq!(
        told,
        format!("cannot read credentials from `{pipe}`: it is not a regular file")
    );
}

/// Passes connections on to `port` of this machine, and counts them.
fn counted(port: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("localhost:{}", listener.local_addr().unwrap().port());
    let target = format!("127.0.0.1:{port}");
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for near in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            let (near, far) = (near.unwrap(), TcpStream::connect(&target).unwrap());
            for (mut from, mut to) in [
                (near.try_clone().unwrap(), far.try_clone().unwrap()),
                (far, near),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (host, count)
}

#[test]
fn one_connection_serves_all_requests_over_tls() {
    if !has_tools(&["docker-registry", "openssl"]) {
        return;
    }
    let registry = DockerRegistry::start(Setup {
        tls: true,
        password: false,
        forbid_deletion: false,
    });
    let own = registry.host();
    let (host, connections) = counted(own.rsplit(':').next().unwrap());
    let refused = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&refused);
    let options = OciOptions::default()
        .anonymous()
        .ca_file(registry.certificate())
        .observer(move |event| {
            if matches!(event.outcome, Ok((400, _))) {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
    let client = OciRegistry::new(&host.parse().unwrap(), options).unwrap();
    let names: Vec<_> = (0..50).map(|n| format!("r{n}").parse().unwrap()).collect();
    let inventory = list_all(&client, &names, &ListOptions::default(), |_| {});
    for (name, listing) in inventory.iter() {
        assert_eq!(listing, &Listing::Absent, "{name}");
    }
    // Plain HTTP was tried once, on a connection that the server then closed.
    assert_eq!(refused.load(Ordering::SeqCst), 1);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
