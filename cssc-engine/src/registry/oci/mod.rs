//! Registries that speak the OCI distribution protocol, over HTTP.
//!
//! One client of our own on `ureq`: ready-made ones list one page of tags, cannot delete, do not
//! repeat requests, and have no limit on the time a request takes in all.

mod address;
mod auth;
mod challenge;
mod credential;
mod fault;
mod helper;
mod keyring;
mod limiter;
mod observe;
mod options;
mod paging;
mod retry;
mod tls;
mod trust;
mod untag;
mod upload;
mod wire;

use std::env;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cssc_core::{Listing, Registry, Repository};
use ureq::http::Method;

use self::address::{Address, Scheme};
use self::auth::{Access, Action, Auth};
use self::fault::refusal;
use self::keyring::Keyring;
use self::options::Credentials;
use self::wire::{Answer, Outgoing, Silence, Wire};
use super::error::{RegistryError, excerpt};
use super::{Descriptor, Digest, MAX_MANIFEST_LEN, Manifest, Reference, RegistryClient, listing};

pub use self::credential::Credential;
pub use self::observe::RequestEvent;
pub use self::options::OciOptions;

/// The kinds of manifest that are asked for; without them registries convert or refuse.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.artifact.manifest.v1+json";
const MAX_REDIRECTS: usize = 5;

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
    /// Docker Hub keeps its own images under `library/`.
    is_hub: bool,
    /// What the registry speaks; found out on loopback, where nothing is said about it.
    speech: Speech,
    wire: Wire,
    auth: Auth,
}

/// Whether a registry on loopback speaks TLS: plain HTTP is tried first, since it sends nothing
/// that is secret before it is answered.
#[derive(Default)]
struct Speech {
    is_known: AtomicBool,
    is_tls: AtomicBool,
}

impl Speech {
    fn learn(&self, is_tls: bool) {
        self.is_tls.store(is_tls, Ordering::SeqCst);
        self.is_known.store(true, Ordering::SeqCst);
    }
}

/// A request to the registry, without what the registry itself determines.
struct Ask<'a> {
    method: Method,
    target: String,
    access: Access<'a>,
    headers: Vec<(&'static str, String)>,
    body: Option<&'a [u8]>,
    limit: u64,
    repeatable: bool,
}

impl<'a> Ask<'a> {
    fn new(method: Method, target: String, access: Access<'a>) -> Self {
        Self {
            repeatable: method != Method::POST,
            method,
            target,
            access,
            headers: Vec::new(),
            body: None,
            limit: 0,
        }
    }
}

impl OciRegistry {
    /// A client for `registry`. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// Fails when the file of certificates in `options` cannot be used.
    pub fn new(registry: &Registry, options: OciOptions) -> Result<Self, RegistryError> {
        let wire = Wire::new(&options)?;
        let is_hub = matches!(
            registry.as_str(),
            "docker.io" | "index.docker.io" | "registry-1.docker.io"
        );
        let host = if is_hub {
            "registry-1.docker.io"
        } else {
            registry.as_str()
        };
        let may_be_plain = registry.is_loopback() && !options.plain_http;
        let scheme = if options.plain_http || may_be_plain {
            Scheme::Http
        } else {
            Scheme::Https
        };
        let files = || {
            let files = options.credential_files.clone();
            files.unwrap_or_else(keyring::default_files)
        };
        let (given, files) = match options.credentials {
            Credentials::Given(given) => (Some(given), Vec::new()),
            Credentials::Anonymous => (None, Vec::new()),
            Credentials::Find => (
                Credential::from_environment(|name| env::var(name).ok()),
                files(),
            ),
        };
        let keyring = Keyring::new(given, files, options.helper_timeout);
        Ok(Self {
            name: registry.clone(),
            base: Address::new(scheme, host, "/"),
            is_hub,
            speech: Speech {
                is_known: AtomicBool::new(!may_be_plain),
                is_tls: AtomicBool::new(scheme == Scheme::Https),
            },
            auth: Auth::new(registry.as_str().to_owned(), options.plain_http, keyring),
            wire,
        })
    }

