//! A request to the registry from beginning to end: scheme, authorization, redirects.

use std::time::Instant;

use super::OciRegistry;
use super::address::{Address, Scheme};
use super::auth::Permission;
use super::credential::Secret;
use super::error_response::is_denial;
use super::request::{MAX_REDIRECTS, Request, Response};
use crate::error::RegistryError;

/// What was tried to be let in with one request.
#[derive(Default)]
struct AuthAttempts {
    /// What the last challenge named.
    scope: Option<String>,
    challenges: u8,
    /// Whether the credentials were read again.
    renewed: bool,
}

impl OciRegistry {
    pub(super) fn address(&self, target: String) -> Address {
        let address = self.base.with_target(target);
        match self.scheme.known_scheme() {
            Some(scheme) => address.with_scheme(scheme),
            None => address,
        }
    }

    /// Sends a request to the registry, with credentials if it wants them, and follows where it
    /// redirects.
    pub(super) fn send(
        &self,
        mut request: Request<'_>,
        permission: Permission<'_>,
    ) -> Result<Response, RegistryError> {
        let mut deadline = self.transport.deadline(&request);
        let mut attempts = AuthAttempts::default();
        let mut redirects = 0_usize;
        loop {
            if request.is_large() {
                // What was sent before may have taken long, and rightly so.
                deadline = self.transport.deadline(&request);
            }
            let registry = self.address("/".to_owned());
            if request.address.is_same_host(&registry) && registry.scheme == Scheme::Https {
                // Found out by another request in the meantime.
                request.address = request.address.with_scheme(Scheme::Https);
            }
            let is_registry = request.address.is_same_origin(&registry);
            let may_authorize = is_registry && self.auth.is_safe(&request.address);
            let authorization = if may_authorize {
                self.authorization(permission, &mut attempts, deadline)?
            } else {
                None
            };
            let mut sent = request.clone();
            if let Some(authorization) = &authorization {
                let header = ("authorization", authorization.expose().to_owned());
                sent.headers.push(header);
            }
            let response = self.transmit(&mut request, sent, is_registry, deadline);
            let response = response.map_err(|failed| failed.error)?;
            match response.status {
                401 if may_authorize => {
                    self.challenged(&response, permission, authorization.as_ref(), &mut attempts)?;
                }
                401 if is_registry => return Err(self.auth.refused(&response, permission)),
                403 | 400 if is_registry && is_denial(&response) => {
                    let may_renew = authorization.is_some() && !attempts.renewed;
                    attempts.renewed = true;
                    if !may_renew || !self.auth.renew_after_denial(permission)? {
                        return Err(self.auth.refused(&response, permission));
                    }
                }
                status if request.is_redirected_by(status) => {
                    redirects = redirects.saturating_add(1);
                    request.address = self.redirect(&response, redirects)?;
                    request.is_redirected = true;
                }
                _ => {
                    if authorization.is_some() {
                        self.auth.accepted();
                    }
                    return Ok(response);
                }
            }
        }
    }

    /// Sends a HEAD; none when it is refused in a way that a GET may not be: some registries and
    /// firewalls know no HEAD.
    pub(super) fn send_head(
        &self,
        request: Request<'_>,
        permission: Permission<'_>,
    ) -> Result<Option<Response>, RegistryError> {
        match self.send(request, permission) {
            Ok(answer) => {
                let is_final = matches!(answer.status, 401 | 404 | 408 | 429);
                let is_refusal = matches!(answer.status, 400..=499 | 501);
                Ok((is_final || !is_refusal).then_some(answer))
            }
            Err(error) if error.status() == Some(403) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The `Authorization` header as far as is known what the registry wants.
    fn authorization(
        &self,
        permission: Permission<'_>,
        attempts: &mut AuthAttempts,
        deadline: Instant,
    ) -> Result<Option<Secret>, RegistryError> {
        let header = |scope| {
            self.auth
                .header(&self.transport, permission, scope, deadline)
        };
        match header(attempts.scope.take()) {
            Err(error) if error.is_unauthorized() && !attempts.renewed => {
                attempts.renewed = true;
                if self.auth.renew(permission)? {
                    header(None)
                } else {
                    Err(error)
                }
            }
            authorization => authorization,
        }
    }

    /// Learns from a 401 what to send the next time; fails when all has been sent.
    fn challenged(
        &self,
        response: &Response,
        permission: Permission<'_>,
        authorization: Option<&Secret>,
        attempts: &mut AuthAttempts,
    ) -> Result<(), RegistryError> {
        // Once to learn what is wanted, once more for a token that has run out, and once more
        // with credentials that have changed since they were read.
        let is_first = attempts.challenges == 0;
        let may_learn = attempts.challenges < 2;
        if may_learn {
            attempts.challenges = attempts.challenges.saturating_add(1);
            match self.auth.learn(response, permission, authorization) {
                Ok(scope) => attempts.scope = scope,
                // Without a word of what is wanted, what was shown may have run out.
                Err(error) if authorization.is_none() => return Err(error),
                Err(_) => {}
            }
        }
        if may_learn && (is_first || authorization.is_none()) {
            return Ok(());
        }
        if attempts.renewed || authorization.is_none() || !self.auth.renew(permission)? {
            return Err(self.auth.refused(response, permission));
        }
        attempts.renewed = true;
        Ok(())
    }

    fn redirect(&self, response: &Response, redirects: usize) -> Result<Address, RegistryError> {
        let host = response.address.authority();
        let refuse = |why: &str| Err(RegistryError::answer(format!("`{host}` redirects {why}")));
        if redirects > MAX_REDIRECTS {
            return refuse("again and again");
        }
        let location = response.header("location").unwrap_or_default();
        // Where the registry itself is reached over plain HTTP, other hosts may be too.
        let may_go_plain = self.base.scheme == Scheme::Http;
        let next = response.address.join(location);
        let next = next.map(|next| next.behind_proxy_of(&response.address));
        match next {
            Some(next) if next.scheme == Scheme::Https || may_go_plain => Ok(next),
            Some(_) => refuse("from a secure connection to plain HTTP"),
            None => refuse("to an invalid address"),
        }
    }
}
