//! Why a request got no response, in words: who failed, and whether trying again may help.

use std::error::Error;
use std::io;

use super::address::Address;
use super::certificates;
use super::client::{CONNECT_TIMEOUT, Failure, HostNotFound};
use super::transport::{Transport, TransportError, TransportErrorKind as Kind};
use crate::error::{RegistryError, excerpt};

impl Transport {
    pub(super) fn failure(&self, address: &Address, failure: Failure) -> TransportError {
        let (error, is_cut) = match failure {
            Failure::Deadline => return TransportError::permanent(self.too_slow(address)),
            Failure::Unusable(error) => return TransportError::permanent(error),
            Failure::TooLarge(what) => {
                return TransportError::permanent(RegistryError::answer(format!(
                    "the answer of `{}` is too large: more than {what}",
                    address.authority()
                )));
            }
            Failure::Http(error) => (error, false),
            Failure::Cut(error) => (error, true),
        };
        if error.is_builder() {
            return TransportError::permanent(RegistryError::answer(format!(
                "`{}` redirects to an invalid address",
                address.authority()
            )));
        }
        let proxy = self.client.proxies.shown(address);
        if let Some(proxy) = proxy.filter(|_| error.is_connect())
            && find::<rustls::Error>(&error).is_none()
        {
            return self.proxy_failure(address, proxy, &error);
        }
        if find::<hyper::Error>(&error).is_some_and(is_too_large) {
            return TransportError::permanent(RegistryError::answer(format!(
                "the answer of `{}` is too large: too many bytes of headers",
                address.authority()
            )));
        }
        let (kind, text) = describe(address, &error);
        TransportError {
            error: RegistryError::unavailable(text),
            kind: match kind {
                // What has begun in HTTP is no sign of another protocol.
                Kind::NotHttp if is_cut => Kind::Transient,
                kind => kind,
            },
        }
    }

    fn proxy_failure(
        &self,
        address: &Address,
        proxy: &str,
        error: &reqwest::Error,
    ) -> TransportError {
        let why = innermost(error);
        if why.contains("proxy authorization required") {
            return self.proxy_wants_credentials(address);
        }
        let text = if error.is_timeout() {
            format!(
                "`{}` could not be reached through the proxy `{proxy}` within {CONNECT_TIMEOUT:?}",
                address.authority()
            )
        } else if find::<io::Error>(error)
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            format!("the proxy `{proxy}` refuses connections: is it running?")
        } else if find::<HostNotFound>(error).is_some() {
            format!("the host of the proxy `{proxy}` was not found: is the name right?")
        } else {
            format!(
                "cannot reach `{}` through the proxy `{proxy}`: {}",
                address.authority(),
                excerpt(&why)
            )
        };
        TransportError {
            error: RegistryError::unavailable(text),
            kind: Kind::Transient,
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

/// A client cannot ask for this otherwise than by its words.
fn is_too_large(error: &hyper::Error) -> bool {
    error.is_parse() && error.to_string().contains("too large")
}

fn describe(address: &Address, error: &reqwest::Error) -> (Kind, String) {
    let host = address.authority();
    if let Some(error) = find::<rustls::Error>(error) {
        let why = certificates::describe(error);
        return (
            Kind::Tls,
            format!("no secure connection to `{host}`: {why}"),
        );
    }
    if error.is_timeout() {
        let text = format!("`{host}` could not be reached within {CONNECT_TIMEOUT:?}");
        return (Kind::Transient, text);
    }
    if find::<HostNotFound>(error).is_some() {
        let text = format!("the host `{host}` was not found: is the name right?");
        return (Kind::Permanent, text);
    }
    if let Some(error) = find::<hyper::Error>(error) {
        if error.is_parse() {
            return (Kind::NotHttp, format!("`{host}` does not answer in HTTP"));
        }
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            return (Kind::NotHttp, format!("the connection to `{host}` was cut"));
        }
    }
    let text = format!(
        "the connection to `{host}` failed: {}",
        excerpt(&innermost(error))
    );
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => (
            Kind::Transient,
            format!("`{host}` refuses connections: is a registry running there?"),
        ),
        Some(io::ErrorKind::UnexpectedEof) => {
            (Kind::NotHttp, format!("the connection to `{host}` was cut"))
        }
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => (Kind::NotHttp, text),
        _ => (Kind::Transient, text),
    }
}

/// The first error of a type in the chain of causes; an I/O error may hold one too.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
