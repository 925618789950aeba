//! Which proxy the environment names for an address, by the rules of curl and Go:
//! `HTTP_PROXY` for plain HTTP, `HTTPS_PROXY` for TLS, `ALL_PROXY` for either, unless `NO_PROXY`
//! names the host.

use std::env;
use std::net::IpAddr;

use super::address::{Address, Scheme};
use crate::error::{RegistryError, excerpt};

const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies of the environment.
#[derive(Default)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// The address of a proxy, or why the variable that names it cannot be used.
type Proxy = Result<Named, RegistryError>;

#[derive(Clone)]
struct Named {
    url: String,
    /// Scheme, host and port, without the password.
    shown: String,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, PartialEq, Eq)]
enum Exception {
    Any,
    Network(IpAddr, u8),
    /// The host or a domain above it, and perhaps the only port that is meant.
    Domain(String, Option<u16>),
    Below(String, Option<u16>),
}

impl Proxies {
    pub(super) fn from_environment() -> Self {
        Self::new(|name| env::var(name).ok())
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = variable(name)?;
                let value = value.trim();
                (!value.is_empty()).then(|| parse(name, value))
            })
        };
        // In a CGI program a client sets `HTTP_PROXY` with a header of that name.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let http: &[&str] = if is_cgi {
            &["http_proxy", "all_proxy", "ALL_PROXY"]
        } else {
            &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        };
        let https = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        let exceptions = variable("no_proxy").or_else(|| variable("NO_PROXY"));
        Self {
            http: first(http),
            https: first(&https),
            exceptions: exceptions.as_deref().map(exceptions_in).unwrap_or_default(),
        }
    }

    /// The URL of the proxy to reach `address` through. None stands between a machine and itself.
    pub(super) fn of(&self, address: &Address) -> Result<Option<&str>, RegistryError> {
        Ok(self.named(address)?.map(|proxy| proxy.url.as_str()))
    }

    /// The proxy for `address` as it may be shown.
    pub(super) fn shown(&self, address: &Address) -> Option<&str> {
        let named = self.named(address).ok()??;
        Some(named.shown.as_str())
    }

    fn named(&self, address: &Address) -> Result<Option<&Named>, RegistryError> {
        let proxy = match address.scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        let Some(proxy) = proxy else { return Ok(None) };
        if address.is_loopback() || self.exceptions.iter().any(|rule| rule.holds(address)) {
            return Ok(None);
        }
        proxy.as_ref().map(Some).map_err(RegistryError::clone)
    }
}

fn parse(name: &str, value: &str) -> Proxy {
    let url = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    let parsed = reqwest::Url::parse(&url).ok();
    let usable = parsed.filter(|url| SCHEMES.contains(&url.scheme()) && url.has_host());
    let Some(usable) = usable else {
        // It may hold a password.
        let shown = value.rsplit('@').next().unwrap_or_default();
        return Err(RegistryError::input(format!(
            "`{name}` names no proxy that can be used: `{}`; expected `http://HOST:PORT` or \
             `socks5://HOST:PORT`",
            excerpt(shown)
        )));
    };
    let port = usable.port().map(|port| format!(":{port}"));
    let shown = format!(
        "{}://{}{}",
        usable.scheme(),
        usable.host_str().unwrap_or_default(),
        port.unwrap_or_default()
    );
    Ok(Named { url, shown })
}

fn exceptions_in(list: &str) -> Vec<Exception> {
    let entries = list.split([',', ' ', '\t']);
    entries.filter_map(exception).collect()
}

fn exception(entry: &str) -> Option<Exception> {
    let entry = entry.trim().to_ascii_lowercase();
    if entry.is_empty() {
        return None;
    }
    if entry == "*" {
        return Some(Exception::Any);
    }
    if let Some((network, length)) = entry.split_once('/') {
        return Some(Exception::Network(
            network.parse().ok()?,
            length.parse().ok()?,
        ));
    }
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Exception::Network(address, 128));
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) => (host.to_owned(), Some(port.parse().ok()?)),
        None => (entry, None),
    };
    let host = host.trim_start_matches('*').trim_end_matches('.');
    Some(match host.strip_prefix('.') {
        Some(domain) => Exception::Below(domain.to_owned(), port),
        None => Exception::Domain(host.to_owned(), port),
    })
}

