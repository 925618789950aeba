//! Uploads: written to disk as they come, and taken when they are what they should be.

use std::sync::{Arc, Mutex, PoisonError};

use cssc_registry::Digest;
use cssc_registry::digest::Hasher;
use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use hyper::{Method, Request, StatusCode};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::answer::{Answer, CONTENT_DIGEST, Refusal, answer, set};
use super::calls::blocking;
use super::failure::RelayError;
use super::manifests::{PATIENCE, is_elsewhere};
use super::range::number;
use super::route::parameter;
use super::service::Asked;
use super::store::{Claim, Partial, Room, Store, has_digest};
use crate::server::read_piece;

/// How many uploads a login may have open.
const MAX_OPEN: usize = 64;
/// How many blobs a login may push.
const MAX_BLOBS: usize = 4_096;
/// How much is written at once.
const PIECE: usize = 256 << 10;
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// The turn to write to an upload.
type MyTurn = Arc<OwnedMutexGuard<()>>;

/// An upload that is open.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    /// Who writes to it: one request at a time.
    turn: Arc<Turn<()>>,
    content: Arc<Mutex<Content>>,
}

/// What came of an upload.
#[derive(Debug)]
struct Content {
    partial: Partial,
    room: Room,
    size: u64,
    /// SHA-256, which nearly all are named by.
    hasher: Hasher,
}

