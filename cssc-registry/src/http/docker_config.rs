//! The configuration files of docker and podman, and the credentials in them and in the helpers
//! they name.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::credential::Credential;
use super::helper;
use crate::bounded;
use crate::error::RegistryError;

const MAX_FILE_LEN: u64 = 8 << 20;
/// How docker names Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What a file holds for the registry: the path behind it in a key, and the credential.
pub(super) type Found = Result<Vec<(String, Credential)>, RegistryError>;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: Option<BTreeMap<String, Option<Entry>>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Where a configuration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    /// In the variable [`VARIABLE`], as CI systems hand it over. Holds secrets: only [`Self::shown`]
    /// is printed.
    Variable(Text),
}

/// The variable that may hold a whole configuration.
const VARIABLE: &str = "DOCKER_AUTH_CONFIG";

/// A configuration, of which nothing is printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text(String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Source {
    /// As it may be shown.
    fn shown(&self) -> String {
        match self {
            Self::File(path) => format!("`{}`", path.display()),
            Self::Variable(_) => format!("`{VARIABLE}`"),
        }
    }
}

/// What a configuration and the helpers it names have for `host`.
pub(super) fn credentials(source: &Source, host: &str, helper_timeout: Duration) -> Found {
    let mut found = Vec::new();
    let Some(config) = read(source)? else {
        return Ok(found);
    };
    let origin = format!("those in {}", source.shown());
    for (key, entry) in config.auths.iter().flatten() {
        if let Some(place) = path_in(key, host)
            && let Some(entry) = entry
            && let Some(credential) = entry.credential(source)?
        {
            found.push((place.to_owned(), credential.from(origin.clone())));
        }
    }
    let mut helpers = config.cred_helpers.iter().flatten();
    let store = helpers
        .find_map(|(key, name)| filled(name.as_ref()).filter(|_| is_host(key, host)))
        .or(filled(config.creds_store.as_ref()));
    if let Some(name) = store {
        let key = if is_hub(host) { HUB_KEY } else { host };
        if let Some(stored) = helper::get(name, key, helper_timeout)? {
            // Behind what stands in the file, and so before it: the last of equals wins.
            found.push((String::new(), stored));
        }
    }
    Ok(found)
}

impl Entry {
    fn credential(&self, source: &Source) -> Result<Option<Credential>, RegistryError> {
        let (username, password) = match filled(self.auth.as_ref()) {
            None => (
                self.username.clone().unwrap_or_default(),
                self.password.clone().unwrap_or_default(),
            ),
            Some(auth) => decode(auth).ok_or_else(|| {
                RegistryError::input(format!(
                    "{} holds an `auth` that is not base64 of `username:password`: log in again",
                    source.shown()
                ))
            })?,
        };
        Ok(if let Some(token) = filled(self.registrytoken.as_ref()) {
            Some(Credential::access(token))
        } else if let Some(token) = filled(self.identitytoken.as_ref()) {
            Some(Credential::identity(token))
        } else if username.is_empty() && password.is_empty() {
            None
        } else {
            Some(Credential::password(username, password))
        })
    }
}

/// A text that is there and not empty.
fn filled(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
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

/// Whether people mean Docker Hub by `host`.
pub(super) fn is_hub(host: &str) -> bool {
    matches!(
        host,
        "docker.io" | "index.docker.io" | "registry-1.docker.io"
    )
}

/// The path behind the host in a key of a configuration file, if the key is for `host`.
/// Docker's keys end in the path of its first protocol or in none, podman's may name an
/// organisation or a repository.
fn path_in<'a>(key: &'a str, host: &str) -> Option<&'a str> {
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
    path_in(key, host) == Some("")
}

/// The configurations of docker and podman, in the order in which they are asked.
pub(super) fn default_sources() -> Vec<Source> {
    let filled = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let variable = filled(VARIABLE).map(|text| text.to_string_lossy().into_owned());
    let variable = variable.map(|text| Source::Variable(Text(text)));
    let files = files(|name| filled(name).map(PathBuf::from));
    variable
        .into_iter()
        .chain(files.into_iter().map(Source::File))
        .collect()
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

/// Reads a configuration; none where there is none.
fn read(source: &Source) -> Result<Option<ConfigFile>, RegistryError> {
    let cannot = |why: String| {
        let source = source.shown();
        RegistryError::input(format!("cannot read credentials from {source}: {why}"))
    };
    let json = match source {
        Source::Variable(text) => text.0.as_bytes().to_vec(),
        Source::File(path) if path == Path::new("/dev/null") => return Ok(None),
        Source::File(path) => match bounded::read(path, MAX_FILE_LEN) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error.to_string())),
        },
    };
    // Some editors put a byte order mark before UTF-8.
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&json);
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(json) {
        Ok(config) => Ok(Some(config)),
        // The error names a line and column and a type, never a value of the file: values of a
        // wrong type could be secrets.
        Err(error) => Err(cannot(format!(
            "it is not the expected JSON at line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
