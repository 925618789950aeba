//! Registries: a host, perhaps a port, and perhaps a namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::MAX_REPOSITORY_LEN;
use super::error::{NameError, NameErrorKind, What};
use super::repository::repository_fault;

/// A registry: its host, its port if it has one, and the namespace below which its repositories
/// lie if it has one: `myregistry.azurecr.io`, `localhost:5000`, `ghcr.io/acme`.
///
/// A single label without a port is Azure's short form and is completed on parsing, as `az`
/// does; `localhost` is itself.
///
/// A namespace is for registries whose accounts live in one. It stands before the name of every
/// repository: `python` of `ghcr.io/acme` is `ghcr.io/acme/python`.
///
/// ```
/// use cssc_core::Registry;
///
/// let registry: Registry = "myregistry".parse()?;
/// assert_eq!(registry.as_str(), "myregistry.azurecr.io");
/// assert_eq!("[::1]:5000".parse::<Registry>()?.port(), Some(5000));
/// let registry: Registry = "ghcr.io/acme".parse()?;
/// assert_eq!((registry.authority(), registry.namespace()), ("ghcr.io", Some("acme")));
/// # Ok::<(), cssc_core::name::NameError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for what is no host: `https://example.com` (a scheme), `-example.com` (a label
/// that begins with `-`), `example.com:0` (no such port); and for a namespace that no repository
/// can begin with: `ghcr.io/Acme` (upper case), `ghcr.io/` (nothing after the `/`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry(pub(super) Box<str>);

impl Registry {
    /// Host, port and namespace as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host with its port, without the namespace: whom to connect to, and whose credentials
    /// to use.
    pub fn authority(&self) -> &str {
        split_namespace(&self.0).0
    }

    /// The host without the port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        split_port(self.authority()).0
    }

    /// The port, if the name has one.
    pub fn port(&self) -> Option<u16> {
        split_port(self.authority())
            .1
            .and_then(|port| port.parse().ok())
    }

    /// What the names of its repositories begin with, if anything: `acme` of `ghcr.io/acme`.
    pub fn namespace(&self) -> Option<&str> {
        split_namespace(&self.0).1
    }

    /// Whether the host can only be this machine: `localhost`, `127.0.0.0/8` or `::1`.
    pub fn is_loopback(&self) -> bool {
        self.host().eq_ignore_ascii_case("localhost")
            || self
                .ip_address()
                .is_some_and(|address| address.is_loopback())
    }

    /// The same text however the registry is named: the host in lower case, and `localhost` for
    /// its addresses `127.0.0.1` and `[::1]`. (`127.0.0.2` may be another registry.)
    ///
    /// ```
    /// use cssc_core::Registry;
    ///
    /// for name in ["127.0.0.1:5000/team", "[::1]:5000/team", "LocalHost:5000/team"] {
    ///     assert_eq!(name.parse::<Registry>()?.key(), "localhost:5000/team");
    /// }
    /// # Ok::<(), cssc_core::name::NameError>(())
    /// ```
    pub fn key(&self) -> String {
        let (authority, namespace) = split_namespace(&self.0);
        let (host, port) = split_port(authority);
        let is_localhost = self.ip_address().is_some_and(|address| {
            address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST
        });
        let mut key = if is_localhost {
            "localhost".to_owned()
        } else {
            host.to_ascii_lowercase()
        };
        for (separator, part) in [(':', port), ('/', namespace)] {
            if let Some(part) = part {
                key.push(separator);
                key.push_str(part);
            }
        }
        key
    }

    fn ip_address(&self) -> Option<IpAddr> {
        let host = self.host();
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    }
}

impl FromStr for Registry {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |kind| Err(NameError::new(What::Registry, text, kind));
        if text.is_empty() {
            return refuse(NameErrorKind::Empty);
        }
        if text.contains("://") {
            return refuse(NameErrorKind::Scheme);
        }
        if text.len() > MAX_REPOSITORY_LEN {
            return refuse(NameErrorKind::TooLong(MAX_REPOSITORY_LEN));
        }
        let (authority, namespace) = split_namespace(text);
        let (host, port) = split_port(authority);
        let ipv6 = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host_is_valid = match ipv6 {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => host.split('.').all(is_host_label),
        };
        if !host_is_valid {
            return refuse(NameErrorKind::Host);
        }
        if let Some(port) = port
            && !port
                .parse::<u16>()
                .is_ok_and(|number| number != 0 && port.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return refuse(NameErrorKind::Port);
        }
        match namespace.and_then(repository_fault) {
            // What is empty is what follows the slash of `ghcr.io/`.
            Some(NameErrorKind::Empty) => return refuse(NameErrorKind::EmptyComponent),
            Some(kind) => return refuse(kind),
            None => {}
        }
        let is_short_form = ipv6.is_none() && port.is_none() && !host.contains('.');
        if !is_short_form || host.eq_ignore_ascii_case("localhost") {
            return Ok(Self(text.into()));
        }
        let rest = text.strip_prefix(host).unwrap_or_default();
        let completed = format!("{host}.azurecr.io{rest}");
        // The bound is on what is meant, which must be read again as it is.
        if completed.len() > MAX_REPOSITORY_LEN {
            return refuse(NameErrorKind::TooLong(MAX_REPOSITORY_LEN));
        }
        Ok(Self(completed.into()))
    }
}

