//! Why a request got no response, in words: who failed, and whether trying again may help.

use std::error::Error;
use std::io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, UnexpectedEof};
use std::{io, iter};

use super::address::Address;
use super::certificates;
use super::client::{CONNECT_TIMEOUT, Failure};
use super::transport::Kind::{self, NotHttp, Permanent, Tls, Transient};
use super::transport::{Transport, TransportError};
use crate::error::{RegistryError, excerpt};

impl Transport {
    pub(super) fn failure(&self, address: &Address, failure: Failure) -> TransportError {
        let host = address.authority();
        let error = match failure {
            Failure::Deadline => return TransportError::permanent(self.too_slow(address)),
            Failure::Permanent(error) => return TransportError::permanent(error),
            Failure::TooLarge(why) => {
                let text = format!("the answer of `{host}` is too large: {why}");
                return TransportError::permanent(RegistryError::answer(text));
            }
            Failure::Http(error) => error,
        };
        let proxy = self.client.proxies.shown(address);
        let proxy = proxy.filter(|_| error.is_connect());
        if proxy.is_some() && innermost(&error).contains("proxy authorization required") {
            return self.proxy_wants_credentials(address);
        }
        if let Some(error) = find::<RegistryError>(&error) {
            // What was to be sent could not be read.
            return TransportError::permanent(error.clone());
        }
        if error.is_builder() {
            let text = format!("`{host}` redirects to an invalid address");
            return TransportError::permanent(RegistryError::answer(text));
        }
        if let Some(error) = find(&error).and_then(certificates::no_verifier) {
            return TransportError { error, kind: Tls };
        }
        let hyper = find::<hyper::Error>(&error);
        if hyper.is_some_and(|error| error.is_parse() && error.to_string().contains("too large")) {
            let why = "too many bytes of headers".to_owned();
            return self.failure(address, Failure::TooLarge(why));
        }
        let (kind, text) = describe(host, proxy, &error);
        // What has begun in HTTP is no sign of another protocol.
        let has_begun = kind == NotHttp && !error.is_request();
        TransportError {
            error: RegistryError::unavailable(text),
            kind: if has_begun { Transient } else { kind },
        }
    }

    pub(super) fn proxy_wants_credentials(&self, address: &Address) -> TransportError {
        let text = match self.client.proxies.shown(address) {
            Some(proxy) => format!(
                "the proxy `{proxy}` rejected the credentials (407 Proxy Authentication Required): \
                 give them as `http://USER:PASSWORD@HOST:PORT`"
            ),
            None => format!(
                "`{}` answered 407 Proxy Authentication Required, although it is not a proxy",
                address.authority()
            ),
        };
        TransportError::permanent(RegistryError::unavailable(text))
    }

    pub(super) fn too_slow(&self, address: &Address) -> RegistryError {
        RegistryError::unavailable(format!(
            "`{}` did not answer within {:?}",
            address.authority(),
            self.timeout
        ))
    }
}

/// What failed between here and `host`, or the proxy on the way to it.
pub(super) fn describe(host: &str, proxy: Option<&str>, error: &reqwest::Error) -> (Kind, String) {
    if let Some(error) = find(error) {
        let why = certificates::describe(error);
        return (Tls, format!("no secure connection to `{host}`: {why}"));
    }
    let through = proxy.map_or(String::new(), |proxy| {
        format!(" through the proxy `{proxy}`")
    });
    let whose = proxy.map_or(format!("`{host}`"), |proxy| {
        format!("of the proxy `{proxy}`")
    });
    // The resolver's error has no other sign.
    let is_unknown = chain(error).any(|error| error.to_string() == "dns error");
    let hyper = find::<hyper::Error>(error);
    let is_cut = hyper.is_some_and(|error| {
        error.is_incomplete_message() || error.is_closed() || error.is_canceled()
    });
    let why = excerpt(&innermost(error));
    let failed = format!("the connection to `{host}` failed: {why}");
    match (find(error).map(io::Error::kind), proxy) {
        _ if error.is_timeout() => (
            Transient,
            format!("`{host}` could not be reached{through} within {CONNECT_TIMEOUT:?}"),
        ),
        // A proxy may be known later, when the network is there.
        _ if is_unknown => (
            if proxy.is_some() {
                Transient
            } else {
                Permanent
            },
            format!("the host {whose} was not found: is the name right?"),
        ),
        (Some(ConnectionRefused), Some(proxy)) => (
            Transient,
            format!("the proxy `{proxy}` refuses connections: is it running?"),
        ),
        (_, Some(_)) => (Transient, format!("cannot reach `{host}`{through}: {why}")),
        (Some(ConnectionRefused), None) => (
            Transient,
            format!("`{host}` refuses connections: is a registry running there?"),
        ),
        _ if hyper.is_some_and(hyper::Error::is_parse) => {
            (NotHttp, format!("`{host}` does not answer in HTTP"))
        }
        _ if is_cut => (NotHttp, format!("the connection to `{host}` was cut")),
        (Some(UnexpectedEof), _) => (NotHttp, format!("the connection to `{host}` was cut")),
        (Some(ConnectionReset | BrokenPipe), _) => (NotHttp, failed),
        _ => (Transient, failed),
    }
}

/// The first error of a type among the causes.
fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn innermost(error: &reqwest::Error) -> String {
    let last = chain(error).last();
    last.map(ToString::to_string).unwrap_or_default()
}

/// An error and its causes; an I/O error may hold one too.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    iter::successors(Some(first), |&error| {
        match error.downcast_ref().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        }
    })
}
