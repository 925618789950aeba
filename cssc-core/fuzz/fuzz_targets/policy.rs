//! A policy is read or refused, never both; what is read is written and read back the same, and
//! means as a value what it means as text.
#![no_main]

use cssc_core::{Policy, Diagnostic};
use cssc_core::policy::DiagnosticCode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let checked = Policy::check(bytes);
    let has_error = checked.diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(checked.policy.is_none(), has_error);
    for found in &checked.diagnostics {
        assert_eq!(found.severity, found.code.severity());
        assert!(!found.message.contains('\n'), "{}", found.message);
    }
    if let Some(policy) = &checked.policy {
        assert_eq!(policy.to_json().parse().as_ref(), Ok(policy));
    }
    // A value has lost repeated keys.
    let repeats = |found: &Diagnostic| found.code == DiagnosticCode::DuplicateKey;
    if !checked.diagnostics.iter().any(repeats)
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        assert_eq!(Policy::check_value(&value).policy, checked.policy);
    }
});