fn split_namespace(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((authority, namespace)) => (authority, Some(namespace)),
        None => (text, None),
    }
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        // The last colon of `[::1]` belongs to the address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn is_host_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry_error(text: &str) -> String {
        text.parse::<Registry>().unwrap_err().to_string()
    }

    #[test]
    fn registries() {
        for (text, host, port) in [
            ("myregistry", "myregistry.azurecr.io", None),
            ("localhost", "localhost", None),
            ("localhost:5000", "localhost", Some(5000)),
            ("registry:5000", "registry", Some(5000)),
            ("[::1]:5000", "[::1]", Some(5000)),
            ("[::1]", "[::1]", None),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("ghcr.io", "ghcr.io", None),
        ] {
            let registry: Registry = text.parse().unwrap();
            assert_eq!((registry.host(), registry.port()), (host, port), "{text}");
            assert_eq!(registry.as_str().parse::<Registry>().unwrap(), registry);
        }
        assert!("127.0.0.1".parse::<Registry>().unwrap().is_loopback());
        assert!("[::1]:1".parse::<Registry>().unwrap().is_loopback());
        assert!(!"127.example.com".parse::<Registry>().unwrap().is_loopback());
    }

    /// What prints must be read again, the short form too, which is longer then.
    #[test]
    fn a_short_form_is_bounded_by_what_it_stands_for() {
        let longest = MAX_REPOSITORY_LEN - ".azurecr.io".len();
        let registry: Registry = "a".repeat(longest).parse().unwrap();
        assert_eq!(registry.as_str().len(), MAX_REPOSITORY_LEN);
        assert_eq!(registry.as_str().parse::<Registry>().unwrap(), registry);
        let error = registry_error(&"a".repeat(longest + 1));
        assert!(error.contains("255"), "{error}");
    }

    #[test]
    fn namespaces() {
        for (text, authority, namespace) in [
            ("ghcr.io/acme", "ghcr.io", "acme"),
            ("localhost:5000/team/a", "localhost:5000", "team/a"),
            ("[::1]/a", "[::1]", "a"),
            ("myregistry/team", "myregistry.azurecr.io", "team"),
        ] {
            let registry: Registry = text.parse().unwrap();
            assert_eq!(
                (registry.authority(), registry.namespace()),
                (authority, Some(namespace))
            );
            assert_eq!(registry.as_str(), format!("{authority}/{namespace}"));
            assert_eq!(registry.as_str().parse::<Registry>().unwrap(), registry);
        }
        assert_eq!(
            registry_error("ghcr.io/Acme"),
            "`ghcr.io/Acme` is not a valid registry: it must be lower case (`ghcr.io/acme`)"
        );
        for text in ["ghcr.io/", "ghcr.io//a", "ghcr.io/a/"] {
            assert!(registry_error(text).contains("nothing before, between or after a `/`"));
        }
        assert!(registry_error("ghcr.io/a:b").contains("`:` is not allowed"));
    }

    #[test]
    fn only_names_of_one_address_share_a_key() {
        for (name, key) in [
            ("localhost", "localhost"),
            ("127.0.0.1", "localhost"),
            ("[::1]", "localhost"),
            ("[0:0:0:0:0:0:0:1]:5000", "localhost:5000"),
            ("127.0.0.1:5001", "localhost:5001"),
            ("127.0.0.1:5001/a/b", "localhost:5001/a/b"),
            ("127.0.0.2:5000", "127.0.0.2:5000"),
            ("[::2]:5000", "[::2]:5000"),
            ("localhost.example:5000", "localhost.example:5000"),
            ("Registry.example:443/team", "registry.example:443/team"),
        ] {
            assert_eq!(name.parse::<Registry>().unwrap().key(), key);
        }
    }

    #[test]
    fn every_rejected_registry_says_why() {
        assert!(registry_error("https://a.b").contains("leave out the scheme"));
        for text in ["-a.b", "a_b", "a..b", "[::x]:1", ":5000"] {
            assert!(registry_error(text).contains("expected a host"), "{text}");
        }
        for text in ["a.b:0", "a.b:65536", "a.b:+1", "a.b:"] {
            assert!(registry_error(text).contains("from 1 to 65535"), "{text}");
        }
    }
}
