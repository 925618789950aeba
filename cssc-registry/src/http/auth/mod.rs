//! The `Authorization` of requests: the scheme the registry wants, the credential for it, and
//! the tokens made of that.

mod azure_exchange;
mod bearer;
mod scope;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::bearer::{Token, TokenService};
use self::scope::{candidates, template};
use super::address::{Address, Scheme};
use super::challenge::Challenge;
use super::credential::{Credential, Secret};
use super::error_response::refusal;
use super::keyring::{Keyring, RENEWAL_PAUSE};
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
    /// Where it is reached.
    own: Address,
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
    /// When a credential was looked for after a denial, and was the same.
    renewed_in_vain: Option<Instant>,
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

impl State {
    /// Asks for the same scope of other repositories first the next time.
    fn remember(&mut self, scope: &str, permission: Permission<'_>) {
        if let (AuthScheme::Bearer { scopes, .. }, Some(template)) =
            (&mut self.scheme, template(scope, permission))
        {
            scopes.insert(permission.action, template);
        }
    }
}

impl Auth {
    pub(super) fn new(
        host: String,
        own: Address,
        plain_http: bool,
        is_loopback: bool,
        keyring: Keyring,
    ) -> Self {
        Self {
            host,
            own,
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
            AuthScheme::Basic => {
                let (credential, _) = self.usable_credential(permission);
                Ok(credential.and_then(|credential| credential.basic()))
            }
            AuthScheme::Bearer {
                realm,
                service,
                scopes,
            } => {
                let template = scopes.get(&permission.action);
                let named = scope.or_else(|| Some(template?.replace("{}", permission.repository)));
                let scopes = candidates(named.as_deref().unwrap_or_default(), permission);
                let service = TokenService {
                    realm: &realm,
                    service: service.as_deref(),
                };
                let token = self.token(transport, &service, &scopes, permission, deadline);
                token.map(Some)
            }
        }
    }

    /// A token for the first of some scopes that the token service knows.
    fn token(
        &self,
        transport: &Transport,
        service: &TokenService<'_>,
        scopes: &[String],
        permission: Permission<'_>,
        deadline: Instant,
    ) -> Result<Secret, RegistryError> {
        // Looked for when it is needed: with a helper it takes time.
        let mut found = None;
        let mut refused = None;
        for scope in scopes {
            if let Some(token) = self.lock().tokens.get(scope)
                && Instant::now() < token.stale
            {
                return Ok(token.value.clone());
            }
            let (credential, _) = found.get_or_insert_with(|| self.usable_credential(permission));
            match self.fetch_token(transport, service, scope, credential.as_ref(), deadline) {
                Ok(token) => return Ok(self.keep(token, scope, permission, refused.is_some())),
                Err(error) if error.status() == Some(400) => {
                    refused.get_or_insert(error);
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let refused =
            refused.unwrap_or_else(|| RegistryError::input("there is no scope to ask for"));
        // It might have been let in with what could not be read.
        let failure = found.and_then(|(_, failure)| failure);
        Err(failure
            .filter(|_| refused.is_unauthorized())
            .unwrap_or(refused))
    }

    /// Keeps a token, and where others were refused, the scope to ask for the next time.
    fn keep(
        &self,
        token: Token,
        scope: &str,
        permission: Permission<'_>,
        is_learnt: bool,
    ) -> Secret {
        let value = token.value.clone();
        let mut state = self.lock();
        if state.tokens.len() >= MAX_TOKENS {
            state.tokens.clear();
        }
        state.tokens.insert(scope.to_owned(), token);
        if is_learnt {
            state.remember(scope, permission);
        }
        value
    }

    /// The credential, or why it cannot be read: then the registry is asked without, since it may
    /// be open to all.
    fn usable_credential(
        &self,
        permission: Permission<'_>,
    ) -> (Option<Credential>, Option<RegistryError>) {
        match self.credential(permission) {
            Ok(credential) => (credential, None),
            Err(failure) => (None, Some(failure)),
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
            // It might have been let in with what could not be read.
            Err(failure) => return failure,
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

    /// The same after a refusal that may be one of what was shown, or of the right to do this: some
    /// registries say with a 403 or a 400 that a credential has run out. Where there is no other
    /// one, it is not looked for at each refusal.
    pub(super) fn renew_after_denial(
        &self,
        permission: Permission<'_>,
    ) -> Result<bool, RegistryError> {
        let before = self.lock().renewed_in_vain;
        if before.is_some_and(|before| before.elapsed() < RENEWAL_PAUSE) {
            return Ok(false);
        }
        let is_new = self.renew(permission)?;
        self.lock().renewed_in_vain = (!is_new).then(Instant::now);
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
            let own = Address::new(Scheme::Https, "a.io", "/");
            Auth::new("a.io".to_owned(), own, false, is_loopback, keyring)
        };
        let token = Address::parse("http://127.0.0.1:5000/token").unwrap();
        assert_eq!(
            (auth(false).token_service("http://a.io:80/token")).map(|found| found.to_string()),
            Ok("https://a.io/token".to_owned())
        );
        assert!(auth(false).token_service("http://b.io/token").is_err());
        assert!(auth(true).is_safe(&token));
        assert!(!auth(false).is_safe(&token));
        assert!(auth(false).is_safe(&Address::parse("https://127.0.0.1/").unwrap()));
    }
}
