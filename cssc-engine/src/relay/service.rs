//! Who asks, and for what.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cssc_registry::{Digest, Manifest, RegistryClient, RegistryError, Repository};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{Answer, Refusal, answer, set};
use super::calls::{Calls, Flights};
use super::fetch::Fetches;
use super::figures::Counters;
use super::grants::{LoginState, Logins, Place};
use super::route::{Part, Route, parameter, route};
use super::store::Store;
use super::tooling::{self, ToolingImages};
use super::{blobs, manifests, uploads};
use crate::server::Handler;

/// What an index without entries says: nothing is known to refer to anything.
const NO_REFERRERS: &str = "{\"schemaVersion\":2,\
    \"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}";

/// A manifest that is fetched: of which origin, and by what tag or digest.
pub(super) type ManifestKey = (String, String);
pub(super) type FetchedManifest = Result<(Digest, Arc<Manifest>), RegistryError>;

/// All that answers share.
pub(super) struct Service {
    pub(super) store: Arc<Store>,
    pub(super) registry: Arc<dyn RegistryClient>,
    pub(super) tooling: OnceLock<Arc<dyn ToolingImages>>,
    pub(super) logins: Logins,
    pub(super) fetches: Fetches,
    pub(super) manifests: Arc<Flights<ManifestKey, FetchedManifest>>,
    pub(super) calls: Calls,
    pub(super) counters: Counters,
    pub(super) authority: String,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// A request of a login for something of a repository that it may use.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) service: Arc<Service>,
    pub(super) login: Arc<LoginState>,
    pub(super) place: Arc<Place>,
    pub(super) name: Repository,
    /// Whether the place is where the login may push to.
    pub(super) is_own: bool,
    pub(super) is_head: bool,
    /// Held until all of the answer was given to the client.
    pub(super) permit: Arc<OwnedSemaphorePermit>,
}

impl Service {
    /// The login of a request.
    fn login(&self, request: &Request<Incoming>) -> Option<Arc<LoginState>> {
        let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, value) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(value.trim()).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, password) = decoded.split_once(':')?;
        self.logins.find(user, password)
    }

    async fn serve(
        self: Arc<Self>,
        login: &Arc<LoginState>,
        request: Request<Incoming>,
    ) -> Result<Answer, Refusal> {
        let permit = Arc::clone(&login.open).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::too_many("too many requests at the same time"))?;
        let unknown = || Refusal::not_found("NAME_UNKNOWN");
        let route = route(request.uri().path()).ok_or_else(unknown)?;
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let (name, part) = match route {
            Route::Base if is_read => return Ok(json("{}")),
            Route::Base => return Err(Refusal::method()),
            Route::Of(name, part) => (name, part),
        };
        let is_own = name == login.place.origin.repository;
        let place = if is_own {
            Arc::clone(&login.place)
        } else {
            tooling::place(&self, login, &name).await?
        };
        if !is_own && !is_read {
            return Err(Refusal::method());
        }
        let asked = Asked {
            service: self,
            login: Arc::clone(login),
            place,
            name,
            is_own,
            is_head: *request.method() == Method::HEAD,
            permit: Arc::new(permit),
        };
        asked.answer(part, request).await
    }
}

impl Asked {
    async fn answer(self, part: Part, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let method = request.method().clone();
        match (part, method) {
            (Part::Manifest(reference), Method::GET | Method::HEAD) => {
                manifests::get(&self, &reference).await
            }
            (Part::Manifest(reference), Method::PUT) => {
                manifests::put(&self, &reference, request).await
            }
            (Part::Blob(digest), Method::GET | Method::HEAD) => {
                blobs::get(&self, &digest, request.headers()).await
            }
            (Part::Referrers(_), Method::GET | Method::HEAD) => {
                let mut empty = json(NO_REFERRERS);
                let index = cssc_registry::media_type::IMAGE_INDEX;
                set(&mut empty, CONTENT_TYPE, index);
                Ok(empty)
            }
            (Part::Uploads, Method::POST) => {
                let mount = parameter(request.uri().query(), "mount");
                if let Some(mounted) = uploads::mount(&self, mount).await? {
                    return Ok(mounted);
                }
                uploads::begin(&self, request).await
            }
            (Part::Upload(id), _) => uploads::go_on(&self, &id, request).await,
            _ => Err(Refusal::method()),
        }
    }
}

fn json(text: &'static str) -> Answer {
    let mut answer = answer(StatusCode::OK, text);
    set(&mut answer, CONTENT_TYPE, "application/json");
    answer
}

impl Handler for Service {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let Some(login) = self.login(&request) else {
            return Refusal::no_login().answer();
        };
        login.requests.fetch_add(1, Ordering::Relaxed);
        match self.serve(&login, request).await {
            Ok(answer) => answer,
            Err(refusal) => {
                if let Some(failure) = refusal.failure() {
                    login.fail(failure);
                }
                refusal.answer()
            }
        }
    }
}
