//! Where policies come from: a file, or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cssc_core::Policy;
use cssc_core::policy::{Lints, MAX_POLICY_LEN};

use crate::exit::Failure;
use crate::output;

/// A policy file as it is named on the command line; `-` is standard input.
#[derive(Debug, Clone)]
pub(crate) struct PolicyFile(PathBuf);

impl From<&str> for PolicyFile {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl PolicyFile {
    /// What a policy is called where nobody says.
    pub(crate) const NAME: &str = "continuouspatching.json";

    /// The policy of the working directory, for whoever names none.
    pub(crate) fn discover() -> Result<Self, Failure> {
        let file = Self::from(Self::NAME);
        if !file.0.exists() {
            return Err(Failure::new(format!(
                "there is no `{}` here: name the policy with --config FILE",
                Self::NAME
            )));
        }
        output::note(&format!("the policy is `{}`", Self::NAME));
        Ok(file)
    }

    /// The name for messages.
    pub(crate) fn name(&self) -> String {
        if self.is_standard_input() {
            "<stdin>".to_owned()
        } else {
            self.0.display().to_string()
        }
    }

    pub(crate) fn is_standard_input(&self) -> bool {
        self.0 == Path::new("-")
    }

    /// The bytes of the policy, one more than may be read at most.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Failure> {
        let limit = u64::try_from(MAX_POLICY_LEN)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut bytes = Vec::new();
        let read = if self.is_standard_input() {
            io::stdin().lock().take(limit).read_to_end(&mut bytes)
        } else {
            File::open(&self.0).and_then(|file| file.take(limit).read_to_end(&mut bytes))
        };
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Failure::new(format!(
                "cannot read the policy `{}`: {error}",
                self.name()
            ))),
        }
    }

    /// The policy, for a command that needs a valid one; its findings go to standard error.
    pub(crate) fn load(&self, lints: &Lints) -> Result<Policy, Failure> {
        valid(&self.name(), &self.read()?, lints)
    }
}

/// The policy in `text`, which comes from `name`; its findings go to standard error.
pub(crate) fn valid(name: &str, text: &[u8], lints: &Lints) -> Result<Policy, Failure> {
    let checked = lints.apply(Policy::check(text));
    let mut source = output::diagnostics::Source::new(name, text);
    for found in &checked.diagnostics {
        output::diagnostics::to_stderr(&mut source, found);
    }
    let errors = checked.diagnostics.iter().filter(|found| found.is_error());
    let errors = output::noun(errors.count(), "error");
    checked
        .policy
        .ok_or_else(|| Failure::No(format!("the policy `{name}` has {errors}")))
}
