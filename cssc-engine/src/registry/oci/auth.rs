//! Being let in: which credential, in which form, and the tokens made of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::http::Method;

use super::address::{Address, Scheme, encode};
use super::challenge::Challenge;
use super::credential::{Credential, CredentialKind, Secret};
use super::fault::refusal;
use super::keyring::{Keyring, identity};
use super::wire::{Answer, Outgoing, Wire};
use crate::registry::error::{Kind, RegistryError, excerpt};

const MAX_TOKEN_LEN: u64 = 1 << 20;
/// How long a token is good for when its service does not say
/// ([Docker's token specification](https://distribution.github.io/distribution/spec/auth/token/)).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
const MAX_SCOPE_LEN: usize = 4096;
/// How many tokens are kept: one for each repository of a large registry.
const MAX_TOKENS: usize = 20_000;

/// What is to be done with a repository; tokens are made for that and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Pull,
    Push,
    Delete,
}

impl Action {
    fn scope(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
            Self::Delete => "delete",
        }
    }
}

/// A repository and what is to be done with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access<'a> {
    pub(super) repository: &'a str,
    pub(super) action: Action,
}

impl<'a> Access<'a> {
    pub(super) fn pull(repository: &'a str) -> Self {
        Self {
            repository,
            action: Action::Pull,
        }
    }
}

/// Lets requests into one registry.
pub(super) struct Auth {
    /// As people write it, and as their configuration files do.
    host: String,
    plain_http: bool,
    keyring: Keyring,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    way: Way,
    /// By scope.
    tokens: BTreeMap<String, Token>,
    /// The identity token an Azure registry gave for an Entra one.
    exchanged: Option<Secret>,
}

/// What the registry asked for so far.
#[derive(Default, Clone)]
enum Way {
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

struct Token {
    value: Secret,
    /// When to have a new one.
    stale: Instant,
}

/// What a token service answers.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    /// Seconds; some write the number as a text.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl TokenAnswer {
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
    pub(super) fn new(host: String, plain_http: bool, keyring: Keyring) -> Self {
        Self {
            host,
            plain_http,
            keyring,
            state: Mutex::default(),
        }
    }

