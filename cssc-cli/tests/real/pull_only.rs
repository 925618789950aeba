//! A registry whose tokens allow no more than to pull.

use std::path::Path;
use std::process::{Command, Stdio};

use cssc_registry::testing::{Reply, TestRegistry, TestRequest};
use serde_json::json;

use crate::place::Place;
use crate::support::{DockerRegistry, Setup};

const SERVICE: &str = "registry";
const ISSUER: &str = "test";

/// Issues tokens that allow to pull what they were asked for, and nothing else.
struct TokenServer {
    server: TestRegistry,
    folder: tempfile::TempDir,
}

impl TokenServer {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args([
                "-subj", "/CN=test", "-keyout", "key.pem", "-out", "cert.pem",
            ])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        let keys = folder.path().to_owned();
        let server = TestRegistry::start(move |request| {
            if request.header("authorization").is_none() {
                return Reply::error(401, "UNAUTHORIZED")
                    .header("www-authenticate", r#"Basic realm="test""#);
            }
            let token = token(request, &keys);
            Reply::json(json!({"token": token, "expires_in": 300}).to_string())
        });
        Self {
            server: server.unwrap(),
            folder,
        }
    }
}

fn token(request: &TestRequest, keys: &Path) -> String {
    let scopes = request.target.split(['?', '&']);
    let scopes = scopes.filter_map(|pair| pair.strip_prefix("scope="));
    let access: Vec<_> = scopes
        .map(|scope| {
            scope
                .replace("%3A", ":")
                .replace("%2F", "/")
                .replace("%2C", ",")
        })
        .filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, _) = rest.rsplit_once(':')?;
            Some(json!({"type": kind, "name": name, "actions": ["pull"]}))
        })
        .collect();
    let certificate = std::fs::read_to_string(keys.join("cert.pem")).unwrap();
    let lines = certificate.lines().filter(|line| !line.starts_with("---"));
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [lines.collect::<String>()]});
    let now = chrono::Utc::now().timestamp();
    let claims = json!({
        "iss": ISSUER, "aud": SERVICE, "sub": "me", "jti": "1", "access": access,
        "iat": now, "nbf": now - 60, "exp": now + 300,
    });
    let signed = format!(
        "{}.{}",
        base64(header.to_string()),
        base64(claims.to_string())
    );
    let signature = openssl(
        &["dgst", "-sha256", "-sign", "key.pem"],
        signed.as_bytes(),
        keys,
    );
    format!("{signed}.{}", base64(signature))
}

/// Base64 as URLs have it.
fn base64(bytes: impl AsRef<[u8]>) -> String {
    let text = openssl(&["base64", "-A"], bytes.as_ref(), Path::new("/"));
    let text = String::from_utf8(text).unwrap();
    text.trim_end()
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}

fn openssl(args: &[&str], input: &[u8], folder: &Path) -> Vec<u8> {
    use std::io::Write as _;

    let mut process = Command::new("openssl")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn a_token_that_allows_to_pull_is_enough_to_scan() {
    let Some(mut place) = Place::get() else {
        return;
    };
    let mut registry = DockerRegistry::start(Setup::default());
    let from = format!("{}/debian:12", place.registry);
    place.registry = registry.host();
    place.copy_from(&from, "debian:12");
    place.policy("debian", &["12"]);
    let tokens = TokenServer::start();
    registry.configure(|config| {
        config["auth"] = json!({"token": {
            "realm": format!("http://{}/token", tokens.server.host().replace("127.0.0.1", "localhost")),
            "service": SERVICE, "issuer": ISSUER,
            "rootcertbundle": tokens.folder.path().join("cert.pem"),
        }});
    });
    let run = |options: &str| {
        place
            .workflow_command(&format!("run --config policy.json --attempts 1 {options}"))
            .env("CSSC_REGISTRY_USERNAME", "me")
            .env("CSSC_REGISTRY_PASSWORD", "secret")
            .output()
            .unwrap()
    };
    let said = run("--until scan");
    assert!(said.status.success(), "{said:?}");
    let row = &place.rows()[0];
    assert_eq!(row["outcome"], "vulnerable");
    assert_eq!(row["reason"]["code"], "would-patch");

    // To patch more is needed, and is refused at once.
    let said = run("--patcher buildah --buildah-isolation chroot");
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let row = &place.rows()[0];
    assert_eq!(row["outcome"], "failed");
    let reason = row["reason"]["text"].as_str().unwrap();
    assert!(
        reason.contains("authoriz") || reason.contains("denied"),
        "{reason}"
    );
}