    /// The name of a repository as this registry knows it.
    fn repository(&self, repository: &Repository) -> String {
        if self.is_hub && !repository.as_str().contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_string()
        }
    }

    fn address(&self, target: String) -> Address {
        let address = self.base.with_target(target);
        if self.speech.is_tls.load(Ordering::SeqCst) {
            address.with_scheme(Scheme::Https)
        } else {
            address
        }
    }

    /// Sends a request to the registry, follows where it leads, and shows credentials if asked.
    fn ask(&self, ask: Ask<'_>) -> Result<Answer, RegistryError> {
        let address = self.address(ask.target);
        let request = Outgoing {
            method: ask.method,
            address,
            headers: ask.headers,
            body: ask.body,
            limit: ask.limit,
            repeatable: ask.repeatable,
            sniffs: false,
        };
        self.send(request, ask.access)
    }

    /// As [`ask`](Self::ask), to an address the registry itself gave.
    fn send(&self, mut request: Outgoing<'_>, access: Access<'_>) -> Result<Answer, RegistryError> {
        let deadline = self.wire.deadline();
        let mut scope = None;
        let mut refusals = 0_u8;
        let mut redirects = 0_usize;
        loop {
            let registry = self.address("/".to_owned());
            if request.address.is_same_host(&registry) && registry.scheme == Scheme::Https {
                // Found out by another request in the meantime.
                request.address = request.address.with_scheme(Scheme::Https);
            }
            let is_home = request.address.is_same_origin(&registry);
            let shown = if is_home && self.auth.is_safe(&request.address) {
                let scope = scope.take();
                self.auth.header(&self.wire, access, scope, deadline)?
            } else {
                None
            };
            let mut sent = request.clone();
            if let Some(shown) = &shown {
                let header = ("authorization", shown.expose().to_owned());
                sent.headers.push(header);
            }
            let answer = if is_home && !self.speech.is_known.load(Ordering::SeqCst) {
                let answer = self.sniff(&mut sent, deadline);
                request.address = sent.address;
                answer
            } else {
                self.wire.send(&sent, deadline)
            };
            let answer = answer.map_err(|silence| silence.error)?;
            match answer.status {
                // Once to learn what is wanted, once more for a token that has run out.
                401 if is_home && refusals < 2 && self.auth.is_safe(&request.address) => {
                    scope = self.auth.learn(&answer, access, shown.as_ref())?;
                    if shown.is_some() && refusals > 0 {
                        return Err(self.auth.refused(&answer, access));
                    }
                    refusals = refusals.saturating_add(1);
                }
                401 | 403 if is_home => return Err(self.auth.refused(&answer, access)),
                301 | 302 | 303 | 307 | 308 if is_read(&request.method) => {
                    redirects = redirects.saturating_add(1);
                    request.address = redirect(&answer, redirects, self.may_go_plain())?;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// Whether plain HTTP may be spoken to other hosts too.
    fn may_go_plain(&self) -> bool {
        self.base.scheme == Scheme::Http
    }

    /// Sends a request in plain HTTP, and with TLS if that is what turns out to be spoken.
    fn sniff(&self, request: &mut Outgoing<'_>, deadline: Instant) -> Result<Answer, Silence> {
        request.sniffs = true;
        let plain = self.wire.send(request, deadline);
        request.sniffs = false;
        let may_be_tls = match &plain {
            // Those who expect TLS and know HTTP say so in words that hold this one.
            Ok(answer) => {
                answer.status == 400 && String::from_utf8_lossy(&answer.body).contains("HTTPS")
            }
            Err(silence) => silence.is_garbled,
        };
        if !may_be_tls {
            if plain.is_ok() {
                self.speech.learn(false);
            }
            return plain;
        }
        let mut secure = request.clone();
        secure.address = secure.address.with_scheme(Scheme::Https);
        secure.repeatable = false;
        match (self.wire.send(&secure, deadline), plain) {
            (Ok(answer), _) => {
                self.speech.learn(true);
                request.address = secure.address;
                Ok(answer)
            }
            // It did say that it speaks TLS; what is wrong with that is what matters.
            (Err(silence), Ok(_)) => Err(silence),
            // A connection that was cut means nothing by itself.
            (Err(_), Err(_)) => self.wire.send(request, deadline),
        }
    }

    fn head_manifest(
        &self,
        name: &str,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let target = manifest_target(name, reference);
        let mut ask = Ask::new(Method::HEAD, target, Access::pull(name));
        ask.headers.push(("accept", MANIFEST_TYPES.to_owned()));
        let answer = self.ask(ask)?;
        if !answer.is_success() {
            return match refusal(&answer) {
                error if error.is_absent() => Ok(None),
                error => Err(error),
            };
        }
        let header = |name| answer.header(name).unwrap_or_default();
        if let (Ok(digest), Ok(size)) = (
            header("docker-content-digest").parse::<Digest>(),
            header("content-length").parse(),
        ) && !matches!(reference, Reference::Digest(asked) if *asked != digest)
        {
            return Ok(Some(Descriptor {
                media_type: media_type(header("content-type")),
                digest,
                size,
            }));
        }
        // Some do not say; then the manifest itself does.
        match self.read_manifest(name, reference) {
            Ok(manifest) => Ok(Some(manifest.descriptor())),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_manifest(&self, name: &str, reference: &Reference) -> Result<Manifest, RegistryError> {
        let target = manifest_target(name, reference);
        let mut ask = Ask::new(Method::GET, target, Access::pull(name));
        ask.headers.push(("accept", MANIFEST_TYPES.to_owned()));
        ask.limit = MAX_MANIFEST_LEN;
        let answer = self.ask(ask)?;
        if !answer.is_success() {
            return Err(refusal(&answer));
        }
        let said = answer.header("docker-content-digest");
        let expected = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => said.and_then(|digest| digest.parse().ok()),
        };
        if expected.is_some_and(|digest| !digest.matches(&answer.body)) {
            return Err(self.not_what_it_says(name, reference));
        }
        Ok(Manifest {
            media_type: media_type(answer.header("content-type").unwrap_or_default()),
            bytes: answer.body,
        })
    }

    fn write_manifest(
        &self,
        name: &str,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        let access = Access {
            repository: name,
            action: Action::Push,
        };
        let mut ask = Ask::new(Method::PUT, manifest_target(name, reference), access);
        ask.headers
            .push(("content-type", manifest.media_type.clone()));
        ask.body = Some(&manifest.bytes);
        ask.limit = MAX_MANIFEST_LEN;
        let answer = self.ask(ask)?;
        if !answer.is_success() {
            return Err(refusal(&answer));
        }
        let stored = answer.header("docker-content-digest");
        match stored.and_then(|digest| digest.parse::<Digest>().ok()) {
            Some(digest) if !digest.matches(&manifest.bytes) => Err(RegistryError::answer(
                format!("`{}` stored another manifest than it was given", self.name),
            )),
            _ => Ok(()),
        }
    }

    fn delete_reference(&self, name: &str, reference: &Reference) -> Result<Answer, RegistryError> {
        let access = Access {
            repository: name,
            action: Action::Delete,
        };
        let target = manifest_target(name, reference);
        let mut answer = self.ask(Ask::new(Method::DELETE, target, access))?;
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
        let mut ask = Ask::new(Method::GET, target, Access::pull(name));
        ask.limit = blob.size;
        let answer = self.ask(ask)?;
        if !answer.is_success() {
            return Err(refusal(&answer));
        }
        if blob.digest.matches(&answer.body) {
            Ok(answer.body)
        } else {
            Err(self.not_what_it_says(name, &blob.digest.clone().into()))
        }
    }

    fn not_what_it_says(&self, name: &str, reference: &Reference) -> RegistryError {
        RegistryError::answer(format!(
            "the content of `{}/{name}{reference}` is not what its digest says",
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
        listing(self.list(&self.repository(repository)))
    }

    fn resolve(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let found = self.head_manifest(&self.repository(repository), reference);
        found.map_err(|error| error.context(format!("cannot resolve `{repository}{reference}`")))
    }

    fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Manifest, RegistryError> {
        let found = self.read_manifest(&self.repository(repository), reference);
        found.map_err(|error| error.context(format!("cannot read `{repository}{reference}`")))
    }

    fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        if let Reference::Digest(digest) = reference
            && !digest.matches(&manifest.bytes)
        {
            return Err(RegistryError::input(format!(
                "the manifest to write is not what `{digest}` names"
            )));
        }
        let written = self.write_manifest(&self.repository(repository), reference, manifest);
        written.map_err(|error| error.context(format!("cannot write `{repository}{reference}`")))
    }

    fn get_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let found = self.read_blob(&self.repository(repository), blob, limit);
        found.map_err(|error| error.context(format!("cannot read `{repository}@{}`", blob.digest)))
    }

    fn put_blob(&self, repository: &Repository, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = Digest::of(bytes);
        let stored = self.store_blob(&self.repository(repository), &digest, bytes);
        match stored {
            Ok(()) => Ok(digest),
            Err(error) => Err(error.context(format!("cannot write to `{repository}`"))),
        }
    }

    fn delete(&self, repository: &Repository, reference: &Reference) -> Result<(), RegistryError> {
        let name = self.repository(repository);
        let deleted = match reference {
            Reference::Tag(tag) => self.untag(&name, tag),
            Reference::Digest(_) => match self.delete_reference(&name, reference) {
                Ok(answer) if answer.is_success() => Ok(()),
                Ok(answer) => Err(untag::cannot_delete(&answer)),
                Err(error) => Err(error),
            },
        };
        deleted.map_err(|error| error.context(format!("cannot delete `{repository}{reference}`")))
    }
}

fn manifest_target(name: &str, reference: &Reference) -> String {
    format!("/v2/{name}/manifests/{}", reference.as_str())
}

/// A `Content-Type` without its parameters.
fn media_type(header: &str) -> String {
    let media_type = header.split(';').next().unwrap_or_default().trim();
    excerpt(media_type)
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn redirect(
    answer: &Answer,
    redirects: usize,
    may_go_plain: bool,
) -> Result<Address, RegistryError> {
    let host = answer.address.authority();
    let refuse = |why: &str| Err(RegistryError::answer(format!("`{host}` redirects {why}")));
    if redirects > MAX_REDIRECTS {
        return refuse("again and again");
    }
    let location = answer.header("location").unwrap_or_default();
    match answer.address.join(location) {
        Some(next) if next.is_private() || may_go_plain => Ok(next),
        Some(_) => refuse("from a secure connection to plain HTTP"),
        None => refuse("to what is no address"),
    }
}
