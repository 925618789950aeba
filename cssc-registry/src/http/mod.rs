//! Registries that speak the OCI distribution protocol, over HTTP.
//!
//! A client of our own on `reqwest`: ready-made ones list one page of tags, cannot delete, do not
//! repeat requests, and have no limit on the time a request takes in all.

mod address;
mod auth;
mod certificates;
mod challenge;
mod client;
mod content;
mod credential;
mod docker_config;
mod error_response;
mod failure;
mod helper;
mod keyring;
mod limiter;
mod options;
mod paging;
mod proxy;
mod redact;
mod referrers;
mod request;
mod request_event;
mod retry;
mod scheme;
mod send;
mod stream;
mod transport;
mod upload;

use std::env;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cssc_core::{Listing, Registry, Repository};
use reqwest::Method;

use self::address::{Address, Scheme};
use self::auth::{Action, Auth, Permission};
use self::content::Content;
use self::docker_config::Source;
use self::error_response::{no_registry, refusal, written};
use self::keyring::Keyring;
use self::options::Credentials;
use self::request::{Request, Response};
use self::scheme::SchemeProbe;
use self::transport::Transport;
use crate::error::{RegistryError, excerpt};
use crate::referrers::{checked, from_tag};
use crate::{
    BlobReader, Descriptor, Digest, ListBudget, MAX_MANIFEST_LEN, Manifest, Reference, Referrer,
    RegistryClient, listing, media_type,
};

pub use self::credential::Credential;
pub use self::options::OciOptions;
pub use self::request_event::RequestEvent;

/// The kinds of manifest that are asked for; without them registries convert or refuse.
const MANIFEST_TYPES: [&str; 5] = [
    media_type::IMAGE_MANIFEST,
    media_type::IMAGE_INDEX,
    media_type::DOCKER_MANIFEST,
    media_type::DOCKER_MANIFEST_LIST,
    media_type::ARTIFACT_MANIFEST,
];

/// A registry that speaks the [OCI distribution protocol][spec].
///
/// Connections, tokens and what was learnt of the registry are kept for its lifetime, so that
/// one value should serve all requests to a registry. Dropping it ends them.
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
pub struct OciRegistry {
    name: Registry,
    /// Where requests go when nothing else is known: `target` is filled in.
    base: Address,
    /// Docker Hub keeps its own images under `library/`, and has accounts and no deeper names.
    is_hub: bool,
    /// Whether the registry speaks TLS: found out on loopback, where nothing is said about it.
    scheme: SchemeProbe,
    transport: Transport,
    auth: Auth,
    /// Whether it is known to list referrers.
    has_referrers_api: AtomicBool,
}

impl OciRegistry {
    /// A client for `registry`. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// Fails when the file of certificates in `options` cannot be used.
    pub fn new(registry: &Registry, options: OciOptions) -> Result<Self, RegistryError> {
        let transport = Transport::new(&options)?;
        let is_hub = docker_config::is_hub(registry.authority());
        let host = if is_hub {
            "registry-1.docker.io"
        } else {
            registry.authority()
        };
        let may_be_plain = registry.is_loopback() && !options.plain_http;
        let scheme = if options.plain_http || may_be_plain {
            Scheme::Http
        } else {
            Scheme::Https
        };
        let sources = || match options.credential_files.clone() {
            Some(files) => files.into_iter().map(Source::File).collect(),
            None => docker_config::default_sources(),
        };
        let (given, sources) = match options.credentials {
            Credentials::Given(given) => (Some(given), Vec::new()),
            Credentials::Anonymous => (None, Vec::new()),
            Credentials::Find => (
                Credential::from_environment(|name| env::var(name).ok()),
                sources(),
            ),
        };
        let keyring = Keyring::new(given, sources, options.helper_timeout);
        Ok(Self {
            name: registry.clone(),
            base: Address::new(scheme, host, "/"),
            is_hub,
            scheme: if may_be_plain {
                SchemeProbe::default()
            } else {
                SchemeProbe::known(scheme)
            },
            auth: Auth::new(
                registry.authority().to_owned(),
                Address::new(scheme, host, "/"),
                options.plain_http,
                registry.is_loopback(),
                keyring,
            ),
            transport,
            has_referrers_api: AtomicBool::new(false),
        })
    }

