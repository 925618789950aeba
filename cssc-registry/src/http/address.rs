//! Addresses a registry gives: where a page goes on, where a blob is, who hands out tokens.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// The longest address that is followed.
const MAX_LEN: usize = 16 << 10;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// An absolute address without user, password or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) scheme: Scheme,
    /// Host and port, lower case; the port as it was written, since it stays when the scheme
    /// turns out to be the other.
    authority: String,
    /// Path and query, beginning with `/`.
    target: String,
}

impl Address {
    /// `target` is path and query.
    pub(super) fn new(scheme: Scheme, authority: &str, target: &str) -> Self {
        Self {
            scheme,
            authority: authority.to_ascii_lowercase(),
            target: target.to_owned(),
        }
    }

    /// Reads an absolute address; none if it is no address, or holds a user or a password.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(scheme))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        if authority.is_empty() || authority.contains('@') {
            return None;
        }
        let target = target.split('#').next().unwrap_or_default();
        let target = match target.strip_prefix('/') {
            Some(_) => target.to_owned(),
            None => format!("/{target}"),
        };
        Some(Self::new(scheme, authority, &target))
    }

    /// Where `reference` leads from here: absolute, or relative in any form.
    pub(super) fn join(&self, reference: &str) -> Option<Self> {
        if reference.len() > MAX_LEN || !reference.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let reference = reference.split('#').next().unwrap_or_default();
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme.as_str()));
        }
        if reference.starts_with('/') {
            return Some(self.with_target(reference.to_owned()));
        }
        // `a:b` before any `/` or `?` is a scheme.
        let first = reference.split(['/', '?']).next().unwrap_or_default();
        if first.contains(':') {
            return Self::parse(reference);
        }
        let path = self.path();
        if reference.is_empty() || reference.starts_with('?') {
            return Some(self.with_target(format!("{path}{reference}")));
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Some(self.with_target(format!("{folder}/{reference}")))
    }

    /// Another path and query on the same host.
    pub(super) fn with_target(&self, target: String) -> Self {
        Self {
            scheme: self.scheme,
            authority: self.authority.clone(),
            target,
        }
    }

    /// The same place, reached otherwise.
    pub(super) fn with_scheme(&self, scheme: Scheme) -> Self {
        Self {
            scheme,
            ..self.clone()
        }
    }

    /// This address, given by a server that is reached at `own`, as it is reached from here: behind
    /// a proxy, servers know their name, and neither the TLS nor the port that ends there.
    pub(super) fn behind_proxy_of(&self, own: &Self) -> Self {
        let is_unaware = own.scheme == Scheme::Https && self.scheme == Scheme::Http;
        if (is_unaware && self.host() == own.host()) || self.is_same_host(own) {
            own.with_target(self.target.clone())
        } else {
            self.clone()
        }
    }

    /// Adds `name=value` to the query.
    pub(super) fn with_query(mut self, name: &str, value: &str) -> Self {
        self.target
            .push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(name);
        self.target.push('=');
        self.target.extend(encode(value));
        self
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Host and port, without a port that goes without saying.
    pub(super) fn authority(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port == self.scheme.default_port() => host,
            _ => &self.authority,
        }
    }

    /// The host alone, an IPv6 address without its brackets.
    pub(super) fn host(&self) -> &str {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => &self.authority,
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> Option<u16> {
        let written = match self.authority.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port,
            _ => self.scheme.default_port(),
        };
        written.parse().ok()
    }

    /// The same host and port, whatever the scheme says about the port.
    pub(super) fn is_same_host(&self, other: &Self) -> bool {
        self.authority() == other.authority()
    }

    /// Whether what is sent to `self` arrives where what is sent to `other` does.
    pub(super) fn is_same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.authority() == other.authority()
    }

    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

/// The whole address. Queries of redirects and token requests may hold secrets: show those with
/// [`Address::path`].
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.as_str(),
            self.authority(),
            self.target
        )
    }
}

