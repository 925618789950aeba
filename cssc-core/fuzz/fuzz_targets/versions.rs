//! Versions of packages: any texts have an order, the same from both sides.
#![no_main]

use cssc_core::scan::PackageKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str, &str)| {
    let (a, b, c) = texts;
    for kind in [PackageKind::Apk, PackageKind::Dpkg, PackageKind::Rpm] {
        assert!(kind.compare(a, a).is_eq());
        assert_eq!(kind.compare(a, b), kind.compare(b, a).reverse());
        let mut sorted = [a, b, c];
        sorted.sort_by(|a, b| kind.compare(a, b));
        assert!(kind.compare(sorted[0], sorted[2]).is_le());
    }
});
