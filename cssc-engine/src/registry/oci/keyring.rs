//! Credentials that other tools have stored: docker's and podman's configuration, and the
//! helpers they name.
//!
//! An own reader: a helper must not be able to hang, which ready-made ones do not promise.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::credential::{Credential, CredentialKind, Secret};
use super::helper;
use crate::registry::error::{RegistryError, excerpt};

const MAX_FILE_LEN: u64 = 8 << 20;
/// How docker names Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Finds credentials for one registry, each source asked once.
#[derive(Debug)]
pub(super) struct Keyring {
    given: Option<Credential>,
    files: Vec<PathBuf>,
    helper_timeout: Duration,
    /// What was found in the files read so far.
    found: Mutex<Vec<Found>>,
}

/// What a file holds for the registry: the path behind it in a key, and the credential.
type Found = Result<Vec<(String, Credential)>, RegistryError>;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: BTreeMap<String, Entry>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl Keyring {
    /// `given` goes before all files.
    pub(super) fn new(
        given: Option<Credential>,
        files: Vec<PathBuf>,
        helper_timeout: Duration,
    ) -> Self {
        Self {
            given,
            files,
            helper_timeout,
            found: Mutex::default(),
        }
    }

    /// The credential for `repository` of the registry that people write as `host`.
    pub(super) fn find(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credential>, RegistryError> {
        if let Some(given) = &self.given {
            return Ok(Some(given.clone()));
        }
        let is_for = |path: &str| {
            let rest = repository.strip_prefix(path);
            path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // The first file that has any wins; those behind it are not even read.
        for (number, path) in self.files.iter().enumerate() {
            if found.len() <= number {
                found.push(self.read(path, host));
            }
            let credentials = match found.get(number) {
                Some(Ok(credentials)) => credentials,
                Some(Err(error)) => return Err(error.clone()),
                None => continue,
            };
            let matching = credentials.iter().filter(|(path, _)| is_for(path));
            if let Some((_, credential)) = matching.max_by_key(|(path, _)| path.len()) {
                return Ok(Some(credential.clone()));
            }
        }
        Ok(None)
    }

    /// What a file and the helpers it names have for `host`.
    fn read(&self, path: &Path, host: &str) -> Found {
        let mut found = Vec::new();
        let Some(config) = read(path)? else {
            return Ok(found);
        };
        let origin = format!("those in `{}`", path.display());
        for (key, entry) in &config.auths {
            if let Some(place) = place(key, host)
                && let Some(credential) = entry.credential(path)?
            {
                found.push((place.to_owned(), credential.from(origin.clone())));
            }
        }
        let store = (config.cred_helpers.iter())
            .find(|(key, _)| is_host(key, host))
            .map(|(_, name)| name.as_str())
            .or(Some(config.creds_store.as_str()).filter(|name| !name.is_empty()));
        if let Some(name) = store {
            let key = if is_hub(host) { HUB_KEY } else { host };
            if let Some(stored) = helper::get(name, key, self.helper_timeout)? {
                // Behind what stands in the file, and so before it: the last of equals wins.
                found.push((String::new(), stored));
            }
        }
        Ok(found)
    }
}

impl Entry {
    fn credential(&self, path: &Path) -> Result<Option<Credential>, RegistryError> {
        let (username, password) = match self.auth.as_str() {
            "" => (self.username.clone(), self.password.clone()),
            auth => decode(auth).ok_or_else(|| {
                RegistryError::input(format!(
                    "`{}` holds an `auth` that is not base64 of `username:password`: log in again",
                    path.display()
                ))
            })?,
        };
        Ok(if !self.registrytoken.is_empty() {
            let mut credential = Credential::token(self.registrytoken.as_str());
            credential.kind = CredentialKind::Access(Secret::new(self.registrytoken.as_str()));
            Some(credential)
        } else if !self.identitytoken.is_empty() {
            Some(identity(&self.identitytoken))
        } else if username.is_empty() && password.is_empty() {
            None
        } else {
            Some(Credential::password(username, password))
        })
    }
}

/// A token that is known to be one to get others with.
pub(super) fn identity(token: &str) -> Credential {
    let mut credential = Credential::token(token);
    credential.kind = CredentialKind::Identity(Secret::new(token));
    credential
}

fn decode(auth: &str) -> Option<(String, String)> {
    const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let pair = String::from_utf8(ANY_PADDING.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = pair.split_once(':')?;
    // Some tools store C strings.
    let password = password.trim_end_matches('\0');
    Some((username.to_owned(), password.to_owned()))
}

fn is_hub(host: &str) -> bool {
    matches!(
        host,
        "docker.io" | "index.docker.io" | "registry-1.docker.io"
    )
}

/// The path behind the host in a key of a configuration file, if the key is for `host`.
/// Docker's keys end in the path of its first protocol or in none, podman's may name an
/// organisation or a repository.
fn place<'a>(key: &'a str, host: &str) -> Option<&'a str> {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let (key_host, path) = key.split_once('/').unwrap_or((key, ""));
    let path = match path.trim_end_matches('/') {
        "v1" | "v2" => "",
        path => path,
    };
    (key_host.eq_ignore_ascii_case(host) || (is_hub(key_host) && is_hub(host))).then_some(path)
}

fn is_host(key: &str, host: &str) -> bool {
    place(key, host) == Some("")
}

/// The configuration files of docker and podman, in the order in which they are asked.
pub(super) fn default_files() -> Vec<PathBuf> {
    files(|name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    })
}

