//! How tools reach the registry.

use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cssc_core::Registry;
use serde_json::{Map, Value, json};

use super::ToolError;

/// How a registry is reached: whether without TLS, and with whose name.
///
/// Tools use what `docker login` has stored anyway; a login given here takes its place for one
/// registry. It reaches them through a file that only this user can read, never through an
/// argument, and is hidden in what they print.
#[derive(Clone, Default)]
pub struct Access {
    insecure: bool,
    login: Option<(Box<str>, Box<str>)>,
}

impl Access {
    /// Allows plain HTTP and certificates that cannot be verified.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Uses this name and password.
    pub fn login(mut self, user: impl Into<Box<str>>, password: impl Into<Box<str>>) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// Whether plain HTTP is allowed for `registry`; on this machine it always is.
    pub(super) fn is_insecure(&self, registry: &Registry) -> bool {
        self.insecure || registry.is_loopback()
    }

    /// What must not be seen in a log.
    pub(super) fn secrets(&self) -> Vec<String> {
        match &self.login {
            Some((_, password)) => vec![password.to_string(), self.encoded().unwrap_or_default()],
            None => Vec::new(),
        }
    }

    /// A folder for `DOCKER_CONFIG` with the login in it, made in `folder`, if there is a login.
    pub(super) fn docker_config(
        &self,
        registry: &Registry,
        folder: &Path,
    ) -> Result<Option<PathBuf>, ToolError> {
        let Some(auth) = self.encoded() else {
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
            auths.insert(registry.as_str().to_owned(), json!({ "auth": auth }));
        }
        // A helper for this registry would be asked instead.
        if let Some(helpers) = config.get_mut("credHelpers").and_then(Value::as_object_mut) {
            helpers.remove(registry.as_str());
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

    fn encoded(&self) -> Option<String> {
        let (user, password) = self.login.as_ref()?;
        Some(BASE64.encode(format!("{user}:{password}")))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("insecure", &self.insecure)
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .finish_non_exhaustive()
    }
}

fn users_docker_config() -> Option<PathBuf> {
    std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))
}

fn write_config(folder: &Path, config: &Value) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options
        .write(true)
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
        assert_eq!(access.secrets(), ["hunter2", "bWU6aHVudGVyMg=="]);
        assert_eq!(
            format!("{access:?}"),
            r#"Access { insecure: false, user: Some("me"), .. }"#
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
}
