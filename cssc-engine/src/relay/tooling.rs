//! Images that tools need for themselves, wherever those are.

use std::sync::Arc;

use cssc_registry::{RegistryClient, RegistryError, Repository};

use super::answer::Refusal;
use super::calls::{Origin, blocking};
use super::grants::{LoginState, Place};
use super::service::Service;
use crate::relay::Registry;

/// What such a repository is called below, in the relay.
pub(super) const TOOLING: &str = "tooling";

/// Where the images are that tools need for themselves, such as Copa's.
///
/// The relay serves them, read only, as `tooling/HOST/REPOSITORY`: see [`tooling_name`].
pub trait ToolingImages: Send + Sync {
    /// A client of the registry.
    ///
    /// # Errors
    ///
    /// Fails when there is none: with one that [is absent](RegistryError::is_absent) where the
    /// registry is not one of those that tools may read from.
    fn registry(&self, host: &Registry) -> Result<Arc<dyn RegistryClient>, RegistryError>;

    /// Whether tools may read this repository; every one, unless it is said here.
    fn may_read(&self, host: &Registry, repository: &Repository) -> bool {
        let _ = (host, repository);
        true
    }
}

/// What the repository of a tooling image is called in the relay: `tooling/docker.io/library/a`.
/// A port stands after a `_`, since a repository can have no `:`.
pub fn tooling_name(host: &Registry, repository: &Repository) -> String {
    let host = host.as_str().replacen(':', "_", 1);
    format!("{TOOLING}/{host}/{repository}")
}

/// What [`tooling_name`] made a name of.
fn split(name: &Repository) -> Option<(Registry, Repository)> {
    let rest = name.as_str().strip_prefix(TOOLING)?;
    let (host, repository) = rest.strip_prefix('/')?.split_once('/')?;
    // A single label would be taken for the short form of another name.
    let is_host = host.contains(['.', '_']) || host == "localhost";
    let host = host
        .replacen('_', ":", 1)
        .parse()
        .ok()
        .filter(|_| is_host)?;
    Some((host, repository.parse().ok()?))
}

/// The place of a name that is not the login's own repository.
pub(super) async fn place(
    service: &Arc<Service>,
    login: &Arc<LoginState>,
    name: &Repository,
) -> Result<Arc<Place>, Refusal> {
    let unknown = || Refusal::not_found("NAME_UNKNOWN");
    let images = service.tooling.get().filter(|_| login.may_have_tooling);
    let images = Arc::clone(images.ok_or_else(unknown)?);
    let (host, repository) = split(name).ok_or_else(unknown)?;
    if let Some(place) = login.tooling().get(name) {
        return Ok(Arc::clone(place));
    }
    if !images.may_read(&host, &repository) {
        return Err(unknown());
    }
    let client = blocking(move || images.registry(&host)).await??;
    let origin = Origin {
        name: name.as_str().to_owned(),
        client,
        repository,
    };
    let place = Arc::new(Place::new(origin, true));
    let mut known = login.tooling();
    // Two requests may have come at the same time.
    Ok(Arc::clone(known.entry(name.clone()).or_insert(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_and_understood() {
        for (host, name) in [
            ("docker.io", "tooling/docker.io/library/a"),
            ("localhost:5000", "tooling/localhost_5000/library/a"),
            ("127.0.0.1:5000", "tooling/127.0.0.1_5000/library/a"),
            ("localhost", "tooling/localhost/library/a"),
        ] {
            let (host, repository) = (host.parse().unwrap(), "library/a".parse().unwrap());
            assert_eq!(tooling_name(&host, &repository), name);
            assert_eq!(split(&name.parse().unwrap()), Some((host, repository)));
        }
        for name in [
            "tooling",
            "tooling/docker.io",
            "docker.io/a",
            "tooling/a/b",
            "tooling/a_0/b",
        ] {
            assert_eq!(split(&name.parse().unwrap()), None, "{name}");
        }
    }
}
