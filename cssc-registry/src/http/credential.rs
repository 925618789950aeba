//! What a person shows a registry to be let in.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the wire only.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What to show a registry that asks. Printing one shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub(super) kind: CredentialKind,
    /// Where it comes from, for messages.
    pub(super) origin: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CredentialKind {
    Password {
        username: String,
        password: Secret,
    },
    /// Turned into tokens by the registry's token service.
    Identity(Secret),
    /// Sent to the registry as it is.
    Access(Secret),
    /// Turned into an identity token by an Azure registry.
    Entra(Secret),
}

impl Credential {
    /// A user name and password.
    pub fn password(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::given(CredentialKind::Password {
            username: username.into(),
            password: Secret::new(password),
        })
    }

    /// A token from elsewhere, told apart by what it says of itself: an access token of the
    /// registry, an Entra access token (as `az account get-access-token` prints it), or else an
    /// identity token, also called refresh token (as `az acr login --expose-token` prints it).
    pub fn token(token: impl Into<String>) -> Self {
        // Printed by a program or kept in a file, it may end with a newline.
        let token = token.into().trim().to_owned();
        let claims = claims(&token).unwrap_or_default();
        let secret = Secret::new(token);
        Self::given(if claims.access.is_some() {
            CredentialKind::Access(secret)
        } else if claims
            .aud
            .as_str()
            .is_some_and(|aud| aud.starts_with("https://"))
        {
            CredentialKind::Entra(secret)
        } else {
            CredentialKind::Identity(secret)
        })
    }

    /// A token that is known to be one to get others with.
    pub(super) fn identity(token: &str) -> Self {
        Self::given(CredentialKind::Identity(Secret::new(token.trim())))
    }

    /// A token that is known to be one for the registry itself.
    pub(super) fn access(token: &str) -> Self {
        Self::given(CredentialKind::Access(Secret::new(token.trim())))
    }

    fn given(kind: CredentialKind) -> Self {
        Self {
            kind,
            origin: "those given".to_owned(),
        }
    }

    pub(super) fn from(self, origin: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            ..self
        }
    }

    /// What the environment says: `CSSC_REGISTRY_TOKEN`, or `CSSC_REGISTRY_USERNAME` and
    /// `CSSC_REGISTRY_PASSWORD`. Empty is unset.
    pub(super) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        // From a file, a value may end with a newline; none that is shown has one.
        let variable = |name| {
            let value = variable(name)?;
            let value = value.trim_end_matches(['\r', '\n']);
            (!value.is_empty()).then(|| value.to_owned())
        };
        if let Some(token) = variable("CSSC_REGISTRY_TOKEN") {
            return Some(Self::token(token).from("those in `CSSC_REGISTRY_TOKEN`"));
        }
        let username = variable("CSSC_REGISTRY_USERNAME")?;
        let password = variable("CSSC_REGISTRY_PASSWORD")?;
        let origin = "those in `CSSC_REGISTRY_USERNAME` and `CSSC_REGISTRY_PASSWORD`";
        Some(Self::password(username, password).from(origin))
    }

    /// The value of an `Authorization` header of the `Basic` kind.
    pub(super) fn basic(&self) -> Option<Secret> {
        // Azure takes identity tokens as the password of this user.
        const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";
        let (username, password) = match &self.kind {
            CredentialKind::Password { username, password } => (username.as_str(), password),
            CredentialKind::Identity(token) => (TOKEN_USER, token),
            CredentialKind::Access(_) | CredentialKind::Entra(_) => return None,
        };
        let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
        Some(Secret::new(format!("Basic {pair}")))
    }
}

/// What a token says of itself, unverified: only its registry can tell whether it is true.
#[derive(Deserialize, Default)]
struct Claims {
    #[serde(default)]
    access: Option<serde_json::Value>,
    #[serde(default)]
    aud: serde_json::Value,
}

fn claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn tokens_are_told_apart() {
        let kind = |token: &str| Credential::token(token).kind;
        let access = jwt(r#"{"access":[],"aud":"a.azurecr.io"}"#);
        assert!(matches!(kind(&access), CredentialKind::Access(_)));
        let entra = jwt(r#"{"aud":"https://management.azure.com/"}"#);
        assert!(matches!(kind(&entra), CredentialKind::Entra(_)));
        let identity = jwt(r#"{"aud":"a.azurecr.io","grant_type":"refresh_token"}"#);
        for token in [identity.as_str(), "opaque", "a.b.c", "", "..."] {
            assert!(
                matches!(kind(token), CredentialKind::Identity(_)),
                "{token}"
            );
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        for credential in [
            Credential::password("me", "hunter2"),
            Credential::token("hunter2"),
            Credential::token(jwt(r#"{"access":"hunter2"}"#)),
        ] {
            let text = format!("{credential:?} {:?}", credential.basic());
            assert!(!text.contains("hunter2"), "{text}");
            assert!(!text.contains("Basic"), "{text}");
        }
    }

    #[test]
    fn the_environment() {
        let from = |pairs: &'static [(&str, &str)]| {
            Credential::from_environment(move |name| {
                let pair = pairs.iter().find(|pair| pair.0 == name);
                pair.map(|pair| pair.1.to_owned())
            })
        };
        assert_eq!(from(&[]), None);
        assert_eq!(from(&[("CSSC_REGISTRY_USERNAME", "me")]), None);
        let lines = from(&[
            ("CSSC_REGISTRY_USERNAME", "me\n"),
            ("CSSC_REGISTRY_PASSWORD", "secret\r\n"),
        ]);
        assert_eq!(
            lines.unwrap().basic(),
            Some(Secret::new("Basic bWU6c2VjcmV0"))
        );
        let token = from(&[("CSSC_REGISTRY_TOKEN", "t\n")]).unwrap();
        assert_eq!(token.kind, CredentialKind::Identity(Secret::new("t")));
        let both = from(&[
            ("CSSC_REGISTRY_TOKEN", ""),
            ("CSSC_REGISTRY_USERNAME", "me"),
            ("CSSC_REGISTRY_PASSWORD", "secret"),
        ]);
        assert_eq!(
            both.unwrap().basic(),
            Some(Secret::new("Basic bWU6c2VjcmV0"))
        );
        let token = from(&[
            ("CSSC_REGISTRY_TOKEN", "t"),
            ("CSSC_REGISTRY_USERNAME", "me"),
        ]);
        assert!(matches!(token.unwrap().kind, CredentialKind::Identity(_)));
    }
}