fn files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let home = variable("HOME").or_else(|| variable("USERPROFILE"));
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let docker = variable("DOCKER_CONFIG").or_else(|| below_home(".docker"));
    let podman = |folder: PathBuf| folder.join("containers/auth.json");
    let config_home = variable("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
    [
        variable("REGISTRY_AUTH_FILE"),
        docker.map(|folder| folder.join("config.json")),
        variable("XDG_RUNTIME_DIR").map(podman),
        config_home.map(podman),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Reads a configuration file; none where there is no file.
fn read(path: &Path) -> Result<Option<ConfigFile>, RegistryError> {
    let cannot = |why: String| {
        RegistryError::input(format!(
            "cannot read credentials from `{}`: {why}",
            path.display()
        ))
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error.to_string())),
    };
    let mut json = Vec::new();
    let read = file.take(MAX_FILE_LEN).read_to_end(&mut json);
    read.map_err(|error| cannot(error.to_string()))?;
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(&json) {
        Ok(config) => Ok(Some(config)),
        // The error names a line and column and a type, never a value of the file: values of a
        // wrong type could be secrets.
        Err(error) => Err(cannot(format!(
            "it is not the JSON expected at line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

/// The credential a helper printed.
pub(super) fn from_helper(name: &str, json: &[u8]) -> Result<Option<Credential>, RegistryError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Stored {
        username: String,
        secret: String,
    }
    let Ok(stored) = serde_json::from_slice::<Stored>(json) else {
        return Err(RegistryError::input(format!(
            "the credential helper `{}` did not print what helpers print",
            excerpt(name)
        )));
    };
    let credential = match stored.username.as_str() {
        _ if stored.secret.is_empty() => return Ok(None),
        "<token>" => identity(&stored.secret),
        _ => Credential::password(stored.username, stored.secret),
    };
    let origin = format!("those of the credential helper `{}`", excerpt(name));
    Ok(Some(credential.from(origin)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn keyring(files: &[&str]) -> (tempfile::TempDir, Keyring) {
        let directory = tempfile::tempdir().unwrap();
        let paths = files.iter().enumerate().map(|(number, text)| {
            let path = directory.path().join(format!("{number}.json"));
            fs::write(&path, text).unwrap();
            path
        });
        let mut paths: Vec<_> = paths.collect();
        paths.push(directory.path().join("missing.json"));
        let keyring = Keyring::new(None, paths, Duration::from_secs(10));
        (directory, keyring)
    }

    fn basic(keyring: &Keyring, host: &str, repository: &str) -> Option<String> {
        let found = keyring.find(host, repository).unwrap()?;
        Some(found.basic()?.expose().to_owned())
    }

    #[test]
    fn docker_and_podman_files() {
        let one = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOmh1Yg=="},
            "a.azurecr.io": {"auth": "MDAwOg==", "identitytoken": "idt"},
            "localhost:5000": {"username": "plain", "password": "text"},
            "quay.io": {"auth": "cXVheTpxdWF5"},
            "quay.io/org": {"auth": "b3JnOm9yZw"},
            "quay.io/org/repo": {"auth": "cmVwbzpyZXBvAA=="},
            "empty.io": {}}}"#;
        let (_directory, keyring) = keyring(&[" ", one]);
        let found = keyring.find("a.azurecr.io", "x").unwrap().unwrap();
        assert_eq!(found.kind, CredentialKind::Identity(Secret::new("idt")));
        assert!(found.origin.ends_with("1.json`"), "{}", found.origin);
        for (host, repository, pair) in [
            ("docker.io", "library/python", Some("hub:hub")),
            ("localhost:5000", "a", Some("plain:text")),
            ("quay.io", "other/repo", Some("quay:quay")),
            ("quay.io", "organic/repo", Some("quay:quay")),
            ("quay.io", "org/other", Some("org:org")),
            ("quay.io", "org/repo", Some("repo:repo")),
            ("empty.io", "a", None),
            ("other.io", "a", None),
        ] {
            let keyring = Keyring::new(None, keyring.files.clone(), Duration::from_secs(10));
            let expected = pair.map(|pair| {
                let engine = base64::engine::general_purpose::STANDARD;
                format!("Basic {}", engine.encode(pair))
            });
            assert_eq!(
                basic(&keyring, host, repository),
                expected,
                "{host}/{repository}"
            );
        }
    }

    #[test]
    fn broken_files_are_named_without_what_they_hold() {
        for text in [
            r#"{"auths": {"a": {"auth": "hunter2!"}}}"#,
            r#"{"auths": {"a": "hunter2"}}"#,
            r#"{"auths": hunter2"#,
            "[\"hunter2\"]",
        ] {
            let (directory, keyring) = keyring(&[text]);
            let error = keyring.find("a", "b").unwrap_err();
            assert!(error.is_invalid_input());
            let error = error.to_string();
            assert!(
                error.contains(&directory.path().display().to_string()),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_first_file_that_has_any_wins() {
        let one = r#"{"auths": {"a": {"auth": "b25lOm9uZQ=="}}}"#;
        let two = r#"{"auths": {"a/b": {"auth": "dHdvOnR3bw=="}}}"#;
        let (_directory, keyring) = keyring(&["{}", one, two, "broken"]);
        let one = basic(&keyring, "a", "b");
        assert_eq!(one.as_deref(), Some("Basic b25lOm9uZQ=="));
    }

    #[test]
    fn where_files_are_looked_for() {
        let from = |pairs: &'static [(&str, &str)]| {
            files(move |name| {
                let pair = pairs.iter().find(|pair| pair.0 == name);
                pair.map(|pair| PathBuf::from(pair.1))
            })
        };
        assert!(from(&[]).is_empty());
        let all = from(&[
            ("HOME", "/h"),
            ("REGISTRY_AUTH_FILE", "/a.json"),
            ("XDG_RUNTIME_DIR", "/r"),
        ]);
        let expected = [
            "/a.json",
            "/h/.docker/config.json",
            "/r/containers/auth.json",
            "/h/.config/containers/auth.json",
        ];
        assert_eq!(all, expected.map(PathBuf::from));
        let docker = from(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d")]);
        assert_eq!(docker.first(), Some(&PathBuf::from("/d/config.json")));
    }
}
