//! Storing a blob
//! ([OCI distribution specification, "Pushing blobs"][spec]): begin an upload, then send it all at
//! once, or in chunks to a registry that does not take that.
//!
//! [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs

use std::io::Read;
use std::path::Path;

use reqwest::Method;

use super::OciRegistry;
use super::address::Address;
use super::auth::{Action, Permission};
use super::content::Content;
use super::error_response::{no_registry, refusal, written};
use super::request::{Request, Response};
use crate::error::RegistryError;
use crate::{Descriptor, Digest};

const OCTET_STREAM: &str = "application/octet-stream";
/// How long a chunk is: what proxies take without being asked to take more.
const CHUNK_LEN: u64 = 1 << 20;
/// The longest chunk, whatever a registry asks for: it is held in memory.
const MAX_CHUNK_LEN: u64 = 16 << 20;

impl OciRegistry {
    /// Stores the blob that a file is to be.
    pub(super) fn store_file(
        &self,
        name: &str,
        blob: &Descriptor,
        path: &Path,
    ) -> Result<(), RegistryError> {
        let file = Content::File(path, blob);
        if file.is_large() {
            return self.store_blob(name, &blob.digest, file);
        }
        let mut bytes = Vec::new();
        let read = file.open()?.read_to_end(&mut bytes);
        read.map_err(|error| file.error(&error))?;
        self.store_blob(name, &blob.digest, Content::Bytes(&bytes))
    }

    pub(super) fn store_blob(
        &self,
        name: &str,
        digest: &Digest,
        content: Content<'_>,
    ) -> Result<(), RegistryError> {
        match self.upload(name, digest, content) {
            // The last request of an upload cannot be repeated, the upload as a whole can; and it
            // may have worked all the same.
            Err(error) if error.is_retryable() => self.upload(name, digest, content),
            result => result,
        }
    }

    pub(super) fn head_blob(&self, name: &str, digest: &Digest) -> Result<bool, RegistryError> {
        let there = self.address(format!("/v2/{name}/blobs/{digest}"));
        let head = Request::new(Method::HEAD, there.clone());
        let answer = match self.send_head(head, Permission::pull(name))? {
            Some(answer) if !answer.is_page() => answer,
            _ => {
                // Only the head of the answer is waited for.
                let mut get = Request::new(Method::GET, there);
                get.limit = None;
                self.send(get, Permission::pull(name))?
            }
        };
        match answer.status {
            _ if answer.is_page() => Err(no_registry(&answer)),
            _ if answer.is_success() => Ok(true),
            404 => Ok(false),
            _ => Err(refusal(&answer)),
        }
    }

    fn upload(
        &self,
        name: &str,
        digest: &Digest,
        content: Content<'_>,
    ) -> Result<(), RegistryError> {
        let permission = Permission::new(name, Action::Push);
        let there = self.address(format!("/v2/{name}/blobs/{digest}"));
        match self.send(Request::new(Method::HEAD, there), permission) {
            Ok(answer) if answer.is_success() && !answer.is_page() => return Ok(()),
            // Where looking is refused, writing may be allowed, and says best why it is not.
            Err(error) if !error.is_unauthorized() => return Err(error),
            _ => {}
        }
        let (address, _) = self.begin_upload(name, permission)?;
        let refused = match self.end_upload(address, digest, content, permission) {
            Ok(stored) if !is_refusal_of_size(&stored) => return written(&stored),
            Ok(stored) => refusal(&stored),
            // Some close the connection over what is too large for them, with or without a word.
            Err(error) if error.is_retryable() && content.is_large() => error,
            Err(error) => return Err(error),
        };
        if content.len() == 0 {
            return Err(refused);
        }
        let stored_in_chunks = self.upload_chunks(name, digest, content, permission);
        // If the registry refuses that too, the first refusal is the one to tell.
        stored_in_chunks.map_err(|error| {
            if error.is_retryable() || error.is_invalid_input() {
                error
            } else {
                refused
            }
        })
    }

