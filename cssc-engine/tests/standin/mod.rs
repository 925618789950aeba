//! Where the stand-ins for Trivy and Copa are; what they do stands in `standin.py`.
#![allow(dead_code, reason = "every test file uses another part of this")]

use std::path::PathBuf;

/// Beside each other, so that they are found as `trivy` and `copa` when this is in `PATH`. The
/// tests of other crates use them too.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cssc-engine/tests/standin")
}

fn program(name: &str) -> PathBuf {
    folder().join(name)
}

pub(crate) fn trivy() -> PathBuf {
    program("trivy")
}

pub(crate) fn copa() -> PathBuf {
    program("copa")
}

pub(crate) fn old_trivy() -> PathBuf {
    program("old-trivy")
}

pub(crate) fn echo_call() -> PathBuf {
    program("echo-call")
}

pub(crate) fn tell_login() -> PathBuf {
    program("tell-login")
}