/// Percent-encodes all but the characters that stand for themselves everywhere in a query.
pub(super) fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ENCODED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(reference: &str) -> Option<String> {
        let base = Address::parse("https://Example.com:443/v2/a/tags/list?n=10").unwrap();
        base.join(reference).map(|address| address.to_string())
    }

    #[test]
    fn references_in_every_form() {
        for (reference, expected) in [
            (
                "/v2/a/tags/list?last=b",
                "https://example.com/v2/a/tags/list?last=b",
            ),
            ("?last=b", "https://example.com/v2/a/tags/list?last=b"),
            ("list?last=b", "https://example.com/v2/a/tags/list?last=b"),
            ("//other:8443/x#y", "https://other:8443/x"),
            ("http://Other/x?y", "http://other/x?y"),
            ("HTTPS://other", "https://other/"),
            ("", "https://example.com/v2/a/tags/list"),
        ] {
            assert_eq!(join(reference).as_deref(), Some(expected), "{reference}");
        }
        for reference in [
            "https://user:secret@example.com/",
            "ftp://example.com/",
            "javascript:alert(1)",
            "/with space",
            "/with\nbreak",
            "https://",
        ] {
            assert_eq!(join(reference), None, "{reference}");
        }
        assert_eq!(join(&format!("/{}", "a".repeat(MAX_LEN))), None);
    }

    #[test]
    fn loopback_and_origin() {
        let parse = |text| Address::parse(text).unwrap();
        for text in [
            "http://localhost:5000/",
            "http://127.0.0.2/",
            "http://[::1]:5000/",
        ] {
            assert!(parse(text).is_loopback(), "{text}");
        }
        for text in [
            "http://localhost.example.com/",
            "http://10.0.0.1/",
            "http://[::2]/",
        ] {
            assert!(!parse(text).is_loopback(), "{text}");
        }
        assert!(parse("https://a/").is_same_origin(&parse("https://A:443/x")));
        assert!(!parse("https://a/").is_same_origin(&parse("http://a/")));
        assert!(!parse("https://a/").is_same_host(&parse("https://a:8443/")));
    }

    #[test]
    fn a_port_that_was_written_stays() {
        for (host, plain, secure) in [
            ("localhost:80", "localhost", "localhost:80"),
            ("localhost:443", "localhost:443", "localhost"),
            ("localhost", "localhost", "localhost"),
            ("[::1]:80", "[::1]", "[::1]:80"),
        ] {
            let address = Address::new(Scheme::Http, host, "/");
            assert_eq!(address.authority(), plain);
            assert_eq!(address.with_scheme(Scheme::Https).authority(), secure);
        }
    }

    #[test]
    fn what_servers_behind_a_proxy_say_of_themselves() {
        let parse = |text| Address::parse(text).unwrap();
        for (own, given, reached) in [
            ("https://a/", "http://a/x", "https://a/x"),
            ("https://a/", "http://a:80/x", "https://a/x"),
            ("https://a/", "http://a:443/x", "https://a/x"),
            ("https://a/", "http://a:5000/x", "https://a/x"),
            ("https://a:8443/", "http://a/x", "https://a:8443/x"),
            ("http://a:5000/", "https://a:5000/x", "http://a:5000/x"),
            ("https://a/", "https://a:8443/x", "https://a:8443/x"),
            ("https://a/", "http://b/x", "http://b/x"),
        ] {
            let address = parse(given).behind_proxy_of(&parse(own));
            assert_eq!(address.to_string(), reached, "{own} {given}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        let address = Address::parse("https://a/token").unwrap();
        let address = address.with_query("scope", "repository:a:pull,push");
        let address = address.with_query("x", "&=");
        assert_eq!(
            address.target(),
            "/token?scope=repository%3Aa%3Apull%2Cpush&x=%26%3D"
        );
    }
}
