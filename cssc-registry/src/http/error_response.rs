//! Answers that are no success: what they mean and what to say.

use serde::Deserialize;

use super::request::Response;
use crate::error::{RegistryError, RegistryErrorKind, excerpt};

/// The error a registry explains itself with
/// ([OCI distribution specification, "Error Codes"][spec]).
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
#[derive(Deserialize)]
struct Errors {
    errors: Vec<Explanation>,
}

#[derive(Deserialize)]
struct Explanation {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

/// The codes by which registries say that a repository, manifest, tag or blob is not there.
const ABSENT: [&str; 6] = [
    "NAME_UNKNOWN",
    "MANIFEST_UNKNOWN",
    "BLOB_UNKNOWN",
    "TAG_UNKNOWN",
    "NOT_FOUND",
    "REPOSITORY_NOT_FOUND",
];

fn explanation(answer: &Response) -> Option<Explanation> {
    let errors: Errors = serde_json::from_slice(&answer.body).ok()?;
    errors.errors.into_iter().next()
}

/// Turns an answer that is no success into an error that says who answered what.
pub(super) fn refusal(answer: &Response) -> RegistryError {
    let explained = explanation(answer);
    let code = explained.as_ref().map_or("", |known| known.code.as_str());
    let kind = match answer.status {
        404 if is_absence(answer, explained.as_ref()) => RegistryErrorKind::Absent,
        _ if code == "UNSUPPORTED" => RegistryErrorKind::Unsupported,
        401 | 403 => RegistryErrorKind::Unauthorized,
        405 => RegistryErrorKind::Unsupported,
        408 | 429 | 500.. => RegistryErrorKind::Unavailable,
        _ => RegistryErrorKind::Answer,
    };
    RegistryError::new(kind, describe(answer, explained.as_ref(), kind))
}

/// A 404 by a registry, not by whatever else may listen there or stand between.
fn is_absence(answer: &Response, explained: Option<&Explanation>) -> bool {
    match explained {
        Some(explained) => ABSENT.contains(&explained.code.as_str()),
        None => {
            answer.body.is_empty() && answer.header("docker-distribution-api-version").is_some()
        }
    }
}

fn describe(answer: &Response, explained: Option<&Explanation>, kind: RegistryErrorKind) -> String {
    let mut text = format!(
        "`{}` answered {}",
        answer.address.authority(),
        answer.status
    );
    if let Some(reason) = reason(answer.status) {
        text.push(' ');
        text.push_str(reason);
    }
    if let Some(Explanation { code, message }) = explained {
        let message = message.as_deref().unwrap_or_default();
        let colon = if message.is_empty() { "" } else { ": " };
        text.push_str(&excerpt(&format!(" ({code}{colon}{message})")));
    }
    match answer.status {
        404 if kind != RegistryErrorKind::Absent => text.push_str(", but not as a registry does"),
        429 | 503 => match answer.header("retry-after") {
            Some(wait) => {
                let wait = excerpt(wait);
                text = format!("{text} and asks to wait (`Retry-After: {wait}`)");
            }
            None => text.push_str(", try again later"),
        },
        _ => {}
    }
    text
}

fn reason(status: u16) -> Option<&'static str> {
    reqwest::StatusCode::from_u16(status)
        .ok()?
        .canonical_reason()
}