    /// The name of a repository as the server knows it, below the namespace.
    fn repository(&self, repository: &Repository) -> Result<String, RegistryError> {
        let name = match self.name.namespace() {
            Some(namespace) => format!("{namespace}/{repository}"),
            None if self.is_hub && !repository.as_str().contains('/') => {
                format!("library/{repository}")
            }
            None => return Ok(repository.to_string()),
        };
        if self.is_hub && name.split('/').count() > 2 {
            return Err(RegistryError::unsupported(format!(
                "`{}/{repository}` cannot exist: Docker Hub has no repositories below \
                 `ACCOUNT/NAME`",
                self.name
            )));
        }
        match name.parse::<Repository>() {
            Ok(_) => Ok(name),
            Err(error) => Err(RegistryError::input(error.to_string())),
        }
    }

    fn head_manifest(
        &self,
        reference: &Reference,
        permission: Permission<'_>,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let name = permission.repository;
        let target = manifest_target(name, reference);
        let mut request = Request::new(Method::HEAD, self.address(target));
        request.headers.push(("accept", MANIFEST_TYPES.join(", ")));
        if let Some(answer) = self.send_head(request, permission)? {
            // An answer to HEAD has no body to tell what is not there, a registry's 404 from
            // another server's.
            if !answer.is_success() && answer.status != 404 {
                return Err(refusal(&answer));
            }
            if let Some(described) = described(&answer, reference) {
                return Ok(Some(described));
            }
        }
        // Some do not say; then the manifest itself does.
        match self.read_manifest(reference, permission) {
            Ok(manifest) => Ok(Some(manifest.descriptor())),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_manifest(
        &self,
        reference: &Reference,
        permission: Permission<'_>,
    ) -> Result<Manifest, RegistryError> {
        let name = permission.repository;
        let target = manifest_target(name, reference);
        let mut request = Request::new(Method::GET, self.address(target));
        request.headers.push(("accept", MANIFEST_TYPES.join(", ")));
        request.limit = Some(MAX_MANIFEST_LEN);
        let answer = self.send(request, permission)?;
        if !answer.is_success() {
            return Err(refusal(&answer));
        }
        let said = answer.header("docker-content-digest");
        let expected = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => said.and_then(|digest| digest.parse().ok()),
        };
        if expected.is_some_and(|digest| !crate::digest::matches(&digest, &answer.body)) {
            return Err(self.not_what_it_says(name, reference));
        }
        if answer.is_page() {
            return Err(no_registry(&answer));
        }
        let stated = bare_media_type(answer.header("content-type").unwrap_or_default());
        Ok(Manifest {
            media_type: media_type::of_manifest(&stated, &answer.body),
            bytes: answer.body,
        })
    }

    fn write_manifest(
        &self,
        name: &str,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        let target = manifest_target(name, reference);
        let mut request = Request::new(Method::PUT, self.address(target));
        let content_type = ("content-type", manifest.media_type.clone());
        request.headers.push(content_type);
        request.body = Some(Content::Bytes(&manifest.bytes));
        request.limit = Some(MAX_MANIFEST_LEN);
        let answer = self.send(request, Permission::new(name, Action::Push))?;
        written(&answer)?;
        let stored = answer.header("docker-content-digest");
        match stored.and_then(|digest| digest.parse::<Digest>().ok()) {
            Some(digest) if !crate::digest::matches(&digest, &manifest.bytes) => {
                Err(RegistryError::answer(format!(
                    "`{}` stored a different manifest than it was sent",
                    self.name
                )))
            }
            _ => Ok(()),
        }
    }

    fn delete_reference(
        &self,
        name: &str,
        reference: &Reference,
    ) -> Result<Response, RegistryError> {
        let target = manifest_target(name, reference);
        let request = Request::new(Method::DELETE, self.address(target));
        let mut answer = self.send(request, Permission::new(name, Action::Delete))?;
        if answer.is_page() {
            return Err(no_registry(&answer));
        }
        if answer.status == 404 && answer.is_repeated {
            // Done, and the answer that said so was lost.
            answer.status = 202;
        }
        Ok(answer)
    }

    fn read_blob(
        &self,
        name: &str,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        if blob.size > limit {
            return Err(RegistryError::answer(format!(
                "it is too large: {} bytes, at most {limit} are read",
                blob.size
            )));
        }
        let target = format!("/v2/{name}/blobs/{}", blob.digest);
        let mut request = Request::new(Method::GET, self.address(target));
        request.limit = Some(blob.size);
        let answer = self.send(request, Permission::pull(name))?;
        if !answer.is_success() {
            return Err(refusal(&answer));
        }
        if crate::digest::matches(&blob.digest, &answer.body) {
            Ok(answer.body)
        } else {
            Err(self.not_what_it_says(name, &blob.digest.clone().into()))
        }
    }

    fn stream_blob(&self, name: &str, blob: &Descriptor) -> Result<BlobReader, RegistryError> {
        let target = format!("/v2/{name}/blobs/{}", blob.digest);
        let mut request = Request::new(Method::GET, self.address(target));
        request.limit = None;
        let answer = self.send(request, Permission::pull(name))?;
        let Some(stream) = answer.stream else {
            return Err(refusal(&answer));
        };
        match stream.length {
            Some(length) if length != blob.size => Err(RegistryError::answer(format!(
                "`{}` sends {length} bytes, where there should be {}",
                answer.address.authority(),
                blob.size
            ))),
            _ => Ok(BlobReader::new(blob, stream)),
        }
    }

    fn not_what_it_says(&self, name: &str, reference: &Reference) -> RegistryError {
        RegistryError::answer(format!(
            "the content of `{}/{name}{reference}` does not match its digest",
            self.name
        ))
    }
}

impl fmt::Debug for OciRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OciRegistry")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl RegistryClient for OciRegistry {
    fn list_tags(&self, repository: &Repository) -> Listing {
        self.list_tags_within(repository, &ListBudget::default())
    }

