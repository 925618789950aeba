//! How tools reach the registry.

use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use cssc_core::Registry;
use serde_json::{Map, Value, json};

use super::ToolError;
use crate::private;

/// How tools reach a registry: with whose name, trusting which certificates, or without TLS.
///
/// Tools use what `docker login` has stored anyway; a login given here takes its place for one
/// registry. It reaches them through a file that only this user can read, never through an
/// argument, and is hidden in what they print.
///
/// | given | Trivy, Copa, a command | Buildah |
/// |---|---|---|
/// | name and password | `auth` in `DOCKER_CONFIG` | `auth` in `REGISTRY_AUTH_FILE` |
/// | identity token | `identitytoken` there | `identitytoken` there |
/// | access token of the registry | `registrytoken` there | not supported |
/// | CA file | `SSL_CERT_FILE` | `--cert-dir` |
#[derive(Clone, Default)]
pub struct Access {
    insecure: bool,
    credential: Option<Credential>,
    ca_file: Option<PathBuf>,
}

#[derive(Clone)]
enum Credential {
    Password(Box<str>, Box<str>),
    /// Turned into access tokens by the registry's token service.
    Identity(Box<str>),
    /// Sent to the registry as it is.
    Access(Box<str>),
}

/// The user that stands beside an identity token; Buildah reads no token without one.
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";

impl Access {
    /// Allows plain HTTP and certificates that cannot be verified.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Uses this name and password.
    pub fn login(mut self, user: impl Into<Box<str>>, password: impl Into<Box<str>>) -> Self {
        self.credential = Some(Credential::Password(user.into(), password.into()));
        self
    }

    /// Uses this token: an access token of the registry, which says what it allows, or else an
    /// identity token, also called refresh token (as `az acr login --expose-token` prints it).
    ///
    /// Tools do not exchange an Entra access token for one of the registry.
    pub fn token(mut self, token: impl Into<Box<str>>) -> Self {
        let token = token.into();
        self.credential = Some(if is_access_token(&token) {
            Credential::Access(token)
        } else {
            Credential::Identity(token)
        });
        self
    }

    /// Trusts the certificates of this PEM file too.
    ///
    /// `BuildKit`, which pulls and pushes for Copa, has its own settings.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Whether plain HTTP is allowed for `registry`; on this machine it always is.
    pub(super) fn is_insecure(&self, registry: &Registry) -> bool {
        self.insecure || registry.is_loopback()
    }

    /// What must not be seen in a log: the secret, and what base64 makes of it, alone or within
    /// a longer text.
    pub(super) fn secrets(&self) -> Vec<String> {
        match &self.credential {
            Some(Credential::Password(user, password)) => {
                let mut secrets = vec![password.to_string()];
                secrets.extend(base64_forms(password));
                secrets.extend(base64_forms(&format!("{user}:{password}")));
                secrets
            }
            Some(Credential::Identity(token) | Credential::Access(token)) => {
                let mut secrets = vec![token.to_string()];
                secrets.extend(base64_forms(token));
                secrets
            }
            None => Vec::new(),
        }
    }

    /// Whether all there is to show is an access token.
    pub(super) fn is_access_token(&self) -> bool {
        matches!(self.credential, Some(Credential::Access(_)))
    }