    /// The `Authorization` header for a request, as far as is known what the registry wants.
    /// `scope` is what it named in its answer to this very request.
    pub(super) fn header(
        &self,
        wire: &Wire,
        access: Access<'_>,
        scope: Option<String>,
        deadline: Instant,
    ) -> Result<Option<Secret>, RegistryError> {
        let way = self.lock().way.clone();
        match way {
            Way::Unknown => Ok(None),
            Way::Basic => match self.credential(access)? {
                Some(credential) => Ok(credential.basic()),
                None => Ok(None),
            },
            Way::Bearer {
                realm,
                service,
                scopes,
            } => {
                let template = scopes.get(&access.action);
                let scope = scope
                    .or_else(|| Some(template?.replace("{}", access.repository)))
                    .unwrap_or_else(|| {
                        format!("repository:{}:{}", access.repository, access.action.scope())
                    });
                if let Some(token) = self.lock().tokens.get(&scope)
                    && Instant::now() < token.stale
                {
                    return Ok(Some(token.value.clone()));
                }
                let credential = self.credential(access)?;
                let asked = Asked {
                    realm: &realm,
                    service: service.as_deref(),
                    scope: &scope,
                };
                let token = self.token(wire, &asked, credential.as_ref(), deadline)?;
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
        answer: &Answer,
        access: Access<'_>,
        shown: Option<&Secret>,
    ) -> Result<Option<String>, RegistryError> {
        let challenge =
            Challenge::choose(answer.all_headers("www-authenticate")).map_err(|asked| {
                let asked = match asked.as_str() {
                    "" => "without saying what it wants".to_owned(),
                    asked => format!("and wants `{}`, which is not supported", excerpt(asked)),
                };
                RegistryError::new(
                    Kind::Unauthorized,
                    format!("`{}` answered 401 Unauthorized {asked}", self.host),
                )
            })?;
        let mut state = self.lock();
        match challenge {
            Challenge::Basic => {
                state.way = Way::Basic;
                Ok(None)
            }
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                let mut scopes = match &state.way {
                    Way::Bearer { scopes, .. } => scopes.clone(),
                    _ => BTreeMap::new(),
                };
                // A token that is refused is not shown again.
                state.tokens.retain(|_, token| Some(&token.value) != shown);
                let scope = scope.filter(|scope| scope.len() <= MAX_SCOPE_LEN);
                if let Some(template) = scope.as_deref().and_then(|s| template(s, access)) {
                    scopes.insert(access.action, template);
                }
                state.way = Way::Bearer {
                    realm,
                    service,
                    scopes,
                };
                Ok(scope)
            }
        }
    }

    /// The answer to a request that was refused with all there is to show.
    pub(super) fn refused(&self, answer: &Answer, access: Access<'_>) -> RegistryError {
        let told = refusal(answer);
        let advice = match self.credential(access) {
            Ok(Some(credential)) => format!("the credentials shown were {}", credential.origin),
            Ok(None) => self.log_in(),
            Err(error) => error.to_string(),
        };
        RegistryError::new(Kind::Unauthorized, format!("{told}; {advice}"))
    }

    fn log_in(&self) -> String {
        format!(
            "there are no credentials for it: log in with `docker login {}`, or set \
             `CSSC_REGISTRY_USERNAME` and `CSSC_REGISTRY_PASSWORD`",
            self.host
        )
    }

    fn credential(&self, access: Access<'_>) -> Result<Option<Credential>, RegistryError> {
        self.keyring.find(&self.host, access.repository)
    }

    /// Whether what is sent to `address` can be read by nobody else, or nobody minds.
    pub(super) fn is_safe(&self, address: &Address) -> bool {
        self.plain_http || address.is_private()
    }

    fn token(
        &self,
        wire: &Wire,
        asked: &Asked<'_>,
        credential: Option<&Credential>,
        deadline: Instant,
    ) -> Result<Token, RegistryError> {
        let realm = Address::parse(asked.realm).ok_or_else(|| {
            RegistryError::answer(format!(
                "`{}` names `{}` as its token service, which is no address",
                self.host,
                excerpt(asked.realm)
            ))
        })?;
        if !self.is_safe(&realm) {
            return Err(RegistryError::new(
                Kind::Unauthorized,
                format!(
                    "`{}` wants credentials to be sent to `{}` over plain HTTP, \
                     which is done only if plain HTTP is asked for",
                    self.host,
                    realm.authority()
                ),
            ));
        }
        let form = Form::new()
            .with("client_id", "cssc")
            .with("service", asked.service.unwrap_or(&self.host));
        let request = match credential.map(|credential| &credential.kind) {
            Some(CredentialKind::Access(token)) => {
                return Ok(Token {
                    value: Secret::new(format!("Bearer {}", token.expose())),
                    stale: deadline,
                });
            }
            Some(CredentialKind::Identity(token)) => Ask::Form(form.refresh(token, asked.scope)),
            Some(CredentialKind::Entra(token)) => {
                let token = self.exchange(wire, &realm, token, deadline)?;
                Ask::Form(form.refresh(&token, asked.scope))
            }
            Some(CredentialKind::Password { .. }) | None => {
                let mut address = realm.clone();
                if let Some(service) = asked.service {
                    address = address.with_query("service", service);
                }
                // Several scopes in one challenge are several parameters.
                for scope in asked.scope.split(' ').filter(|scope| !scope.is_empty()) {
                    address = address.with_query("scope", scope);
                }
                Ask::Query(address, credential.and_then(Credential::basic))
            }
        };
        let answer = self.ask(wire, &realm, request, credential, deadline)?;
        let stale = Instant::now().checked_add(answer.life().mul_f64(0.8));
        let value = (answer.token.filter(|token| !token.is_empty()))
            .or(answer.access_token.filter(|token| !token.is_empty()))
            .ok_or_else(|| self.bad_token(&realm, "answered without a token"))?;
        // Anything else could smuggle in another header.
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.bad_token(&realm, "gave a token that is none"));
        }
        Ok(Token {
            value: Secret::new(format!("Bearer {value}")),
            stale: stale.unwrap_or(deadline),
        })
    }

    /// Has an Azure registry turn an Entra token into an identity token of its own
    /// (`/oauth2/exchange`, beside its token service).
    fn exchange(
        &self,
        wire: &Wire,
        realm: &Address,
        token: &Secret,
        deadline: Instant,
    ) -> Result<Secret, RegistryError> {
        if let Some(exchanged) = &self.lock().exchanged {
            return Ok(exchanged.clone());
        }
        let registry = Address::new(Scheme::Https, &self.host, "/oauth2/exchange");
        // The token is good for more than this registry: it goes to the registry alone.
        if registry.authority() != realm.authority() {
            return Err(self.bad_token(
                realm,
                "is not the registry itself, so that an Entra token is not shown to it",
            ));
        }
        let address = realm.with_target("/oauth2/exchange".to_owned());
        let form = Form::new()
            .with("grant_type", "access_token")
            .with("service", &self.host)
            .with("access_token", token.expose());
        let credential = identity("");
        let answer = self.ask(wire, &address, Ask::Form(form), Some(&credential), deadline)?;
        let exchanged = (answer.refresh_token)
            .map(Secret::new)
            .ok_or_else(|| self.bad_token(&address, "answered without a token"))?;
        self.lock().exchanged = Some(exchanged.clone());
        Ok(exchanged)
    }

    fn ask(
        &self,
        wire: &Wire,
        service: &Address,
        ask: Ask,
        credential: Option<&Credential>,
        deadline: Instant,
    ) -> Result<TokenAnswer, RegistryError> {
        let form;
        let request = match ask {
            Ask::Query(address, basic) => {
                let mut request = Outgoing::get(address, MAX_TOKEN_LEN);
                if let Some(basic) = basic {
                    let header = ("authorization", basic.expose().to_owned());
                    request.headers.push(header);
                }
                request
            }
            Ask::Form(ask) => {
                form = ask.0;
                let mut request = Outgoing::get(service.clone(), MAX_TOKEN_LEN);
                request.method = Method::POST;
                let kind = "application/x-www-form-urlencoded".to_owned();
                request.headers.push(("content-type", kind));
                request.body = Some(form.as_bytes());
                request
            }
        };
        let answer = wire.send(&request, deadline).map_err(|silence| {
            RegistryError::unavailable(format!(
                "the token service of `{}` failed: {}",
                self.host, silence.error
            ))
        })?;
        if !answer.is_success() {
            let told = refusal(&answer);
            // What it refuses with a 4xx is us; anything else is its own trouble.
            let kind = match answer.status {
                400..=404 => Kind::Unauthorized,
                _ => Kind::Unavailable,
            };
            let advice = match credential {
                _ if kind == Kind::Unavailable => String::new(),
                Some(credential) => format!("; the credentials shown were {}", credential.origin),
                None => format!("; {}", self.log_in()),
            };
            return Err(RegistryError::new(
                kind,
                format!(
                    "the token service of `{}` refused: {told}{advice}",
                    self.host
                ),
            ));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| self.bad_token(service, "did not answer in the JSON expected"))
    }

    fn bad_token(&self, service: &Address, what: &str) -> RegistryError {
        RegistryError::unavailable(format!(
            "the token service of `{}` failed: `{}` {what}",
            self.host,
            service.authority()
        ))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the registry said that a token is to be asked for with.
struct Asked<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scope: &'a str,
}