    fn list_tags_within(&self, repository: &Repository, budget: &ListBudget) -> Listing {
        let listed = self
            .repository(repository)
            .and_then(|name| self.list(&name, budget));
        // What failed for want of time tells of the time.
        listing(listed.map_err(|error| budget.check_time().err().unwrap_or(error)))
    }

    fn resolve(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let found = self
            .repository(repository)
            .and_then(|name| self.head_manifest(reference, Permission::pull(&name)));
        found.map_err(|error| error.context(format!("cannot resolve `{repository}{reference}`")))
    }

    fn resolve_to_write(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let found = self
            .repository(repository)
            .and_then(|name| self.head_manifest(reference, Permission::new(&name, Action::Push)));
        match found {
            // Where a repository is made by the first writing, looking for it may be refused.
            Err(error) if error.is_unauthorized() => Ok(None),
            found => found.map_err(|error| {
                error.context(format!("cannot resolve `{repository}{reference}`"))
            }),
        }
    }

    fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Manifest, RegistryError> {
        let found = self
            .repository(repository)
            .and_then(|name| self.read_manifest(reference, Permission::pull(&name)));
        found.map_err(|error| error.context(format!("cannot read `{repository}{reference}`")))
    }

    fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        manifest.check(reference)?;
        let written = self
            .repository(repository)
            .and_then(|name| self.write_manifest(&name, reference, manifest));
        written.map_err(|error| error.context(format!("cannot write `{repository}{reference}`")))
    }

    fn get_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let found = self
            .repository(repository)
            .and_then(|name| self.read_blob(&name, blob, limit));
        found.map_err(|error| error.context(format!("cannot read `{repository}@{}`", blob.digest)))
    }

    fn put_blob(&self, repository: &Repository, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = crate::digest::of(bytes);
        let stored = self
            .repository(repository)
            .and_then(|name| self.store_blob(&name, &digest, Content::Bytes(bytes)));
        match stored {
            Ok(()) => Ok(digest),
            Err(error) => Err(error.context(format!("cannot write to `{repository}`"))),
        }
    }

    fn check_push(&self, repository: &Repository) -> Result<(), RegistryError> {
        let tried = self
            .repository(repository)
            .and_then(|name| self.try_upload(&name));
        tried.map_err(|error| error.context(format!("cannot write to `{repository}`")))
    }

    fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError> {
        let found = self
            .repository(repository)
            .and_then(|name| self.head_blob(&name, digest));
        found.map_err(|error| error.context(format!("cannot look for `{repository}@{digest}`")))
    }

    fn open_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
    ) -> Result<BlobReader, RegistryError> {
        let opened = self
            .repository(repository)
            .and_then(|name| self.stream_blob(&name, blob));
        opened.map_err(|error| error.context(format!("cannot read `{repository}@{}`", blob.digest)))
    }

    fn put_blob_file(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        file: &Path,
    ) -> Result<(), RegistryError> {
        let stored = self
            .repository(repository)
            .and_then(|name| self.store_file(&name, blob, file));
        stored.map_err(|error| error.context(format!("cannot write to `{repository}`")))
    }

    fn delete(&self, repository: &Repository, reference: &Reference) -> Result<(), RegistryError> {
        let delete = |name: String| match self.delete_reference(&name, reference)? {
            answer if answer.is_success() => Ok(()),
            answer => Err(cannot_delete(&answer)),
        };
        let deleted = self.repository(repository).and_then(delete);
        deleted.map_err(|error| error.context(format!("cannot delete `{repository}{reference}`")))
    }

    fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>, RegistryError> {
        let found = self
            .repository(repository)
            .and_then(|name| self.api_referrers(&name, subject, artifact_type))
            .and_then(|found| match found {
                Some(found) => checked(found, artifact_type),
                None => from_tag(self, repository, subject, artifact_type),
            });
        found.map_err(|error| {
            error.context(format!(
                "cannot list the referrers of `{repository}@{subject}`"
            ))
        })
    }

    fn has_referrers_api(&self, repository: &Repository) -> Result<bool, RegistryError> {
        if self.has_referrers_api.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let probed = self
            .repository(repository)
            .and_then(|name| self.probe_referrers(&name));
        let has_api = probed.map_err(|error| {
            error.context(format!(
                "cannot tell whether `{}` lists referrers",
                self.name
            ))
        })?;
        // Where there is none it may have been this repository that is not there.
        self.has_referrers_api.fetch_or(has_api, Ordering::Relaxed);
        Ok(has_api)
    }
}

