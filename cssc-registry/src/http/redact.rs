//! Keeping credentials out of messages: some servers repeat in a refusal what they were sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::content::Content;
use super::request::{FORM, Request};

/// Shorter passwords are found by chance as well.
const SHORTEST: usize = 4;

/// Replaces in the body of a refusal the credentials that `request` was sent with.
pub(super) fn redact(request: &Request<'_>, body: Vec<u8>) -> Vec<u8> {
    let mut text = match String::from_utf8(body) {
        Ok(text) => text,
        // No JSON, so that nothing of it is shown.
        Err(other) => return other.into_bytes(),
    };
    for secret in secrets(request) {
        if secret.len() >= SHORTEST && text.contains(&secret) {
            text = text.replace(&secret, "***");
        }
    }
    text.into_bytes()
}

fn secrets(request: &Request<'_>) -> Vec<String> {
    let mut secrets = Vec::new();
    let headers = request.headers.iter();
    for (_, value) in headers.filter(|header| header.0 == "authorization") {
        let (scheme, value) = value.split_once(' ').unwrap_or_default();
        secrets.push(value.to_owned());
        if scheme == "Basic"
            && let Ok(pair) = STANDARD.decode(value)
            && let Some((_, password)) = String::from_utf8_lossy(&pair).split_once(':')
        {
            secrets.push(password.to_owned());
            secrets.push(STANDARD.encode(password));
        }
    }
    let is_form = request.headers.iter().any(|header| header.1 == FORM);
    if let Some(Content::Bytes(form)) = request.body
        && is_form
        && let Ok(form) = str::from_utf8(form)
    {
        let fields = form.split('&').filter_map(|field| field.split_once('='));
        let tokens = fields.filter(|(name, _)| name.ends_with("_token"));
        secrets.extend(tokens.map(|(_, token)| token.to_owned()));
    }
    secrets
}
