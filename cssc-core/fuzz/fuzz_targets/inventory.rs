//! An inventory is read or refused; what is read is what `serde_json` reads.
#![no_main]

use std::collections::BTreeMap;

use cssc_core::{Inventory, Listing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(inventory) = Inventory::from_json(bytes) else {
        return;
    };
    let listings: BTreeMap<String, Vec<String>> =
        serde_json::from_slice(bytes).expect("an inventory is an object of lists of strings");
    assert_eq!(inventory.iter().count(), listings.len());
    for ((repository, listing), (name, mut tags)) in inventory.iter().zip(listings) {
        assert_eq!(repository.as_str(), name);
        let Listing::Found(found) = listing else {
            panic!("a repository of a file is found");
        };
        tags.sort_unstable();
        assert!(
            found
                .iter()
                .map(|tag| tag.as_str())
                .eq(tags.iter().map(String::as_str))
        );
    }
});