/// Why something was not deleted.
fn cannot_delete(answer: &Response) -> RegistryError {
    let error = refusal(answer);
    if error.is_unsupported() {
        RegistryError::unsupported(format!(
            "{error}: the registry forbids deletion; allow it in its settings, or delete there"
        ))
    } else {
        error
    }
}

/// What the answer to a HEAD says of a manifest; none unless it says all.
fn described(answer: &Response, reference: &Reference) -> Option<Descriptor> {
    let header = |name| answer.header(name).unwrap_or_default();
    let described = Descriptor {
        media_type: bare_media_type(header("content-type")),
        digest: header("docker-content-digest").parse().ok()?,
        size: header("content-length").parse().ok()?,
    };
    let is_asked = match reference {
        Reference::Digest(asked) => *asked == described.digest,
        Reference::Tag(_) => true,
    };
    // One that is stated and none of manifests is that of a server of files.
    let stated = &described.media_type;
    let is_known = stated.is_empty() || media_type::is_manifest(stated);
    (answer.is_success() && is_asked && is_known).then_some(described)
}

fn manifest_target(name: &str, reference: &Reference) -> String {
    format!("/v2/{name}/manifests/{}", reference.as_str())
}

/// A `Content-Type` without its parameters.
fn bare_media_type(header: &str) -> String {
    let media_type = header.split(';').next().unwrap_or_default().trim();
    excerpt(media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_on(registry: &str, repository: &str) -> Result<String, String> {
        let registry = registry.parse().unwrap();
        let client = OciRegistry::new(&registry, OciOptions::default()).unwrap();
        let name = client.repository(&repository.parse().unwrap());
        name.map_err(|error| error.to_string())
    }

    #[test]
    fn repositories_lie_below_the_namespace() {
        for (registry, repository, name) in [
            ("ghcr.io", "python", "python"),
            ("ghcr.io/acme", "python", "acme/python"),
            ("localhost:5000/a/b", "c/d", "a/b/c/d"),
            ("docker.io", "python", "library/python"),
            ("docker.io", "acme/python", "acme/python"),
            ("docker.io/acme", "python", "acme/python"),
        ] {
            assert_eq!(name_on(registry, repository).as_deref(), Ok(name));
        }
        assert_eq!(
            name_on("docker.io/acme", "csscpolicies/patchpolicy").unwrap_err(),
            "`docker.io/acme/csscpolicies/patchpolicy` cannot exist: Docker Hub has no \
             repositories below `ACCOUNT/NAME`"
        );
        let long = "a".repeat(250);
        let error = name_on("ghcr.io/acme-acme", &long).unwrap_err();
        assert!(error.contains("at most 255 bytes"), "{error}");
    }
}