    /// The file with the certificates to trust.
    pub(super) fn certificates(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// A folder with the certificates to trust, made in `folder`, as Buildah reads them.
    pub(super) fn certificate_folder(&self, folder: &Path) -> Result<Option<PathBuf>, ToolError> {
        let Some(file) = &self.ca_file else {
            return Ok(None);
        };
        let certificates = folder.join("certificates");
        fs::create_dir_all(&certificates)
            .and_then(|()| fs::copy(file, certificates.join("ca.crt")))
            .map_err(|error| ToolError::file("copy", file, error))?;
        Ok(Some(certificates))
    }

    /// A folder for `DOCKER_CONFIG` with the login in it, made in `folder`, if there is a login.
    pub(super) fn docker_config(
        &self,
        registry: &Registry,
        folder: &Path,
    ) -> Result<Option<PathBuf>, ToolError> {
        let Some(credential) = &self.credential else {
            return Ok(None);
        };
        let theirs = users_docker_config();
        let mut config = theirs
            .as_ref()
            .and_then(|theirs| fs::read(theirs.join("config.json")).ok())
            .and_then(|text| serde_json::from_slice::<Map<String, Value>>(&text).ok())
            .unwrap_or_default();
        let auths = config.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        if let Some(auths) = auths.as_object_mut() {
            // podman and Buildah prefer a login for a part of the registry.
            let part = format!("{}/", registry.authority());
            auths.retain(|key, _| !key.starts_with(&part));
            auths.insert(registry.authority().to_owned(), credential.docker_auth());
        }
        // A helper for this registry would be asked instead.
        if let Some(helpers) = config.get_mut("credHelpers").and_then(Value::as_object_mut) {
            helpers.remove(registry.authority());
        }
        config.remove("credsStore");
        let ours = folder.join("docker-config");
        write_config(&ours, &Value::Object(config))
            .map_err(|error| ToolError::file("write", &ours, error))?;
        if let Some(theirs) = theirs {
            link_rest(&theirs, &ours);
        }
        Ok(Some(ours))
    }
}

impl Credential {
    /// As docker's configuration keeps it.
    fn docker_auth(&self) -> Value {
        match self {
            Self::Password(user, password) => {
                json!({ "auth": STANDARD.encode(format!("{user}:{password}")) })
            }
            Self::Identity(token) => json!({
                "auth": STANDARD.encode(format!("{TOKEN_USER}:")),
                "identitytoken": token,
            }),
            Self::Access(token) => json!({ "registrytoken": token }),
        }
    }
}

/// Whether a token says what it allows, as an access token of a registry does.
fn is_access_token(token: &str) -> bool {
    let claims = token.split('.').nth(1).unwrap_or_default();
    URL_SAFE_NO_PAD
        .decode(claims)
        .ok()
        .and_then(|claims| serde_json::from_slice::<Value>(&claims).ok())
        .is_some_and(|claims| claims.get("access").is_some_and(|access| !access.is_null()))
}

/// What base64 makes of `secret`: alone, and the part that is the same whatever stands around it
/// in a longer text, for each of the three ways it can lie across groups of three bytes.
fn base64_forms(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for alphabet in [&STANDARD, &URL_SAFE] {
        forms.push(alphabet.encode(secret));
        for (before, start) in [("", 0), ("\0", 2), ("\0\0", 3)] {
            let text = format!("{before}{secret}");
            let end = text.len().saturating_mul(8).wrapping_div(6);
            let form = alphabet.encode(&text);
            forms.extend(form.get(start..end).map(str::to_owned));
        }
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = match &self.credential {
            Some(Credential::Password(user, _)) => Some(&**user),
            Some(_) => Some("a token"),
            None => None,
        };
        f.debug_struct("Access")
            .field("insecure", &self.insecure)
            .field("user", &user)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

fn users_docker_config() -> Option<PathBuf> {
    std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))
}

fn write_config(folder: &Path, config: &Value) -> io::Result<()> {
    private::make_folder(folder)?;
    let file = private::write_options()
        .create(true)
        .truncate(true)
        .open(folder.join("config.json"))?;
    serde_json::to_writer(file, config).map_err(Into::into)
}

/// The builders and contexts that a person has set up stand beside the logins and stay usable.
fn link_rest(theirs: &Path, ours: &Path) {
    #[cfg(unix)]
    for entry in fs::read_dir(theirs).into_iter().flatten().flatten() {
        if entry.file_name() != "config.json" {
            let _ = std::os::unix::fs::symlink(entry.path(), ours.join(entry.file_name()));
        }
    }
    #[cfg(not(unix))]
    let _ = (theirs, ours);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_goes_to_a_file_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::default().login("me", "hunter2");
        let registry: Registry = "example.com:5000".parse().unwrap();
        let config = access
            .docker_config(&registry, folder.path())
            .unwrap()
            .unwrap();
        let file = config.join("config.json");
        let text = fs::read_to_string(&file).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            json["auths"]["example.com:5000"]["auth"],
            "bWU6aHVudGVyMg=="
        );
        let secrets = access.secrets();
        for secret in ["hunter2", "bWU6aHVudGVyMg==", "aHVudGVyMg=="] {
            assert!(secrets.iter().any(|one| one == secret), "{secrets:?}");
        }
        assert_eq!(
            format!("{access:?}"),
            r#"Access { insecure: false, user: Some("me"), ca_file: None, .. }"#
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&config), mode(&file)), (0o700, 0o600));
        }
    }

    #[test]
    fn without_a_login_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let registry: Registry = "example.com".parse().unwrap();
        let access = Access::default();
        assert_eq!(
            access.docker_config(&registry, folder.path()).unwrap(),
            None
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_token_is_kept_in_the_form_that_its_kind_has() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"access":[{"type":"repository"}]}"#);
        let access_token = format!("e30.{claims}.c2ln");
        for (token, entry) in [
            (
                access_token.as_str(),
                json!({ "registrytoken": access_token }),
            ),
            (
                "refresh-token",
                json!({
                    "auth": "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==",
                    "identitytoken": "refresh-token",
                }),
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let access = Access::default().token(token);
            let registry: Registry = "example.com".parse().unwrap();
            let config = access.docker_config(&registry, folder.path()).unwrap();
            let text = fs::read(config.unwrap().join("config.json")).unwrap();
            let json: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(json["auths"]["example.com"], entry);
            assert_eq!(access.secrets()[0], token);
            assert!(!format!("{access:?}").contains(token));
        }
    }

    /// Whatever stands before and after: no part of the text in base64 that comes from the
    /// secret alone is left.
    #[test]
    fn base64_of_a_secret_is_known_in_every_alignment() {
        let secrets = Access::default().login("me", "hunter2000?>~").secrets();
        for before in ["", "a", "ab", "abc", "me:", "you:"] {
            for after in ["", "x", "xy", "xyz"] {
                for alphabet in [&STANDARD, &URL_SAFE] {
                    let text = alphabet.encode(format!("{before}hunter2000?>~{after}"));
                    assert!(
                        secrets.iter().any(|secret| text.contains(secret.as_str())),
                        "{before} {after} {text}"
                    );
                }
            }
        }
    }
}
