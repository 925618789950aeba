//! Tokens, from the token service that a registry names
//! ([Docker's token specification](https://distribution.github.io/distribution/spec/auth/token/)).

use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Deserialize;

use super::Auth;
use crate::error::{RegistryError, RegistryErrorKind, excerpt};
use crate::http::address::{Address, encode};
use crate::http::content::Content;
use crate::http::credential::{Credential, CredentialKind, Secret};
use crate::http::error_response::refusal;
use crate::http::request::{FORM, MAX_REDIRECTS, Request, Response};
use crate::http::transport::Transport;

const MAX_TOKEN_LEN: u64 = 1 << 20;
/// How long a token is good for when its service does not say.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// An access token, as the value of an `Authorization` header.
pub(super) struct Token {
    pub(super) value: Secret,
    /// When to have a new one.
    pub(super) stale: Instant,
}

/// Where the registry said that tokens are to be had, and for which service.
pub(super) struct TokenService<'a> {
    pub(super) realm: &'a str,
    pub(super) service: Option<&'a str>,
}

/// What a token service answers.
#[derive(Deserialize)]
pub(super) struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    /// Seconds; some write the number as a text.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl TokenResponse {
    fn life(&self) -> Duration {
        let seconds = match &self.expires_in {
            serde_json::Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        };
        match seconds.filter(|seconds: &f64| seconds.is_finite()) {
            Some(seconds) => Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0)),
            None => DEFAULT_LIFE,
        }
    }
}

