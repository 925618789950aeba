//! Answers, and the errors among them as registries word them.

use cssc_registry::{Digest, RegistryError};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::failure::{RelayError, RelayFailure};
use crate::server::Content;

/// An answer.
pub(super) type Answer = Response<Content>;

/// The header that names what is answered.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, String)>,
    failure: Option<RelayFailure>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
            failure: None,
        }
    }

    /// It is not there, or not for this login: which of both is not said.
    pub(super) fn not_found(code: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, "not known here")
    }

    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// It asks for more than one login may take.
    pub(super) fn too_many(message: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message)
    }

    pub(super) fn method() -> Self {
        let message = "the relay has no such operation";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    pub(super) fn no_login() -> Self {
        let refusal = Self::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "a login is needed",
        );
        refusal.header(WWW_AUTHENTICATE, "Basic realm=\"cssc\"")
    }

    /// The content that came is not what its digest says.
    pub(super) fn wrong_digest(digest: &Digest) -> Self {
        Self::bad("DIGEST_INVALID", format!("the content is not `{digest}`"))
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What went wrong on this side, if that is why.
    pub(super) fn failure(&self) -> Option<&RelayFailure> {
        self.failure.as_ref()
    }

    pub(super) fn answer(&self) -> Answer {
        let errors = serde_json::json!({
            "errors": [{"code": self.code, "message": self.message}],
        });
        let mut answer = answer(self.status, errors.to_string());
        set(&mut answer, CONTENT_TYPE, "application/json");
        for (name, value) in &self.headers {
            set(&mut answer, name.clone(), value);
        }
        answer
    }
}

impl From<RelayFailure> for Refusal {
    fn from(failure: RelayFailure) -> Self {
        let (status, code) = match &failure {
            RelayFailure::Registry(error) if error.is_absent() => {
                (StatusCode::NOT_FOUND, "NOT_FOUND")
            }
            RelayFailure::Registry(_) => (StatusCode::BAD_GATEWAY, "UNAVAILABLE"),
            RelayFailure::Full { .. } => (StatusCode::INSUFFICIENT_STORAGE, "DENIED"),
            RelayFailure::Disk(_) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        };
        let mut refusal = Self::new(status, code, failure.to_string());
        refusal.failure = Some(failure);
        refusal
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        RelayFailure::from(error).into()
    }
}

impl From<RelayError> for Refusal {
    fn from(error: RelayError) -> Self {
        RelayFailure::from(error).into()
    }
}

/// An answer with this content.
pub(super) fn answer(status: StatusCode, content: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Content::Whole(content.into()));
    *answer.status_mut() = status;
    set(&mut answer, API_VERSION, "registry/2.0");
    answer
}

/// Sets a header; what cannot stand in one is left out.
pub(super) fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}
