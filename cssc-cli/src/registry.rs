//! From a registry argument to what is known of its tags.

use cssc_core::{Inventory, Repository};
use cssc_engine::registry::{
    DEFAULT_CONCURRENCY, InventoryRegistry, InventorySource, LayoutRegistry, RegistryClient,
    RegistryLocation, list_all,
};

use crate::args::RegistryArgs;
use crate::exit::Failure;

/// Whether the registry is an inventory on standard input.
pub(crate) fn reads_standard_input(args: &RegistryArgs) -> bool {
    args.registry == RegistryLocation::Inventory(InventorySource::StandardInput)
}

/// The tags of `repositories`.
pub(crate) fn list(
    args: &RegistryArgs,
    repositories: &[&Repository],
) -> Result<Inventory, Failure> {
    let client: Box<dyn RegistryClient> = match &args.registry {
        // An inventory is all there is to know: nothing is listed, and nothing copied.
        RegistryLocation::Inventory(InventorySource::File(path)) => {
            return InventoryRegistry::open(path)
                .map(InventoryRegistry::into_inventory)
                .map_err(|error| Failure::new(error.to_string()));
        }
        RegistryLocation::Inventory(InventorySource::StandardInput) => {
            return InventoryRegistry::from_reader(std::io::stdin().lock(), "<stdin>")
                .map(InventoryRegistry::into_inventory)
                .map_err(|error| Failure::new(error.to_string()));
        }
        RegistryLocation::Layout(path) => match LayoutRegistry::open(path) {
            Ok(client) => Box::new(client),
            Err(error) => return Err(Failure::new(error.to_string())),
        },
        RegistryLocation::Registry(_) => {
            return Err(Failure::new(
                "reading a registry over the network is not there yet",
            ));
        }
    };
    let repositories: Vec<Repository> = repositories.iter().map(|&name| name.clone()).collect();
    Ok(list_all(
        &*client,
        &repositories,
        DEFAULT_CONCURRENCY,
        |_| {},
    ))
}
