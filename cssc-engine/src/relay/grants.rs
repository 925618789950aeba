//! What a login may do, and what it did.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cssc_registry::{Descriptor, Digest, Manifest, Repository, Tag};
use tokio::sync::Semaphore;

use super::calls::{Origin, PASSING_OF_ONE};
use super::failure::RelayFailure;
use super::references::References;
use super::store::Store;
use super::uploads::Upload;

/// How much can be reachable. An index of a thousand images has less.
const MAX_REACHABLE: usize = 200_000;
/// How many requests of one login are answered at the same time: far fewer than there may be
/// connections, so that one step cannot hold up the others.
const MAX_REQUESTS: usize = 64;

/// A repository that a login may read from.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) origin: Arc<Origin>,
    /// Whether every manifest of the repository may be read.
    pub(super) is_open: bool,
    /// Manifests that need not be fetched.
    roots: HashMap<Digest, Arc<Manifest>>,
    reachable: Mutex<Reachable>,
}

#[derive(Debug, Default)]
struct Reachable {
    manifests: HashSet<Digest>,
    blobs: HashMap<Digest, Descriptor>,
    /// Whose references were added.
    followed: HashSet<Digest>,
}

impl Place {
    pub(super) fn new(origin: Origin, is_open: bool) -> Self {
        Self {
            origin: Arc::new(origin),
            is_open,
            roots: HashMap::new(),
            reachable: Mutex::default(),
        }
    }

    /// Makes these manifests readable, and what they lead to as far as the store knows.
    pub(super) fn with_roots(mut self, roots: &[Manifest], store: &Store) -> Self {
        let mut open: Vec<(Digest, Arc<Manifest>)> = Vec::new();
        for root in roots {
            let digest = root.descriptor().digest;
            let root = Arc::new(root.clone());
            self.reachable().manifests.insert(digest.clone());
            self.roots.insert(digest.clone(), Arc::clone(&root));
            open.push((digest, root));
        }
        while let Some((digest, manifest)) = open.pop() {
            for child in self.follow(&digest, &manifest) {
                let known = self.roots.get(&child).cloned();
                if let Some(known) = known.or_else(|| store.manifest(&child).map(Arc::new)) {
                    open.push((child, known));
                }
            }
        }
        self
    }

    fn reachable(&self) -> MutexGuard<'_, Reachable> {
        self.reachable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes readable what a readable manifest refers to; the manifests among it are returned
    /// when this is done for the first time.
    pub(super) fn follow(&self, digest: &Digest, manifest: &Manifest) -> Vec<Digest> {
        let Ok(references) = References::read(manifest) else {
            return Vec::new();
        };
        let mut reachable = self.reachable();
        if reachable.blobs.len() >= MAX_REACHABLE || !reachable.followed.insert(digest.clone()) {
            return Vec::new();
        }
        for blob in references.blobs() {
            let known = reachable.blobs.entry(blob.digest.clone());
            known.or_insert_with(|| blob.clone());
        }
        reachable.manifests.insert(digest.clone());
        let children = references.manifests().map(|child| child.digest.clone());
        let children: Vec<Digest> = children.collect();
        reachable.manifests.extend(children.iter().cloned());
        children
    }

    pub(super) fn has_manifest(&self, digest: &Digest) -> bool {
        self.reachable().manifests.contains(digest)
    }

    pub(super) fn root(&self, digest: &Digest) -> Option<Arc<Manifest>> {
        self.roots.get(digest).cloned()
    }

    pub(super) fn blob(&self, digest: &Digest) -> Option<Descriptor> {
        self.reachable().blobs.get(digest).cloned()
    }
}

/// What a login pushed.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    pub(super) blobs: HashSet<Digest>,
    pub(super) manifests: HashSet<Digest>,
    pub(super) tags: BTreeMap<Tag, Digest>,
    /// What was seen in the registry's repository.
    pub(super) elsewhere: HashSet<Digest>,
}

/// A login.
pub(super) struct LoginState {
    pub(super) user: String,
    /// The password's digest: the password itself is the tool's alone.
    secret: Digest,
    pub(super) tag: Tag,
    pub(super) place: Arc<Place>,
    pub(super) may_have_tooling: bool,
    tooling: Mutex<HashMap<Repository, Arc<Place>>>,
    uploads: Mutex<HashMap<String, Upload>>,
    /// Those that are being answered take a permit.
    pub(super) open: Arc<Semaphore>,
    /// Blobs that are passed through take a permit.
    pub(super) passing: Arc<Semaphore>,
    pub(super) requests: AtomicU64,
    pub(super) blob_requests: AtomicU64,
    pushed: Mutex<Pushed>,
    failure: Mutex<Option<RelayFailure>>,
    revoked: AtomicBool,
    store: Arc<Store>,
}

impl LoginState {
    /// A login, and its password.
    pub(super) fn new(place: Place, may_have_tooling: bool, store: &Arc<Store>) -> (Self, String) {
        let password = store.random.text();
        let state = Self {
            user: store.random.text(),
            secret: cssc_registry::digest::of(password.as_bytes()),
            tag: store.random.tag(),
            place: Arc::new(place),
            may_have_tooling,
            tooling: Mutex::default(),
            uploads: Mutex::default(),
            open: Arc::new(Semaphore::new(MAX_REQUESTS)),
            passing: Arc::new(Semaphore::new(PASSING_OF_ONE)),
            requests: AtomicU64::new(0),
            blob_requests: AtomicU64::new(0),
            pushed: Mutex::default(),
            failure: Mutex::default(),
            revoked: AtomicBool::new(false),
            store: Arc::clone(store),
        };
        (state, password)
    }

    pub(super) fn is_password(&self, password: &str) -> bool {
        let given = cssc_registry::digest::of(password.as_bytes());
        is_same(given.hex(), self.secret.hex())
    }

    pub(super) fn pushed(&self) -> MutexGuard<'_, Pushed> {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn uploads(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tooling(&self) -> MutexGuard<'_, HashMap<Repository, Arc<Place>>> {
        self.tooling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may write this tag: its own, and what Copa makes of it for the platforms of an
    /// index.
    pub(super) fn may_write(&self, tag: &Tag) -> bool {
        let rest = tag.as_str().strip_prefix(self.tag.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Remembers the first thing that went wrong.
    pub(super) fn fail(&self, failure: &RelayFailure) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| failure.clone());
    }

    pub(super) fn failure(&self) -> Option<RelayFailure> {
        let first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.clone()
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.uploads().clear();
    }
}

impl Drop for LoginState {
    /// When its last request is over, and nothing can be claimed any more.
    fn drop(&mut self) {
        let pushed = self
            .pushed
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        self.store.disclaim(&pushed.blobs, &pushed.manifests);
    }
}

impl fmt::Debug for LoginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginState")
            .field("user", &self.user)
            .field("place", &self.place.origin)
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

/// Compares in a time that does not tell where the difference is.
fn is_same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let difference = pairs.fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    one.len() == other.len() && difference == 0
}

/// The logins there are.
#[derive(Debug, Default)]
pub(super) struct Logins(Mutex<HashMap<String, Arc<LoginState>>>);

impl Logins {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<LoginState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, login: &Arc<LoginState>) {
        self.all().insert(login.user.clone(), Arc::clone(login));
    }

    pub(super) fn remove(&self, login: &LoginState) {
        let removed = self.all().remove(&login.user);
        // Not while they are locked.
        drop(removed);
        login.revoke();
    }

    pub(super) fn find(&self, user: &str, password: &str) -> Option<Arc<LoginState>> {
        let login = self.all().get(user).cloned()?;
        login.is_password(password).then_some(login)
    }
}
