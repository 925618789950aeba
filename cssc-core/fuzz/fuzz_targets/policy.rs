//! A policy is read or refused, never both; what is read is written and read back the same, and
//! means as a value what it means as text.
#![no_main]

use cssc_core::{Code, Config, Diagnostic};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let checked = Config::check(bytes);
    let has_error = checked.diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(checked.config.is_none(), has_error);
    for found in &checked.diagnostics {
        assert_eq!(found.severity, found.code.severity());
        assert!(!found.message.contains('\n'), "{}", found.message);
    }
    if let Some(config) = &checked.config {
        assert_eq!(config.to_json().parse().as_ref(), Ok(config));
    }
    // A value has lost repeated keys.
    let repeats = |found: &Diagnostic| found.code == Code::DuplicateKey;
    if !checked.diagnostics.iter().any(repeats)
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        assert_eq!(Config::check_value(&value).config, checked.config);
    }
});
