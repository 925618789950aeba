//! What a step is let into the relay with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cssc_registry::{Digest, Manifest, Repository, Tag};

use super::failure::RelayFailure;
use super::grants::{LoginState, Place};
use super::service::Service;
use super::tooling::TOOLING;

/// A login of one step. When it is dropped, it is revoked: its uploads are removed, and what it
/// pushed may be evicted unless it is [kept](super::Relay::keep).
pub struct Login {
    service: Arc<Service>,
    state: Arc<LoginState>,
    password: String,
}

impl Login {
    pub(super) fn new(service: &Arc<Service>, place: Place, may_have_tooling: bool) -> Self {
        let (state, password) = LoginState::new(place, may_have_tooling, &service.store);
        let state = Arc::new(state);
        service.logins.add(&state);
        Self {
            service: Arc::clone(service),
            state,
            password,
        }
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.state.user
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Host and port, as the tool names the registry.
    pub fn authority(&self) -> &str {
        &self.service.authority
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.state.place.origin.repository
    }

    /// The tag that may be written.
    pub fn tag(&self) -> &Tag {
        &self.state.tag
    }

    /// What its tag stands for now.
    pub fn pushed(&self) -> Option<Manifest> {
        let digest = self.pushed_digest()?;
        self.service.store.manifest(&digest)
    }

    /// The digest of what its tag stands for now.
    pub fn pushed_digest(&self) -> Option<Digest> {
        self.state.pushed().tags.get(&self.state.tag).cloned()
    }

    /// How many requests were made with it: none says that the relay was never reached.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// How many blobs were asked for with it.
    pub fn blob_requests(&self) -> u64 {
        self.state.blob_requests.load(Ordering::Relaxed)
    }

    /// Where it finds tooling images, `HOST:PORT/tooling`, if it may read any.
    pub fn tooling(&self) -> Option<String> {
        let has_any = self.state.may_have_tooling && self.service.tooling.get().is_some();
        has_any.then(|| format!("{}/{TOOLING}", self.authority()))
    }

    /// The first thing that went wrong on the side of the relay while it served this login. It
    /// explains what the tool says of it.
    pub fn failure(&self) -> Option<RelayFailure> {
        self.state.failure()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.service.logins.remove(&self.state);
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.state.user)
            .field("repository", self.repository())
            .field("tag", &self.state.tag)
            .finish_non_exhaustive()
    }
}
