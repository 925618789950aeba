//! Answers that are no success: what they mean and what to say.

use serde::Deserialize;
use serde_json::Value;

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
    #[serde(default)]
    detail: Value,
}

/// Codes that do not say that something is not there, whatever the status.
const NO_ABSENCE: [&str; 3] = ["", "UNKNOWN", "UNSUPPORTED"];

impl Explanation {
    fn of(answer: &Response) -> Option<Self> {
        let errors: Errors = serde_json::from_slice(&answer.body).ok()?;
        errors.errors.into_iter().next()
    }

    /// What it says beside the message: the reason, with some registries, or what is missing. What
    /// is not there is known to who asked, and so is who may not come in.
    fn detail(&self, status: u16) -> Option<String> {
        let detail = match &self.detail {
            Value::String(detail) => detail.clone(),
            Value::Object(fields) if fields.is_empty() => return None,
            Value::Object(_) if !matches!(status, 401 | 403 | 404) => self.detail.to_string(),
            _ => return None,
        };
        let is_new = !detail.is_empty() && self.message.as_deref() != Some(&detail);
        is_new.then(|| excerpt(&detail))
    }
}

/// Whether an answer denies access: some say by a 400 and the code alone that a token has run out.
pub(super) fn is_denial(answer: &Response) -> bool {
    let is_of_access = |code: &str| {
        let code = code.to_ascii_uppercase();
        let starts = |word| code.starts_with(word);
        code == "DENIED" || code == "UNAUTHORIZED" || starts("TOKEN_") || starts("AUTH")
    };
    let explained = || Explanation::of(answer);
    answer.status == 403 || explained().is_some_and(|known| is_of_access(&known.code))
}

/// Turns an answer that is no success into an error that says who answered what.
pub(super) fn refusal(answer: &Response) -> RegistryError {
    let explained = Explanation::of(answer);
    let code = explained.as_ref().map_or("", |known| known.code.as_str());
    let kind = match answer.status {
        404 if is_absence(answer, explained.as_ref()) => RegistryErrorKind::Absent,
        _ if code == "UNSUPPORTED" => RegistryErrorKind::Unsupported,
        401 | 403 => RegistryErrorKind::Unauthorized,
        405 => RegistryErrorKind::Unsupported,
        408 | 429 | 500.. => RegistryErrorKind::Unavailable,
        _ => RegistryErrorKind::Answer,
    };
    let error = RegistryError::new(kind, describe(answer, explained.as_ref(), kind));
    error.answered(answer.status, Some(code).filter(|code| !code.is_empty()))
}

/// Whether something was written, as far as the answer says so.
pub(super) fn written(answer: &Response) -> Result<(), RegistryError> {
    match answer {
        _ if !answer.is_success() => Err(refusal(answer)),
        _ if answer.is_page() => Err(no_registry(answer)),
        _ => Ok(()),
    }
}

/// What answered with a page for people: a login, or whatever stands before the registry.
pub(super) fn no_registry(answer: &Response) -> RegistryError {
    let host = answer.address.authority();
    let status = answer.status;
    let error = RegistryError::answer(format!(
        "`{host}` answered {status} with a page for people, as a login does, and not as a registry"
    ));
    error.answered(status, None)
}

/// A 404 by a registry, not by whatever else may listen there or stand between: registries have
/// many codes for why something is not there, such as that its tag has expired.
fn is_absence(answer: &Response, explained: Option<&Explanation>) -> bool {
    match explained {
        Some(explained) => !NO_ABSENCE.contains(&explained.code.as_str()),
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
    if let Some(explanation) = explained {
        let (code, message) = (&explanation.code, explanation.message.as_deref());
        let message = message.filter(|message| !message.is_empty());
        let told = excerpt(&format!("{code}{}", after_colon(message)));
        let detail = explanation.detail(answer.status);
        text = format!("{text} ({told}{})", after_colon(detail.as_deref()));
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

fn after_colon(text: Option<&str>) -> String {
    text.map_or(String::new(), |text| format!(": {text}"))
}

fn reason(status: u16) -> Option<&'static str> {
    reqwest::StatusCode::from_u16(status)
        .ok()?
        .canonical_reason()
}
