//! Scan reports: any bytes are read or refused, and what is read has a verdict.
#![no_main]

use cssc_core::{Evidence, ScanReport};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = ScanReport::from_slice(bytes) {
        report.verdict();
        let evidence = Evidence::compare(&report, &report);
        assert!(evidence.fixed().is_empty() && evidence.introduced().is_empty());
    }
});
