//! Which proxy the environment names for an address: `HTTP_PROXY` for plain HTTP, `HTTPS_PROXY`
//! for TLS, `ALL_PROXY` for either, unless `NO_PROXY` names the host.
//!
//! What a value means the HTTP client's own matcher says. It passes over what it does not
//! understand and would let the connection go directly: a variable that names no proxy is an error
//! here, and of an entry of `NO_PROXY` everything counts that curl or Go understand.

use std::env;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use super::address::{Address, Scheme};
use crate::error::{RegistryError, excerpt};

/// The proxies of the environment.
#[derive(Default)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// The entries of `NO_PROXY`.
    exceptions: Vec<String>,
}

/// The address of a proxy, or why the variable that names it cannot be used.
type Proxy = Result<Named, RegistryError>;

struct Named {
    url: Url,
    /// Scheme, host and port, without the password.
    shown: String,
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
        let exceptions = variable("no_proxy").or_else(|| variable("NO_PROXY"));
        let exceptions = exceptions.unwrap_or_default();
        Self {
            http: first(http),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            exceptions: exceptions
                .split([',', ' ', '\t'])
                .map(str::to_owned)
                .collect(),
        }
    }

    /// The URL of the proxy to reach `address` through. None stands between a machine and itself.
    pub(super) fn of(&self, address: &Address) -> Result<Option<&Url>, RegistryError> {
        Ok(self.named(address)?.map(|proxy| &proxy.url))
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
        match proxy {
            Some(proxy) if !address.is_loopback() && !self.is_exempt(address) => {
                proxy.as_ref().map(Some).map_err(RegistryError::clone)
            }
            _ => Ok(None),
        }
    }

    fn is_exempt(&self, address: &Address) -> bool {
        let hosts = self.exceptions.iter();
        let hosts: Vec<_> = hosts.filter_map(|entry| host_of(entry, address)).collect();
        let matcher = Matcher::builder()
            .all("http://any".to_owned())
            .no(hosts.join(","))
            .build();
        let address = address.to_string().parse();
        address.is_ok_and(|address| matcher.intercept(&address).is_none())
    }
}

fn parse(name: &str, value: &str) -> Proxy {
    let url = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    // A password may hold letters that a URL has to encode.
    let url = Url::parse(&url).ok();
    let any = hyper::Uri::from_static("http://any");
    let matcher = Matcher::builder().all(url.as_ref().map_or("", Url::as_str).to_owned());
    let (Some(proxy), Some(url)) = (matcher.build().intercept(&any), url) else {
        // It may hold a password.
        let shown = value.rsplit('@').next().unwrap_or_default();
        return Err(RegistryError::input(format!(
            "`{name}` names no proxy that can be used: `{}`; expected `http://HOST:PORT` or \
             `socks5://HOST:PORT`",
            excerpt(shown)
        )));
    };
    let shown = proxy.uri().to_string();
    Ok(Named {
        url,
        shown: shown.trim_end_matches('/').to_owned(),
    })
}

/// What the matcher is to know of an entry of `NO_PROXY` for `address`: the host without its
/// brackets, if no other port is meant. `.example.com` is not `example.com`, as the matcher has it.
fn host_of<'a>(entry: &'a str, address: &Address) -> Option<&'a str> {
    let host = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (port.parse().ok() == address.port()).then_some(host)?
        }
        _ => entry,
    };
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
    let host = host
        .strip_prefix('*')
        .filter(|rest| !rest.is_empty())
        .unwrap_or(host);
    let below = host.strip_prefix('.');
    let is_itself = below.is_some_and(|domain| domain.eq_ignore_ascii_case(address.host()));
    (!is_itself).then_some(host)
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
        proxies
            .of(&address)
            .unwrap()
            .map(|url| url.as_str().trim_end_matches('/').to_owned())
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
        let encoded = proxies(&[("HTTPS_PROXY", "http://me:h|nter^2 \u{e9}@p:3128")]);
        assert_eq!(encoded.shown(&address), Some("http://p:3128"));
    }
}
