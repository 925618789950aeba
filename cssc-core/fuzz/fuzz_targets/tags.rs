//! Names and patch tags: parse and print are inverse, the next patch is a patch of the same
//! original, and a set of tags is a sorted set.
#![no_main]

use std::collections::BTreeSet;

use cssc_core::{Registry, Repository, TagConvention, TagRef};
use cssc_core::tags::{PatchTag, Suffix, TagSet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(registry) = text.parse::<Registry>() {
        assert_eq!(registry.to_string().parse().as_ref(), Ok(&registry));
    }
    if let Ok(repository) = text.parse::<Repository>() {
        assert_eq!(repository.as_str(), text);
    }
    let mut tags = BTreeSet::new();
    for word in text.split_ascii_whitespace() {
        match TagRef::new(word) {
            Ok(tag) => {
                assert_eq!(tag.as_str(), word);
                tags.insert(word);
                patches(tag);
            }
            Err(error) => assert!(!error.to_string().contains('\n')),
        }
    }
    let set = TagSet::new(
        text.split_ascii_whitespace()
            .filter(|word| tags.contains(word)),
    );
    let set = set.expect("every tag was checked");
    assert!(set.iter().map(TagRef::as_str).eq(tags.iter().copied()));
});

fn patches(tag: TagRef<'_>) {
    let conventions = TagConvention::ALL.map(|convention| convention.parse(tag));
    let read: Vec<PatchTag<'_>> = conventions.into_iter().flatten().collect();
    assert_eq!(read.len(), usize::from(Suffix::of(tag).is_some()));
    for patch in read {
        assert_eq!(patch.to_string(), tag.as_str());
        if let Ok(next) = patch.next() {
            assert_eq!(next.original(), patch.original());
            assert!(next.convention() == TagConvention::Floating || next > patch);
            let next = next.to_tag();
            assert!(patch.convention().parse(next.borrowed()).is_some());
        }
    }
}
