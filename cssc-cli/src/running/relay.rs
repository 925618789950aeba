//! The relay that serves images to tools, as the arguments set it up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use cssc_core::{Registry, Repository};
use cssc_engine::relay::{RelayOptions, ToolingImages};
use cssc_engine::tool::Copa;
use cssc_registry::{OciOptions, OciRegistry, RegistryClient, RegistryError};

/// Where images are served to tools, and what patchers fetch packages with.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tool options")]
pub(crate) struct RelayArgs {
    /// The address of this machine at which images are served to the tools, or its name and a port:
    /// only for a BuildKit in another container or on another host; by default a loopback address
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    relay: Option<RelayAddress>,
    /// How much space the images may take there: `10G`; by default half of what is free, at most 20G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    relay_space: Option<u64>,
    /// Where Copa's own images of a registry are found: `ghcr.io=registry.example/mirror`; can be
    /// repeated
    #[arg(long, value_name = "HOST=REGISTRY")]
    tooling_mirror: Vec<Mirror>,
}

/// Where the relay listens: at an address of this machine, or at that of one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RelayAddress {
    host: RelayHost,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum RelayHost {
    Address(IpAddr),
    Name(String),
}

impl FromStr for RelayAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected an address of this machine or a name with a port, not `{text}`");
        if let Ok(address) = text.parse::<IpAddr>() {
            let host = RelayHost::Address(address);
            return Ok(Self { host, port: 0 });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host = match bare.parse() {
            Ok(address) => RelayHost::Address(address),
            // As a registry is named, so that tools take it for one.
            Err(_) if port != 0 && format!("{host}:{port}").parse::<Registry>().is_ok() => {
                RelayHost::Name(host.to_owned())
            }
            Err(_) => return Err(expected()),
        };
        Ok(Self { host, port })
    }
}

/// A registry that has the images of another.
#[derive(Debug, Clone)]
struct Mirror {
    host: Registry,
    instead: Registry,
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, instead) = text
            .split_once('=')
            .ok_or_else(|| format!("expected `HOST=REGISTRY`, not `{text}`"))?;
        Ok(Self {
            host: host.parse().map_err(|error| format!("`{host}`: {error}"))?,
            instead: instead
                .parse()
                .map_err(|error| format!("`{instead}`: {error}"))?,
        })
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.find(|letter: char| !letter.is_ascii_digit()) {
        Some(place) => text.split_at(place),
        None => (text, ""),
    };
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" => Some(0),
        "K" | "KIB" => Some(10),
        "M" | "MIB" => Some(20),
        "G" | "GIB" => Some(30),
        "T" | "TIB" => Some(40),
        _ => None,
    };
    let size = number.parse::<u64>().ok().zip(shift);
    size.and_then(|(number, shift)| number.checked_mul(1 << shift))
        .filter(|size| *size > 0)
        .ok_or_else(|| "expected a size such as `500M` or `10G`".to_owned())
}

impl RelayArgs {
    pub(crate) fn options(&self) -> RelayOptions {
        let mut options = RelayOptions {
            space: self.relay_space,
            ..RelayOptions::default()
        };
        if let Some(RelayAddress { host, port }) = &self.relay {
            options.port = *port;
            match host {
                RelayHost::Address(address) => options.listen = Some(*address),
                RelayHost::Name(name) => options.name = Some(name.clone()),
            }
        }
        options
    }

    /// Where Copa's own images are, asked with the logins of this user and these options.
    pub(crate) fn tooling(&self, options: OciOptions) -> Arc<dyn ToolingImages> {
        Arc::new(Tooling {
            mirrors: self.tooling_mirror.clone(),
            options,
            known: Mutex::default(),
        })
    }
}

/// Registries of Copa's own images, each opened once.
struct Tooling {
    mirrors: Vec<Mirror>,
    options: OciOptions,
    known: Mutex<BTreeMap<String, Arc<OciRegistry>>>,
}

impl ToolingImages for Tooling {
    fn registry(&self, host: &Registry) -> Result<Arc<dyn RegistryClient>, RegistryError> {
        let mut mirrors = self.mirrors.iter();
        let mirror = mirrors.find(|mirror| mirror.host.key() == host.key());
        let place = mirror.map_or(host, |mirror| &mirror.instead);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registry) = known.get(&place.key()) {
            return Ok(Arc::<OciRegistry>::clone(registry));
        }
        let registry = Arc::new(OciRegistry::new(place, self.options.clone())?);
        known.insert(place.key(), Arc::clone(&registry));
        Ok(registry)
    }

    fn may_read(&self, host: &Registry, repository: &Repository) -> bool {
        let name = format!("{host}/{repository}");
        Copa::TOOLING.iter().any(|images| name.starts_with(images))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_of_the_relay() {
        let address = |text: &str| text.parse::<RelayAddress>().ok();
        let of = |text: &str, port| RelayAddress {
            host: RelayHost::Address(text.parse().unwrap()),
            port,
        };
        assert_eq!(address("10.0.0.7"), Some(of("10.0.0.7", 0)));
        assert_eq!(address("10.0.0.7:5000"), Some(of("10.0.0.7", 5000)));
        assert_eq!(address("[::1]:5000"), Some(of("::1", 5000)));
        let name = RelayHost::Name("worker".to_owned());
        let named = RelayAddress {
            host: name,
            port: 5000,
        };
        assert_eq!(address("worker:5000"), Some(named));
        for wrong in [
            "",
            "worker",
            "worker:0",
            "worker:http",
            "a/b:5000",
            "10.0.0.7:70000",
        ] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("10G"), Ok(10 << 30));
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        for wrong in ["", "0", "G", "1.5G", "10X", "99999999999T", "-1"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
