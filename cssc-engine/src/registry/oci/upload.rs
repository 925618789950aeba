//! Storing a small blob
//! ([OCI distribution specification, "Pushing blobs"][spec]): begin an upload, then send it all.
//!
//! [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs

use ureq::http::Method;

use super::auth::{Access, Action};
use super::fault::refusal;
use super::wire::Outgoing;
use super::{Ask, OciRegistry};
use crate::registry::Digest;
use crate::registry::error::RegistryError;

impl OciRegistry {
    pub(super) fn store_blob(
        &self,
        name: &str,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        match self.upload(name, digest, bytes) {
            // The last request of an upload cannot be repeated, the upload as a whole can; and it
            // may have worked all the same.
            Err(error) if error.is_retryable() => self.upload(name, digest, bytes),
            result => result,
        }
    }

    fn upload(&self, name: &str, digest: &Digest, bytes: &[u8]) -> Result<(), RegistryError> {
        let access = Access {
            repository: name,
            action: Action::Push,
        };
        let target = format!("/v2/{name}/blobs/{digest}");
        if self
            .ask(Ask::new(Method::HEAD, target, access))?
            .is_success()
        {
            return Ok(());
        }
        let mut start = Ask::new(Method::POST, format!("/v2/{name}/blobs/uploads/"), access);
        start.body = Some(&[]);
        // An upload that was begun and forgotten is swept away by the registry.
        start.repeatable = true;
        let begun = self.ask(start)?;
        if !begun.is_success() {
            return Err(refusal(&begun));
        }
        let location = begun.header("location").unwrap_or_default();
        let Some(mut address) = begun.address.join(location) else {
            return Err(RegistryError::answer(format!(
                "`{}` does not say where to send a blob",
                begun.address.authority()
            )));
        };
        if address.is_same_host(&begun.address) {
            // Behind a proxy that ends TLS, registries think that they are spoken to without.
            address = address.with_scheme(begun.address.scheme);
        }
        let is_safe = address.is_private() || self.auth.is_safe(&address);
        if !is_safe {
            return Err(RegistryError::answer(format!(
                "`{}` wants a blob to be sent over plain HTTP",
                begun.address.authority()
            )));
        }
        let mut request = Outgoing::get(
            address.with_query("digest", digest.as_str()),
            super::MAX_MANIFEST_LEN,
        );
        request.method = Method::PUT;
        let kind = "application/octet-stream".to_owned();
        request.headers.push(("content-type", kind));
        request.body = Some(bytes);
        request.repeatable = false;
        let stored = self.send(request, access)?;
        if stored.is_success() {
            Ok(())
        } else {
            Err(refusal(&stored))
        }
    }
}
