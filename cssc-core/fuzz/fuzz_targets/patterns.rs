//! An entry of a rule's `tags`, and a tag to match: an entry prints as it was written, a literal
//! matches itself alone, `*` matches everything, and no glob takes long.
#![no_main]

use cssc_core::TagRef;
use cssc_core::policy::Selector;
use cssc_core::tags::Suffix;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (entry, tag) = text.split_once('\n').unwrap_or((text, "a"));
    let selector = match entry.parse::<Selector>() {
        Ok(selector) => selector,
        Err(error) => {
            assert!(!error.to_string().contains('\n'));
            return;
        }
    };
    assert_eq!(selector.as_str(), entry);
    assert_eq!(selector.to_string().parse().as_ref(), Ok(&selector));
    if let Some(literal) = selector.as_literal() {
        assert_eq!(Suffix::of(literal.borrowed()), None, "a reserved name");
        assert!(selector.matches(literal.borrowed()));
    }
    if let Ok(tag) = TagRef::new(tag) {
        let matches = selector.matches(tag);
        match &selector {
            Selector::All => assert!(matches),
            Selector::Literal(literal) => assert_eq!(matches, literal.borrowed() == tag),
            Selector::Glob(_) => {}
        }
    }
});
