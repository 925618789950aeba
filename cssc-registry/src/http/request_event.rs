//! Telling an observer what is asked and answered, without secrets.

use std::fmt;
use std::time::Duration;

/// One request and what came of it, for a log. Holds no credential, no header, no body, and of
/// addresses only what tells nothing: the query of a redirect is left out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestEvent {
    /// The method, such as `GET`.
    pub method: String,
    /// The address.
    pub address: String,
    /// The status and the length of the body, or why there is none.
    pub outcome: Result<(u16, usize), String>,
    /// How long it took.
    pub elapsed: Duration,
}

impl fmt::Display for RequestEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method, address, ..
        } = self;
        let milliseconds = self.elapsed.as_millis();
        match &self.outcome {
            Ok((status, length)) => write!(
                f,
                "{method} {address}: {status}, {length} bytes in {milliseconds} ms"
            ),
            Err(reason) => write!(f, "{method} {address}: {reason} after {milliseconds} ms"),
        }
    }
}
