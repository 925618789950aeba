//! Lists the tags of repositories, several at a time.
//!
//! usage: `list_tags REGISTRY REPOSITORY...`, where REGISTRY is `ghcr.io/acme`,
//! `localhost:5000`, `layout:DIR` or `inventory:FILE`
use std::error::Error;
use std::io::{self, Write};

use cssc_core::Listing;
use cssc_registry::{
    InventoryRegistry, InventorySource, LayoutRegistry, ListOptions, OciOptions, OciRegistry,
    RegistryAddress, RegistryClient, Repository, list_all,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run(&arguments, &mut io::stdout())
}

pub(crate) fn run(arguments: &[String], out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let [registry, repositories @ ..] = arguments else {
        return Err("usage: list_tags REGISTRY REPOSITORY...".into());
    };
    let client: Box<dyn RegistryClient> = match registry.parse()? {
        RegistryAddress::Registry(name) => {
            Box::new(OciRegistry::new(&name, OciOptions::default())?)
        }
        RegistryAddress::Layout(folder) => Box::new(LayoutRegistry::open(&folder)?),
        RegistryAddress::Inventory(InventorySource::File(file)) => {
            Box::new(InventoryRegistry::open(&file)?)
        }
        RegistryAddress::Inventory(_) => Box::new(InventoryRegistry::from_reader(
            io::stdin(),
            "standard input",
        )?),
    };
    let repositories: Vec<Repository> = repositories
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, _>>()?;
    let inventory = list_all(&*client, &repositories, &ListOptions::default(), |_| {});
    for (repository, listing) in inventory.iter() {
        match listing {
            Listing::Found(tags) => {
                for tag in tags {
                    writeln!(out, "{repository}:{tag}")?;
                }
            }
            Listing::Absent => writeln!(out, "{repository}: there is no such repository")?,
            Listing::Unavailable(error) => writeln!(out, "{repository}: unavailable: {error}")?,
        }
    }
    Ok(())
}