enum Ask {
    Query(Address, Option<Secret>),
    Form(Form),
}

/// The body of a form.
struct Form(String);

impl Form {
    fn new() -> Self {
        Self(String::new())
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&encode(value));
        self
    }

    fn refresh(self, token: &Secret, scope: &str) -> Self {
        self.with("grant_type", "refresh_token")
            .with("scope", scope)
            .with("refresh_token", token.expose())
    }
}

/// The scope a registry named, with a hole for the repository, so that a token for the next one
/// can be asked for in the same words. None when it is about something else.
fn template(scope: &str, access: Access<'_>) -> Option<String> {
    let repository = format!("repository:{}:", access.repository);
    (scope.contains(&repository) && !scope.contains("{}"))
        .then(|| scope.replace(&repository, "repository:{}:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_learnt() {
        let access = Access {
            repository: "org/app",
            action: Action::Pull,
        };
        assert_eq!(
            template("repository:org/app:metadata_read,pull", access).as_deref(),
            Some("repository:{}:metadata_read,pull")
        );
        for scope in ["registry:catalog:*", "repository:org/app2:pull", ""] {
            assert_eq!(template(scope, access), None, "{scope}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        let form = Form::new()
            .with("a", "x&y=z")
            .refresh(&Secret::new("s+"), "q:r");
        assert_eq!(
            form.0,
            "a=x%26y%3Dz&grant_type=refresh_token&scope=q%3Ar&refresh_token=s%2B"
        );
    }
}
