//! Versions of tools.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::process::Call;
use super::{Job, ToolError};

/// A version of a tool: `0.76.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(
    /// The major number.
    pub u32,
    /// The minor number.
    pub u32,
    /// The patch number.
    pub u32,
);

impl Version {
    /// The first version in what `--version` printed: `buildah version 1.28.2 (image-spec …)`.
    fn find(text: &str) -> Option<Self> {
        text.split(|letter: char| !(letter.is_ascii_digit() || letter == '.'))
            .find_map(|word| {
                let mut numbers = word.split('.').map(str::parse);
                let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
                    return None;
                };
                let patch = numbers.next().and_then(Result::ok).unwrap_or(0);
                Some(Self(major, minor, patch))
            })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Asks a tool for its version, until it has answered well once.
#[derive(Debug, Default)]
pub(super) struct VersionCheck(OnceLock<Option<Version>>);

impl VersionCheck {
    /// # Errors
    ///
    /// Fails when the tool cannot be started, hangs, fails, or is older than `needed`. One that
    /// was built without a version tells none and is taken as it is.
    pub(super) fn check(
        &self,
        program: &Path,
        needed: Version,
        job: &Job<'_>,
    ) -> Result<Option<Version>, ToolError> {
        if let Some(version) = self.0.get() {
            return Ok(*version);
        }
        let said = Mutex::new(String::new());
        let listen = |line: &str| {
            if let Ok(mut said) = said.lock() {
                said.push_str(line);
                said.push('\n');
            }
        };
        let job = Job {
            log: &listen,
            ..*job
        };
        Call::new(program, Duration::from_secs(30))
            .arg("--version")
            .run(&job)?
            .success()?;
        let said = said.into_inner().unwrap_or_default();
        let version = said.lines().find_map(Version::find);
        if let Some(found) = version
            && found < needed
        {
            return Err(ToolError::too_old(program, found, needed));
        }
        Ok(*self.0.get_or_init(|| version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_found_in_what_tools_print() {
        for (text, version) in [
            ("Version: 0.76.0", Some(Version(0, 76, 0))),
            ("copa version 0.11.1-rc.2", Some(Version(0, 11, 1))),
            ("copa version v1.2", Some(Version(1, 2, 0))),
            (
                "buildah version 1.28.2 (image-spec 1.1.0-rc2)",
                Some(Version(1, 28, 2)),
            ),
            ("copa version main", None),
            ("v99999999999.1", None),
            ("", None),
        ] {
            assert_eq!(Version::find(text), version, "{text}");
        }
    }
}