impl Exception {
    fn holds(&self, address: &Address) -> bool {
        let host = address.host();
        let is_port = |port: &Option<u16>| port.is_none_or(|port| address.port() == Some(port));
        let is_below = |domain: &str| {
            host.strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        match self {
            Self::Any => true,
            Self::Network(network, length) => {
                let asked = host.parse();
                asked.is_ok_and(|asked| is_within(asked, *network, *length))
            }
            Self::Domain(domain, port) => is_port(port) && (host == domain || is_below(domain)),
            Self::Below(domain, port) => is_port(port) && is_below(domain),
        }
    }
}

fn is_within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits().into(), network.to_bits().into(), 32_u8)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let differing: u128 = address ^ network;
    let ignored = width.saturating_sub(length);
    differing.checked_shr(ignored.into()).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::new(|name| {
            let pair = pairs.iter().find(|pair| pair.0 == name);
            pair.map(|pair| pair.1.to_owned())
        })
    }

    fn of(pairs: &[(&str, &str)], address: &str) -> Option<String> {
        let proxies = proxies(pairs);
        let address = Address::parse(address).unwrap();
        proxies.of(&address).unwrap().map(str::to_owned)
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let all = [
            ("HTTP_PROXY", "one:1"),
            ("https_proxy", "https://two:2"),
            ("ALL_PROXY", "socks5h://three:3"),
        ];
        assert_eq!(of(&all, "http://a/").as_deref(), Some("http://one:1"));
        assert_eq!(of(&all, "https://a/").as_deref(), Some("https://two:2"));
        assert_eq!(
            of(&all[2..], "http://a/").as_deref(),
            Some("socks5h://three:3")
        );
        assert_eq!(of(&all[..1], "https://a/"), None);
        assert_eq!(of(&all, "http://localhost:5000/"), None);
        let cgi = [all[0], ("REQUEST_METHOD", "GET")];
        assert_eq!(of(&cgi, "http://a/"), None);
    }

    #[test]
    fn exceptions_in_every_form() {
        for (list, address, is_exempt) in [
            ("a.example.com", "https://a.example.com/", true),
            ("example.com", "https://a.example.com/", true),
            ("example.com", "https://aexample.com/", false),
            (".example.com", "https://a.example.com/", true),
            (".example.com", "https://example.com/", false),
            ("*.example.com", "https://a.example.com/", true),
            ("x, Example.COM , y", "https://example.com/", true),
            ("x example.com", "https://example.com/", true),
            ("example.com:8443", "https://example.com:8443/", true),
            ("example.com:443", "https://example.com/", true),
            ("example.com:8443", "https://example.com/", false),
            ("10.0.0.0/8", "https://10.1.2.3:5000/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("10.0.0.0/33", "https://10.0.0.1/", false),
            ("10.0.0.1", "https://10.0.0.1:5000/", true),
            ("10.0.0.1", "https://10.0.0.2:5000/", false),
            ("fd00::/8", "https://[fd00::1]:5000/", true),
            ("[fd00::1]", "https://[fd00::1]/", true),
            ("0.0.0.0/0", "https://example.com/", false),
            ("*", "https://example.com/", true),
            (",", "https://example.com/", false),
        ] {
            let pairs = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", list)];
            assert_eq!(of(&pairs, address).is_none(), is_exempt, "{list} {address}");
        }
    }

    #[test]
    fn what_is_no_proxy() {
        for value in ["ftp://p:1", "http://", "http://p:port", "://"] {
            let proxies = proxies(&[("HTTPS_PROXY", value)]);
            let address = Address::parse("https://a/").unwrap();
            assert_eq!(
                proxies.of(&address).unwrap_err().to_string(),
                format!(
                    "`HTTPS_PROXY` names no proxy that can be used: `{value}`; expected \
                     `http://HOST:PORT` or `socks5://HOST:PORT`"
                )
            );
        }
        let secret = proxies(&[("HTTPS_PROXY", "ftp://me:hunter2@p")]);
        let address = Address::parse("https://a/").unwrap();
        let told = format!(
            "{} {:?}",
            secret.of(&address).unwrap_err(),
            secret.shown(&address)
        );
        assert!(!told.contains("hunter2"), "{told}");
        let good = proxies(&[("HTTPS_PROXY", "http://me:hunter2@p:3128")]);
        assert_eq!(good.shown(&address), Some("http://p:3128"));
    }
}