impl Auth {
    /// Gets a token for `credential`, or for nobody in particular.
    pub(super) fn fetch_token(
        &self,
        transport: &Transport,
        service: &TokenService<'_>,
        scope: &str,
        credential: Option<&Credential>,
        deadline: Instant,
    ) -> Result<Token, RegistryError> {
        let realm = self.token_service(service.realm)?;
        let form;
        let request = match credential.map(|credential| &credential.kind) {
            Some(CredentialKind::Access(token)) => {
                return Ok(Token {
                    value: Secret::new(format!("Bearer {}", token.expose())),
                    stale: deadline,
                });
            }
            Some(CredentialKind::Identity(token)) => {
                form = self.refresh_form(service, scope, token);
                post(realm.clone(), &form)
            }
            Some(CredentialKind::Entra(token)) => {
                let token = self.exchange(transport, &realm, token, deadline)?;
                form = self.refresh_form(service, scope, &token);
                post(realm.clone(), &form)
            }
            Some(CredentialKind::Password { .. }) | None => {
                let authorization = credential.and_then(Credential::basic);
                get(&realm, service, scope, authorization)
            }
        };
        let answer = self.ask_service(transport, request, credential, deadline)?;
        let stale = Instant::now().checked_add(answer.life().mul_f64(0.8));
        let filled = |token: Option<String>| {
            let token = token.map(|token| token.trim().to_owned());
            token.filter(|token| !token.is_empty())
        };
        let value = filled(answer.token)
            .or(filled(answer.access_token))
            .ok_or_else(|| self.bad_token(&realm, "answered without a token"))?;
        // Anything else could smuggle in another header.
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.bad_token(&realm, "returned an invalid token"));
        }
        Ok(Token {
            value: Secret::new(format!("Bearer {value}")),
            stale: stale.unwrap_or(deadline),
        })
    }

    /// The address of the token service, if credentials may be sent there.
    pub(super) fn token_service(&self, realm: &str) -> Result<Address, RegistryError> {
        let address = Address::parse(realm).ok_or_else(|| {
            RegistryError::answer(format!(
                "`{}` names `{}` as its token service, which is not an address",
                self.host,
                excerpt(realm)
            ))
        })?;
        let address = address.behind_proxy_of(&self.own);
        if self.is_safe(&address) {
            return Ok(address);
        }
        Err(RegistryError::new(
            RegistryErrorKind::Unauthorized,
            format!(
                "`{}` wants credentials to be sent to `{}` over plain HTTP, \
                 which is only done if plain HTTP is enabled",
                self.host,
                address.authority()
            ),
        ))
    }

    fn refresh_form(
        &self,
        service: &TokenService<'_>,
        scope: &str,
        refresh_token: &Secret,
    ) -> String {
        form(&[
            ("client_id", "cssc"),
            ("service", service.service.unwrap_or(&self.host)),
            ("grant_type", "refresh_token"),
            ("scope", scope),
            ("refresh_token", refresh_token.expose()),
        ])
    }

    /// Sends a request to the token service, and reads what it answers.
    pub(super) fn ask_service(
        &self,
        transport: &Transport,
        request: Request<'_>,
        credential: Option<&Credential>,
        deadline: Instant,
    ) -> Result<TokenResponse, RegistryError> {
        let service = request.address.clone();
        let answer = self.follow(transport, request, deadline)?;
        if answer.is_success() {
            return serde_json::from_slice(&answer.body)
                .map_err(|_| self.bad_token(&service, "did not answer with the expected JSON"));
        }
        let told = refusal(&answer);
        // What it refuses with a 4xx is us; anything else is its own trouble.
        let kind = match answer.status {
            400..=404 => RegistryErrorKind::Unauthorized,
            _ => RegistryErrorKind::Unavailable,
        };
        let advice = match credential {
            _ if kind == RegistryErrorKind::Unavailable => String::new(),
            Some(credential) => format!("; the credentials used were {}", credential.origin),
            None => format!("; {}", self.log_in()),
        };
        let host = &self.host;
        let message = format!("the token service of `{host}` refused: {told}{advice}");
        Err(told.retold(kind, message))
    }

    /// Sends a request to a token service, and follows it on the same host only: what it holds is
    /// for that host.
    fn follow(
        &self,
        transport: &Transport,
        mut request: Request<'_>,
        deadline: Instant,
    ) -> Result<Response, RegistryError> {
        let mut redirects = 0_usize;
        loop {
            let answer = transport.send(&request, deadline).map_err(|failed| {
                RegistryError::unavailable(format!(
                    "the token service of `{}` failed: {}",
                    self.host, failed.error
                ))
            })?;
            let location = answer.header("location").unwrap_or_default();
            match answer.address.join(location) {
                Some(next)
                    if request.is_redirected_by(answer.status)
                        && redirects < MAX_REDIRECTS
                        && next.is_same_origin(&request.address) =>
                {
                    redirects = redirects.saturating_add(1);
                    request.address = next;
                    request.is_redirected = true;
                }
                _ => return Ok(answer),
            }
        }
    }

    pub(super) fn bad_token(&self, service: &Address, what: &str) -> RegistryError {
        RegistryError::unavailable(format!(
            "the token service of `{}` failed: `{}` {what}",
            self.host,
            service.authority()
        ))
    }
}

fn get(
    realm: &Address,
    service: &TokenService<'_>,
    scope: &str,
    authorization: Option<Secret>,
) -> Request<'static> {
    let mut address = realm.clone();
    if let Some(service) = service.service {
        address = address.with_query("service", service);
    }
    // Several scopes in one challenge are several parameters.
    for scope in scope.split(' ').filter(|scope| !scope.is_empty()) {
        address = address.with_query("scope", scope);
    }
    let mut request = Request::new(Method::GET, address);
    request.limit = Some(MAX_TOKEN_LEN);
    if let Some(authorization) = authorization {
        let header = ("authorization", authorization.expose().to_owned());
        request.headers.push(header);
    }
    request
}

/// A request with a form ([`form`]). Asking for a token twice does no more than asking once.
pub(super) fn post(address: Address, form: &str) -> Request<'_> {
    let mut request = Request::new(Method::POST, address);
    request.limit = Some(MAX_TOKEN_LEN);
    request.repeatable = true;
    request.headers.push(("content-type", FORM.to_owned()));
    request.body = Some(Content::Bytes(form.as_bytes()));
    request
}

pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)));
    fields.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    #[test]
    fn forms_are_encoded() {
        let form = super::form(&[("a", "x&y=z"), ("scope", "q:r"), ("token", "s+")]);
        assert_eq!(form, "a=x%26y%3Dz&scope=q%3Ar&token=s%2B");
    }
}
