//! Where the relay listens, and how much it may hold.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

use cssc_core::Registry;

/// Where the relay listens, and how much it may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayOptions {
    /// The address: of the loopback interface, or of a private network (RFC 1918), since logins
    /// and content can be read on the way. Without one it is that of the name, or else loopback.
    pub listen: Option<IpAddr>,
    /// The port; 0 takes any that is free.
    pub port: u16,
    /// The host as tools name it, where that is not the address.
    pub name: Option<String>,
    /// How many bytes it may hold; by default half of what is free on the disk, 20 GiB at most.
    pub space: Option<u64>,
}

impl RelayOptions {
    /// Where to listen.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        let listen = match (self.listen, &self.name) {
            (Some(address), _) => address,
            (None, Some(name)) => address_of(name)?,
            (None, None) => Ipv4Addr::LOCALHOST.into(),
        };
        let is_private = match listen {
            IpAddr::V4(address) => address.is_loopback() || address.is_private(),
            IpAddr::V6(address) => address.is_loopback(),
        };
        if is_private {
            return Ok(SocketAddr::new(listen, self.port));
        }
        Err(invalid(format!(
            "the relay cannot listen at `{listen}`: only at a loopback address or one of a private \
             network (RFC 1918)"
        )))
    }

    /// Host and port as tools name them.
    pub(super) fn authority(&self, bound: SocketAddr) -> io::Result<String> {
        let Some(name) = &self.name else {
            return Ok(bound.to_string());
        };
        let authority = format!("{name}:{}", bound.port());
        match authority.parse::<Registry>() {
            Ok(registry) if registry.namespace().is_none() => Ok(authority),
            Ok(_) => Err(invalid(format!("`{name}` is not the name of a host"))),
            Err(error) => Err(invalid(error.to_string())),
        }
    }
}

/// The address that a name stands for on this machine.
fn address_of(name: &str) -> io::Result<IpAddr> {
    let known = (name, 0).to_socket_addrs().map(|mut all| all.next());
    match known {
        Ok(Some(address)) => Ok(address.ip()),
        Ok(None) => Err(invalid(format!("`{name}` has no address here"))),
        Err(error) => Err(invalid(format!("`{name}` has no address here: {error}"))),
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_only_where_few_can_read_along() {
        let address = |text: &str| {
            let listen = Some(text.parse().unwrap());
            let options = RelayOptions {
                listen,
                ..RelayOptions::default()
            };
            options.address().map_err(|error| error.to_string())
        };
        for text in [
            "127.0.0.1",
            "127.9.0.1",
            "::1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
        ] {
            assert!(address(text).is_ok(), "{text}");
        }
        for text in [
            "0.0.0.0",
            "8.8.8.8",
            "172.32.0.1",
            "::",
            "fe80::1",
            "169.254.0.1",
        ] {
            let message = format!(
                "the relay cannot listen at `{text}`: only at a loopback address or one of a \
                 private network (RFC 1918)"
            );
            assert_eq!(address(text), Err(message));
        }
    }

    #[test]
    fn a_name_says_where_to_listen() {
        let name = Some("localhost".to_owned());
        let options = RelayOptions {
            name,
            ..RelayOptions::default()
        };
        assert!(options.address().unwrap().ip().is_loopback());
    }

    #[test]
    fn a_name_takes_the_place_of_the_address() {
        let authority = |name: Option<&str>| {
            let name = name.map(str::to_owned);
            let options = RelayOptions {
                name,
                ..RelayOptions::default()
            };
            options.authority("[::1]:5000".parse().unwrap()).ok()
        };
        assert_eq!(authority(None).unwrap(), "[::1]:5000");
        assert_eq!(authority(Some("relay")).unwrap(), "relay:5000");
        for name in ["", "a/b", "a b", "https://a", "a:1"] {
            assert_eq!(authority(Some(name)), None, "{name}");
        }
    }
}