impl Content {
    fn new(store: &Arc<Store>) -> Result<Self, RelayError> {
        Ok(Self {
            room: store.room(0)?,
            partial: store.partial()?,
            size: 0,
            hasher: Hasher::new(&cssc_registry::digest::of(b"")),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RelayError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let size = self.size.saturating_add(length);
        self.room.grow(size)?;
        self.partial.write(bytes)?;
        self.hasher.update(bytes);
        self.size = size;
        Ok(())
    }

    fn is(&self, digest: &Digest) -> std::io::Result<bool> {
        if digest.algorithm() == "sha256" {
            return Ok(self.hasher.clone().is(digest));
        }
        has_digest(self.partial.reader()?, digest)
    }
}

impl Upload {
    fn with<T>(&self, work: impl FnOnce(&mut Content) -> T) -> T {
        work(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn size(&self) -> u64 {
        self.with(|content| content.size)
    }

    /// The turn to write; refused while another request has it.
    fn turn(&self) -> Result<MyTurn, Refusal> {
        let turn = Arc::clone(&self.turn).try_lock_owned();
        turn.map(Arc::new).map_err(|_| {
            let message = "another request writes to the upload";
            Refusal::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", message)
        })
    }

    /// Writes what comes.
    async fn write(&self, asked: &Asked, turn: &MyTurn, mut body: Incoming) -> Result<(), Refusal> {
        let mut bytes = Vec::new();
        loop {
            let piece = read_piece(&mut body, PATIENCE).await;
            let is_over = !matches!(piece, Ok(Some(_)));
            if let Ok(Some(piece)) = &piece {
                bytes.extend_from_slice(piece);
            }
            if !bytes.is_empty() && (is_over || bytes.len() >= PIECE) {
                let (upload, piece) = (self.clone(), std::mem::take(&mut bytes));
                let turn = Arc::clone(turn);
                let written = blocking(move || {
                    // Until it is written, also when the client goes away meanwhile.
                    let _turn = turn;
                    upload.with(|content| content.write(&piece))
                });
                written.await.flatten()?;
            }
            if asked.login.is_revoked() {
                return Err(unknown());
            }
            match piece {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(_) => return Err(Refusal::bad("BLOB_UPLOAD_INVALID", "it did not come")),
            }
        }
    }
}

fn unknown() -> Refusal {
    Refusal::not_found("BLOB_UPLOAD_UNKNOWN")
}

fn too_many() -> Refusal {
    Refusal::too_many("too many uploads")
}

/// Answers that a blob need not be uploaded; none when it has to be.
pub(super) async fn mount(
    asked: &Asked,
    digest: Option<String>,
) -> Result<Option<Answer>, Refusal> {
    let Some(Ok(digest)) = digest.map(|digest| digest.parse::<Digest>()) else {
        return Ok(None);
    };
    let is_known = {
        let pushed = asked.login.pushed();
        pushed.blobs.contains(&digest) || pushed.elsewhere.contains(&digest)
    };
    let is_there = is_known
        || asked.place.blob(&digest).is_some()
        || is_elsewhere(asked, false, &digest).await?;
    Ok(is_there.then(|| created(asked, &digest)))
}

/// Begins an upload, and ends it where all of it comes at once.
pub(super) async fn begin(asked: &Asked, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let digest = digest_of(&request)?;
    let is_full = asked.login.uploads().len() >= MAX_OPEN;
    if is_full || asked.login.pushed().blobs.len() >= MAX_BLOBS {
        return Err(too_many());
    }
    let store = Arc::clone(&asked.service.store);
    let content = blocking(move || Content::new(&store)).await.flatten()?;
    let upload = Upload {
        turn: Arc::default(),
        content: Arc::new(Mutex::new(content)),
    };
    if let Some(digest) = digest {
        let turn = upload.turn()?;
        upload.write(asked, &turn, request.into_body()).await?;
        drop(turn);
        return finish(asked, upload, &digest).await;
    }
    let id = asked.service.store.random.text();
    let accepted = status(asked, &id, 0, StatusCode::ACCEPTED);
    let mut uploads = asked.login.uploads();
    if asked.login.is_revoked() {
        return Err(unknown());
    }
    // Others may have begun in between.
    if uploads.len() >= MAX_OPEN {
        return Err(too_many());
    }
    uploads.insert(id, upload);
    Ok(accepted)
}

/// Answers a request for an upload that was begun.
pub(super) async fn go_on(
    asked: &Asked,
    id: &str,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let upload = asked.login.uploads().get(id).cloned();
    let upload = upload.ok_or_else(unknown)?;
    match *request.method() {
        Method::GET | Method::HEAD => Ok(status(asked, id, upload.size(), StatusCode::NO_CONTENT)),
        Method::PATCH => {
            let turn = upload.turn()?;
            in_order(asked, id, &upload, &request)?;
            upload.write(asked, &turn, request.into_body()).await?;
            Ok(status(asked, id, upload.size(), StatusCode::ACCEPTED))
        }
        Method::PUT => {
            let digest = digest_of(&request)?;
            let invalid = || Refusal::bad("DIGEST_INVALID", "the digest is missing");
            let digest = digest.ok_or_else(invalid)?;
            let turn = upload.turn()?;
            in_order(asked, id, &upload, &request)?;
            upload.write(asked, &turn, request.into_body()).await?;
            // It is over, whether or not it is what it should be.
            asked.login.uploads().remove(id);
            drop(turn);
            finish(asked, upload, &digest).await
        }
        Method::DELETE => {
            asked.login.uploads().remove(id);
            Ok(answer(StatusCode::NO_CONTENT, ""))
        }
        _ => Err(Refusal::method()),
    }
}

/// The digest that a request names.
fn digest_of(request: &Request<Incoming>) -> Result<Option<Digest>, Refusal> {
    let digest = parameter(request.uri().query(), "digest");
    let digest = digest.map(|digest| digest.parse()).transpose();
    digest.map_err(|error: cssc_core::name::DigestError| {
        Refusal::bad("DIGEST_INVALID", error.to_string())
    })
}

/// A piece must follow what came before.
fn in_order(
    asked: &Asked,
    id: &str,
    upload: &Upload,
    request: &Request<Incoming>,
) -> Result<(), Refusal> {
    let Some(range) = request.headers().get(CONTENT_RANGE) else {
        return Ok(());
    };
    let range = range.to_str().unwrap_or_default();
    let first = range.split_once('-').and_then(|range| number(range.0));
    let size = upload.size();
    if first == Some(size) {
        return Ok(());
    }
    let message = format!("the upload has {size} bytes");
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    let refusal = Refusal::new(status, "BLOB_UPLOAD_INVALID", message);
    Err(refusal
        .header(LOCATION, place(asked, id))
        .header(RANGE, came(size)))
}

fn place(asked: &Asked, id: &str) -> String {
    format!("/v2/{}/blobs/uploads/{id}", asked.name)
}

/// What came, as registries say it: nothing cannot be said.
fn came(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

fn status(asked: &Asked, id: &str, size: u64, status: StatusCode) -> Answer {
    let mut answer = answer(status, "");
    set(&mut answer, LOCATION, &place(asked, id));
    set(&mut answer, RANGE, &came(size));
    set(&mut answer, UPLOAD_ID, id);
    answer
}

fn created(asked: &Asked, digest: &Digest) -> Answer {
    let mut created = answer(StatusCode::CREATED, "");
    let location = format!("/v2/{}/blobs/{digest}", asked.name);
    set(&mut created, LOCATION, &location);
    set(&mut created, CONTENT_DIGEST, digest.as_str());
    created
}

/// Takes what came, if it is what the digest says.
async fn finish(asked: &Asked, upload: Upload, digest: &Digest) -> Result<Answer, Refusal> {
    let (by, name) = (asked.clone(), digest.clone());
    blocking(move || take(&by, upload, &name)).await??;
    Ok(created(asked, digest))
}

fn take(asked: &Asked, upload: Upload, digest: &Digest) -> Result<(), Refusal> {
    // A request that broke may be writing its last piece.
    let Ok(content) = Arc::try_unwrap(upload.content) else {
        return Err(unknown());
    };
    let content = content.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !content.is(digest).map_err(RelayError::Disk)? {
        return Err(Refusal::wrong_digest(digest));
    }
    // What is among the pushed is held: it is added there last.
    let is_new = !asked.login.pushed().blobs.contains(digest);
    let claim = if is_new { Claim::Login } else { Claim::None };
    let Content {
        partial,
        room,
        size,
        ..
    } = content;
    let added = asked
        .service
        .store
        .add_blob(digest, partial, size, room, claim);
    added?;
    let is_first = asked.login.pushed().blobs.insert(digest.clone());
    if is_new && !is_first {
        // The same came twice at the same time, and was claimed twice.
        asked.service.store.disclaim([digest], []);
    }
    Ok(())
}
