//! A policy that cannot be used, with every reason.

use std::fmt;

use super::diagnostic::Diagnostic;

/// Why a policy cannot be used: all its problems, and its warnings beside them.
///
/// Displays as one line for each error, with line and column where they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    diagnostics: Vec<Diagnostic>,
}

impl PolicyError {
    pub(super) fn new(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics }
    }

    /// Everything found, warnings included, in the order of the text.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl std::error::Error for PolicyError {}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.diagnostics.iter().filter(|found| found.is_error());
        for (index, found) in errors.enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match found.span {
                Some(at) => write!(f, "line {}, column {}: ", at.line, at.column)?,
                None if found.pointer.is_empty() => {}
                None => write!(f, "{}: ", found.pointer)?,
            }
            f.write_str(&found.message)?;
        }
        Ok(())
    }
}