    fn upload_chunks(
        &self,
        name: &str,
        digest: &Digest,
        content: Content<'_>,
        permission: Permission<'_>,
    ) -> Result<(), RegistryError> {
        let (mut address, chunk_len) = self.begin_upload(name, permission)?;
        let mut source = content.open()?;
        let mut chunk = Vec::new();
        let mut sent: u64 = 0;
        while sent < content.len() {
            chunk.clear();
            let read = source.by_ref().take(chunk_len).read_to_end(&mut chunk);
            read.map_err(|error| content.error(&error))?;
            let end = sent.saturating_add(Content::Bytes(&chunk).len());
            let mut request = Request::new(Method::PATCH, address.clone());
            request.headers = vec![
                ("content-type", OCTET_STREAM.to_owned()),
                ("content-range", format!("{sent}-{}", end.saturating_sub(1))),
            ];
            request.body = Some(Content::Bytes(&chunk));
            request.repeatable = false;
            let taken = self.send(request, permission)?;
            written(&taken)?;
            if taken.header("location").is_some() {
                address = self.upload_address(&taken)?;
            }
            sent = end;
        }
        written(&self.end_upload(address, digest, Content::Bytes(&[]), permission)?)
    }

    /// Begins an upload and cancels it: nothing else says whether blobs may be written.
    pub(super) fn try_upload(&self, name: &str) -> Result<(), RegistryError> {
        let permission = Permission::new(name, Action::Push);
        let (address, _) = self.begin_upload(name, permission)?;
        // Registries ask for the right to delete for that; an upload that is left is swept away.
        let cancel = Request::new(Method::DELETE, address);
        drop(self.send(cancel, Permission::new(name, Action::Delete)));
        Ok(())
    }

    /// Where to send a blob, and how long a chunk of it is to be.
    fn begin_upload(
        &self,
        name: &str,
        permission: Permission<'_>,
    ) -> Result<(Address, u64), RegistryError> {
        let uploads = self.address(format!("/v2/{name}/blobs/uploads/"));
        let mut request = Request::new(Method::POST, uploads);
        request.body = Some(Content::Bytes(&[]));
        // An upload that was begun and forgotten is swept away by the registry.
        request.repeatable = true;
        let begun = self.send(request, permission)?;
        written(&begun).map_err(|error| {
            if error.is_absent() {
                // As with ECR, where nothing is made by writing it.
                error.context("the repository has to be created first")
            } else {
                error
            }
        })?;
        let least = begun.header("oci-chunk-min-length");
        let least: u64 = least.and_then(|length| length.parse().ok()).unwrap_or(0);
        let length = least.clamp(CHUNK_LEN, MAX_CHUNK_LEN);
        Ok((self.upload_address(&begun)?, length))
    }

    /// Sends `content`, which is all or what is left, and ends the upload.
    fn end_upload(
        &self,
        address: Address,
        digest: &Digest,
        content: Content<'_>,
        permission: Permission<'_>,
    ) -> Result<Response, RegistryError> {
        let address = address.with_query("digest", digest.as_str());
        let mut request = Request::new(Method::PUT, address);
        request.limit = Some(super::MAX_MANIFEST_LEN);
        let content_type = ("content-type", OCTET_STREAM.to_owned());
        request.headers.push(content_type);
        request.body = Some(content);
        request.repeatable = false;
        self.send(request, permission)
    }

    /// Where the registry says that an upload goes on.
    fn upload_address(&self, answer: &Response) -> Result<Address, RegistryError> {
        let location = answer.header("location");
        let Some(address) = location.and_then(|location| answer.address.join(location)) else {
            return Err(RegistryError::answer(format!(
                "`{}` does not say where to send a blob",
                answer.address.authority()
            )));
        };
        let address = address.behind_proxy_of(&answer.address);
        if self.auth.is_safe(&address) {
            return Ok(address);
        }
        Err(RegistryError::answer(format!(
            "`{}` wants a blob to be sent over plain HTTP",
            answer.address.authority()
        )))
    }
}

/// Whether so say those that take no blob in one piece, or none that large.
fn is_refusal_of_size(answer: &Response) -> bool {
    matches!(answer.status, 400 | 405 | 411 | 413 | 415 | 501)
}
