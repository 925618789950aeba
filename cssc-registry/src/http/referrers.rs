//! Referrers, by the registry's own API.

use std::collections::HashSet;

use cssc_core::Digest;
use reqwest::Method;

use super::OciRegistry;
use super::address::Address;
use super::auth::Permission;
use super::error_response::refusal;
use super::paging::linked_page;
use super::request::{Request, Response};
use crate::error::RegistryError;
use crate::media_type::IMAGE_INDEX;
use crate::referrers::{MAX_REFERRERS, Referrer, read_index};
use crate::{MAX_MANIFEST_LEN, digest};

/// The most pages, whose cursors are kept: most registries give all referrers on one.
const MAX_PAGES: usize = 200;

impl OciRegistry {
    /// Everything that the API lists for a subject; none when there is no API.
    pub(super) fn api_referrers(
        &self,
        name: &str,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Option<Vec<Referrer>>, RegistryError> {
        let first = self.address(format!("/v2/{name}/referrers/{subject}"));
        let mut next = match artifact_type {
            // A registry may leave it to the client to filter, which costs more and is no less
            // right.
            Some(artifact_type) => first.clone().with_query("artifactType", artifact_type),
            None => first.clone(),
        };
        let mut asked = HashSet::new();
        let mut referrers = Vec::new();
        loop {
            let host = first.authority().to_owned();
            if !asked.insert(next.target().to_owned()) {
                return Err(RegistryError::answer(format!(
                    "`{host}` pages form a cycle: the same page was named twice"
                )));
            }
            if asked.len() > MAX_PAGES {
                return Err(RegistryError::answer(format!(
                    "`{host}` pages do not end: stopped after {MAX_PAGES} pages of referrers"
                )));
            }
            let is_first = asked.len() == 1;
            let response = match self.referrers_page(next, name) {
                // What is not listed to us is no API for us; whether the repository may be read
                // shows when its tag is.
                Err(error) if is_first && error.status() == Some(403) => return Ok(None),
                response => response?,
            };
            if is_first && !is_api(&response) {
                return match response.status {
                    401 | 408 | 429 => Err(refusal(&response)),
                    200..=499 | 501 => Ok(None),
                    _ => Err(refusal(&response)),
                };
            }
            if !response.is_success() {
                let error = refusal(&response);
                return Err(RegistryError::unavailable(format!(
                    "{error}, in the middle of a list of referrers"
                )));
            }
            referrers.extend(read_index(&response.body)?);
            if referrers.len() > MAX_REFERRERS {
                return Ok(Some(referrers));
            }
            match linked_page(&response, &first, "list of referrers")? {
                Some(page) => next = page,
                None => return Ok(Some(referrers)),
            }
        }
    }

    /// Whether there is the API, found out with a manifest that nobody has.
    pub(super) fn probe_referrers(&self, name: &str) -> Result<bool, RegistryError> {
        let nobody = digest::of(b"");
        Ok(self.api_referrers(name, &nobody, None)?.is_some())
    }

    fn referrers_page(&self, address: Address, name: &str) -> Result<Response, RegistryError> {
        let mut request = Request::new(Method::GET, address);
        request.headers.push(("accept", IMAGE_INDEX.to_owned()));
        request.limit = Some(MAX_MANIFEST_LEN);
        self.send(request, Permission::pull(name))
    }
}

/// Whether the answer is one of the API: the specification asks for 200 and an index also when
/// nothing refers to the subject.
fn is_api(response: &Response) -> bool {
    let media_type = response.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    response.status == 200 && media_type == IMAGE_INDEX
}
