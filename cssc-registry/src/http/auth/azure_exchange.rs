//! Entra tokens at registries of Azure.

use std::time::Instant;

use super::Auth;
use super::bearer::{form, post};
use crate::error::RegistryError;
use crate::http::address::{Address, Scheme};
use crate::http::credential::{Credential, Secret};
use crate::http::transport::Transport;

impl Auth {
    /// Has an Azure registry turn an Entra token into an identity token of its own
    /// (`/oauth2/exchange`, beside its token service).
    pub(super) fn exchange(
        &self,
        transport: &Transport,
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
                "is not the registry itself, so no Entra token is sent to it",
            ));
        }
        let address = realm.with_target("/oauth2/exchange".to_owned());
        let form = form(&[
            ("client_id", "cssc"),
            ("grant_type", "access_token"),
            ("service", &self.host),
            ("access_token", token.expose()),
        ]);
        let request = post(address.clone(), &form);
        let credential = Credential::identity("");
        let answer = self.ask_service(transport, request, Some(&credential), deadline)?;
        let exchanged = (answer.refresh_token)
            .map(Secret::new)
            .ok_or_else(|| self.bad_token(&address, "answered without a token"))?;
        self.lock().exchanged = Some(exchanged.clone());
        Ok(exchanged)
    }
}
