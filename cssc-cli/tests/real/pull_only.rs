//! A registry whose tokens allow no more than is said: to pull, or to pull and to push.

use std::path::Path;
use std::process::{Command, Stdio};

use cssc_registry::testing::{Reply, TestRegistry, TestRequest};
use serde_json::{Value, json};

use crate::place::Place;
use crate::support::{DockerRegistry, Setup};

const SERVICE: &str = "registry";
const ISSUER: &str = "test";

/// Issues tokens that allow what they were asked for, as far as it is among the actions.
struct TokenServer {
    server: TestRegistry,
    folder: tempfile::TempDir,
}

impl TokenServer {
    fn start(actions: &'static [&'static str]) -> Self {
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
            let token = token(request, actions, &keys);
            Reply::json(json!({"token": token, "expires_in": 300}).to_string())
        });
        Self {
            server: server.unwrap(),
            folder,
        }
    }
}

fn token(request: &TestRequest, actions: &[&str], keys: &Path) -> String {
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
            let (name, asked) = rest.rsplit_once(':')?;
            let given = asked.split(',').filter(|action| actions.contains(action));
            let given: Vec<&str> = given.collect();
            Some(json!({"type": kind, "name": name, "actions": given}))
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

/// A registry with an image, whose tokens allow these actions.
struct Guarded {
    place: Place,
    _registry: DockerRegistry,
    _tokens: TokenServer,
}

impl Guarded {
    fn get(actions: &'static [&'static str]) -> Option<Self> {
        let mut place = Place::get()?;
        let mut registry = DockerRegistry::start(Setup::default());
        let from = format!("{}/debian:12", place.registry);
        place.registry = registry.host();
        for tag in ["copa", "buildah"] {
            place.copy_from(&from, &format!("debian:{tag}"));
        }
        place.policy("debian", &["copa"]);
        let tokens = TokenServer::start(actions);
        let realm = tokens.server.host().replace("127.0.0.1", "localhost");
        registry.configure(|config| {
            config["auth"] = json!({"token": {
                "realm": format!("http://{realm}/token"), "service": SERVICE, "issuer": ISSUER,
                "rootcertbundle": tokens.folder.path().join("cert.pem"),
            }});
        });
        Some(Self {
            place,
            _registry: registry,
            _tokens: tokens,
        })
    }

    /// Runs a cycle; its exit code, and the row of the image.
    fn run(&self, options: &str) -> (Option<i32>, Value) {
        let said = self
            .place
            .workflow_command(&format!("run --config policy.json --attempts 1 {options}"))
            .env("CSSC_REGISTRY_USERNAME", "me")
            .env("CSSC_REGISTRY_PASSWORD", "secret")
            .output()
            .unwrap();
        eprintln!("{}", String::from_utf8_lossy(&said.stderr));
        (said.status.code(), self.place.rows()[0].clone())
    }
}

const PATCHERS: [&str; 2] = [
    "--patcher copa",
    "--patcher buildah --buildah-isolation chroot",
];

/// Whether a row says that a candidate has passed the gate.
fn is_good(row: &Value) -> bool {
    let reason = row["reason"]["text"].as_str();
    reason.is_some_and(|reason| reason.ends_with("the candidate was good"))
}

#[test]
fn a_token_that_allows_to_pull_is_enough_until_something_is_published() {
    let Some(guarded) = Guarded::get(&["pull"]) else {
        return;
    };
    let (code, row) = guarded.run("--until scan");
    assert_eq!(code, Some(0), "{row}");
    assert_eq!(row["outcome"], "vulnerable");
    assert_eq!(row["reason"]["code"], "would-patch");
    for patcher in PATCHERS {
        let (code, row) = guarded.run(&format!("{patcher} --until verify"));
        assert_eq!(code, Some(0), "{row}");
        assert_eq!(row["outcome"], "vulnerable");
        assert!(is_good(&row), "{row}");
    }

    // To publish more is needed, and it is said what.
    let (code, row) = guarded.run(PATCHERS[0]);
    assert_eq!(code, Some(1), "{row}");
    assert_eq!(row["outcome"], "failed");
    let reason = row["reason"]["text"].as_str().unwrap();
    assert!(
        reason.contains("authoriz") || reason.contains("denied"),
        "{reason}"
    );
}

#[test]
fn a_token_that_allows_to_pull_and_push_is_enough_for_all() {
    let Some(guarded) = Guarded::get(&["pull", "push"]) else {
        return;
    };
    for (patcher, tag) in PATCHERS.into_iter().zip(["copa", "buildah"]) {
        guarded.place.policy("debian", &[tag]);
        for outcome in ["patched", "clean"] {
            let (code, row) = guarded.run(&format!("{patcher} --attach always"));
            assert_eq!(code, Some(0), "{row}");
            assert_eq!(row["outcome"], outcome, "{row}");
        }
    }
}

#[test]
fn a_registry_that_takes_nothing_is_found_out_by_what_is_published() {
    let Some(mut place) = Place::get() else {
        return;
    };
    place.registry = std::env::var("REAL_READ_ONLY").unwrap();
    place.policy("debian", &["12"]);
    place.cycle(&format!("{} --until verify", PATCHERS[0]), &[]);
    let row = &place.rows()[0];
    assert!(is_good(row), "{row}");
    let run = format!("run --config policy.json --attempts 1 {}", PATCHERS[0]);
    let said = place.workflow(&run);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let reason = &place.rows()[0]["reason"]["text"];
    assert!(reason.as_str().unwrap().contains("405"), "{reason}");
}
