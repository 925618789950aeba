//! Credentials that other tools have stored, read when they are needed and again when they may
//! have changed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::credential::Credential;
use super::docker_config::{self, Source};
use crate::error::RegistryError;

/// How long a credential that was never accepted is kept before its source is asked again.
pub(super) const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// Finds credentials for one registry, each source asked once.
#[derive(Debug)]
pub(super) struct Keyring {
    given: Option<Credential>,
    sources: Vec<Source>,
    helper_timeout: Duration,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// What was found in the files read so far.
    found: Vec<Vec<(String, Credential)>>,
    /// The last failure, and until when nothing is asked again.
    failure: Option<(RegistryError, Instant)>,
    /// When the files were read.
    read: Option<Instant>,
    /// Whether the registry took a credential since.
    was_accepted: bool,
}

impl Keyring {
    /// `given` takes precedence over all files.
    pub(super) fn new(
        given: Option<Credential>,
        sources: Vec<Source>,
        helper_timeout: Duration,
    ) -> Self {
        Self {
            given,
            sources,
            helper_timeout,
            cache: Mutex::default(),
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
        self.search(&mut self.lock(), host, repository)
    }

    /// Reads the files anew if what was found there may have changed, as secrets of a few hours
    /// do. Whether there is another credential now.
    pub(super) fn renew(&self, host: &str, repository: &str) -> Result<bool, RegistryError> {
        if self.given.is_some() {
            return Ok(false);
        }
        let mut cache = self.lock();
        let is_old = (cache.read).is_some_and(|read| read.elapsed() >= RENEWAL_PAUSE);
        if !cache.was_accepted && !is_old {
            return Ok(false);
        }
        let old = self.search(&mut cache, host, repository)?;
        *cache = Cache::default();
        Ok(self.search(&mut cache, host, repository)? != old)
    }

    /// The registry took the credential.
    pub(super) fn accepted(&self) {
        self.lock().was_accepted = true;
    }

    fn search(
        &self,
        cache: &mut Cache,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credential>, RegistryError> {
        let is_for = |path: &str| {
            let rest = repository.strip_prefix(path);
            path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some((error, until)) = &cache.failure
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        // The first file that has any wins; those behind it are not even read.
        for (number, source) in self.sources.iter().enumerate() {
            if cache.found.len() <= number {
                let begun = Instant::now();
                match docker_config::credentials(source, host, self.helper_timeout) {
                    Ok(found) => cache.found.push(found),
                    Err(error) => {
                        let until = Instant::now().checked_add(pause_after(begun.elapsed()));
                        cache.failure = until.map(|until| (error.clone(), until));
                        return Err(error);
                    }
                }
                cache.read = Some(Instant::now());
            }
            let Some(credentials) = cache.found.get(number) else {
                continue;
            };
            let matching = credentials.iter().filter(|(path, _)| is_for(path));
            if let Some((_, credential)) = matching.max_by_key(|(path, _)| path.len()) {
                return Ok(Some(credential.clone()));
            }
        }
        Ok(None)
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // Whatever was read is whole.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a failure is not tried again: where failing takes long, as with a helper that hangs,
/// for much longer, since what can go on without a credential does.
fn pause_after(took: Duration) -> Duration {
    let factor = if took < Duration::from_millis(100) {
        1
    } else {
        10
    };
    took.saturating_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::super::credential::{CredentialKind, Secret};
    use super::*;
    use base64::Engine as _;
    use std::fs;

    fn keyring(files: &[&str]) -> (tempfile::TempDir, Keyring) {
        let directory = tempfile::tempdir().unwrap();
        let paths = files.iter().enumerate().map(|(number, text)| {
            let path = directory.path().join(format!("{number}.json"));
            fs::write(&path, text).unwrap();
            path
        });
        let mut paths: Vec<_> = paths.map(Source::File).collect();
        paths.push(Source::File(directory.path().join("missing.json")));
        let keyring = Keyring::new(None, paths, Duration::from_secs(10));
        (directory, keyring)
    }

    fn basic(keyring: &Keyring, host: &str, repository: &str) -> Option<String> {
        let found = keyring.find(host, repository).unwrap()?;
        Some(found.basic()?.expose().to_owned())
    }

    #[test]
    fn docker_and_podman_files() {
        let one = "\u{feff}".to_owned()
            + r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOmh1Yg=="},
            "a.azurecr.io": {"auth": "MDAwOg==", "identitytoken": "idt"},
            "localhost:5000": {"username": "plain", "password": "text"},
            "quay.io": {"auth": "cXVheTpxdWF5"},
            "quay.io/org": {"auth": "b3JnOm9yZw"},
            "quay.io/org/repo": {"auth": "cmVwbzpyZXBvAA=="},
            "empty.io": {}}}"#;
        let (_directory, keyring) = keyring(&[" ", &one]);
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
            let keyring = Keyring::new(None, keyring.sources.clone(), Duration::from_secs(10));
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
    fn null_and_empty_are_nothing() {
        let good = r#""a": {"auth": "b25lOm9uZQ==", "identitytoken": null}"#;
        for text in [
            r#"{"auths": null, "credsStore": null, "credHelpers": null}"#.to_owned(),
            r#"{"auths": {"a": null}, "credHelpers": {"a": ""}, "credsStore": ""}"#.to_owned(),
            r#"{"auths": {"a": {"auth": null}}, "credHelpers": {"a": null}}"#.to_owned(),
            format!(r#"{{"auths": {{{good}, "b": null}}, "credsStore": null}}"#),
        ] {
            let (_directory, keyring) = keyring(&[&text]);
            let found = basic(&keyring, "a", "b");
            assert_eq!(found.is_some(), text.contains(good), "{text}");
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
}
