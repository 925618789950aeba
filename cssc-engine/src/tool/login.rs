//! How tools show their login to the relay: the only one that they are given.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::ToolError;
use crate::private;
use crate::relay::Login;

/// What a person has set up beside logins, and tools still need: which daemon Docker's client
/// speaks to.
const KEPT: &str = "currentContext";

/// A folder for `DOCKER_CONFIG` with the login in it, made in `folder`: only this user can read it,
/// and no other login is there.
pub(super) fn docker_config(login: &Login, folder: &Path) -> Result<PathBuf, ToolError> {
    let theirs = users_docker_config();
    let mut config = Map::new();
    if let Some(kept) = theirs.as_deref().and_then(|theirs| setting(theirs, KEPT)) {
        config.insert(KEPT.to_owned(), kept);
    }
    let auth = json!({ login.authority(): { "auth": credential(login) } });
    config.insert("auths".to_owned(), auth);
    let ours = folder.join("docker-config");
    write_config(&ours, &Value::Object(config))
        .map_err(|error| ToolError::file("write", &ours, error))?;
    if let Some(theirs) = theirs {
        link_rest(&theirs, &ours);
    }
    Ok(ours)
}

/// What must not be seen in a log.
pub(super) fn secrets(login: &Login) -> Vec<String> {
    vec![login.password().to_owned(), credential(login)]
}

fn credential(login: &Login) -> String {
    STANDARD.encode(format!("{}:{}", login.user(), login.password()))
}

fn users_docker_config() -> Option<PathBuf> {
    std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))
}

fn setting(folder: &Path, key: &str) -> Option<Value> {
    let text = fs::read(folder.join("config.json")).ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    config.get(key).cloned()
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
