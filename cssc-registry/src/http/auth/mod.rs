//! The `Authorization` of requests: the scheme the registry wants, the credential for it, and
//! the tokens made of that.

mod azure_exchange;
mod bearer;
mod scope;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::bearer::{Token, TokenRequest};
use self::scope::{joined, template};
use super::address::{Address, Scheme};
use super::challenge::Challenge;
use super::credential::{Credential, Secret};
use super::error_response::refusal;
use super::keyring::Keyring;
use super::request::Response;
use super::transport::Transport;
use crate::error::{RegistryError, RegistryErrorKind, excerpt};

pub(super) use self::scope::{Action, Permission};

const MAX_SCOPE_LEN: usize = 4096;
/// How many tokens are kept: one for each repository of a large registry.
const MAX_TOKENS: usize = 20_000;

/// What authorizes requests to one registry.
pub(super) struct Auth {
    /// As people write it, and as their configuration files do.
    host: String,
    plain_http: bool,
    is_loopback: bool,
    keyring: Keyring,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    scheme: AuthScheme,
    /// By scope.
    tokens: BTreeMap<String, Token>,
    /// The identity token an Azure registry gave for an Entra one.
    exchanged: Option<Secret>,
}

/// The authentication scheme the registry has asked for.
#[derive(Default, Clone)]
enum AuthScheme {
    #[default]
    Unknown,
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        /// The scopes it named, `{}` standing for the repository.
        scopes: BTreeMap<Action, String>,
    },
}

impl Auth {
    pub(super) fn new(host: String, plain_http: bool, is_loopback: bool, keyring: Keyring) -> Self {
        Self {
            host,
            plain_http,
            is_loopback,
            keyring,
            state: Mutex::default(),
        }
    }

    /// The `Authorization` header for a request, as far as is known what the registry wants.
    /// `scope` is what it named in its answer to this very request.
    pub(super) fn header(
        &self,
        transport: &Transport,
        permission: Permission<'_>,
        scope: Option<String>,
        deadline: Instant,
    ) -> Result<Option<Secret>, RegistryError> {
        let scheme = self.lock().scheme.clone();
        match scheme {
            AuthScheme::Unknown => Ok(None),
            AuthScheme::Basic => Ok(self
                .credential(permission)?
                .and_then(|credential| credential.basic())),
            AuthScheme::Bearer {
                realm,
                service,
                scopes,
            } => {
                let template = scopes.get(&permission.action);
                let named = scope.or_else(|| Some(template?.replace("{}", permission.repository)));
                let scope = joined(named.as_deref().unwrap_or_default(), permission);
                if let Some(token) = self.lock().tokens.get(&scope)
                    && Instant::now() < token.stale
                {
                    return Ok(Some(token.value.clone()));
                }
                let credential = self.credential(permission)?;
                let wanted = TokenRequest {
                    realm: &realm,
                    service: service.as_deref(),
                    scope: &scope,
                };
                let token = self.fetch_token(transport, &wanted, credential.as_ref(), deadline)?;
                let value = token.value.clone();
                let mut state = self.lock();
                if state.tokens.len() >= MAX_TOKENS {
                    state.tokens.clear();
                }
                state.tokens.insert(scope, token);
                Ok(Some(value))
            }
        }
    }

    /// Learns from an answer that refuses entry what the registry wants, and the scope it names.
    ///
    /// `shown` is what the request had with it.
    pub(super) fn learn(
        &self,
        answer: &Response,
        permission: Permission<'_>,
        shown: Option<&Secret>,
    ) -> Result<Option<String>, RegistryError> {
        let challenge =
            Challenge::choose(answer.all_headers("www-authenticate")).map_err(|asked| {
                let asked = match asked.as_str() {
                    "" => "without saying which authentication it requires".to_owned(),
                    asked => format!("and wants `{}`, which is not supported", excerpt(asked)),
                };
                RegistryError::new(
                    RegistryErrorKind::Unauthorized,
                    format!("`{}` answered 401 Unauthorized {asked}", self.host),
                )
            })?;
        let mut state = self.lock();
        match challenge {
            Challenge::Basic => {
                state.scheme = AuthScheme::Basic;
                Ok(None)
            }
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                let mut scopes = match &state.scheme {
                    AuthScheme::Bearer { scopes, .. } => scopes.clone(),
                    _ => BTreeMap::new(),
                };
                // A token that is refused is not shown again.
                state.tokens.retain(|_, token| Some(&token.value) != shown);
                let scope = scope.filter(|scope| scope.len() <= MAX_SCOPE_LEN);
                if let Some(template) = scope.as_deref().and_then(|s| template(s, permission)) {
                    scopes.insert(permission.action, template);
                }
                state.scheme = AuthScheme::Bearer {
                    realm,
                    service,
                    scopes,
                };
                Ok(scope)
            }
        }
    }

    /// The answer to a request that was refused with all there is to show.
    pub(super) fn refused(&self, answer: &Response, permission: Permission<'_>) -> RegistryError {
        let told = refusal(answer);
        let advice = match self.credential(permission) {
            Ok(Some(credential)) => format!("the credentials used were {}", credential.origin),
            Ok(None) => self.log_in(),
            Err(error) => error.to_string(),
        };
        let message = format!("{told}; {advice}");
        told.retold(RegistryErrorKind::Unauthorized, message)
    }

    fn log_in(&self) -> String {
        format!(
            "there are no credentials for it: log in with `docker login {}`, or set \
             `CSSC_REGISTRY_USERNAME` and `CSSC_REGISTRY_PASSWORD`",
            self.host
        )
    }

    fn credential(&self, permission: Permission<'_>) -> Result<Option<Credential>, RegistryError> {
        self.keyring.find(&self.host, permission.repository)
    }

    /// Whether what is sent to `address` can be read by nobody else, or nobody minds. Loopback is
    /// safe only for a registry that is there itself: another may not send us to our own machine.
    pub(super) fn is_safe(&self, address: &Address) -> bool {
        self.plain_http
            || address.scheme == Scheme::Https
            || (self.is_loopback && address.is_loopback())
    }

    /// Forgets the credential that was found and all that was made of it, where it may have
    /// changed since. Whether there is another one now.
    pub(super) fn renew(&self, permission: Permission<'_>) -> Result<bool, RegistryError> {
        let is_new = self.keyring.renew(&self.host, permission.repository)?;
        if is_new {
            let mut state = self.lock();
            state.tokens.clear();
            state.exchanged = None;
        }
        Ok(is_new)
    }

    /// The registry took what it was shown.
    pub(super) fn accepted(&self) {
        self.keyring.accepted();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn loopback_is_safe_for_a_registry_on_loopback_alone() {
        let auth = |is_loopback| {
            let keyring = Keyring::new(None, Vec::new(), Duration::from_secs(1));
            Auth::new("a.io".to_owned(), false, is_loopback, keyring)
        };
        let token = Address::parse("http://127.0.0.1:5000/token").unwrap();
        assert!(auth(true).is_safe(&token));
        assert!(!auth(false).is_safe(&token));
        assert!(auth(false).is_safe(&Address::parse("https://127.0.0.1/").unwrap()));
    }
}
