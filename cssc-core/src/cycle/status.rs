//! Where runs stand, and what `--run-status` selects.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::name::excerpt;

/// Where a run or a cycle stands: queued, then running, then one of three ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Waits for its turn.
    Queued,
    /// Has begun, and may be waiting for another attempt.
    Running,
    /// Has done its work.
    Succeeded,
    /// Has given up.
    Failed,
    /// Was canceled.
    Canceled,
}

impl Status {
    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The word for it, as Azure has it: `Succeeded`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the list of images says of a scan or a patch: the status of its run, or that there is
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RowStatus {
    /// Waits for its turn.
    Queued,
    /// Has begun.
    Running,
    /// Has done its work.
    Succeeded,
    /// Has given up.
    Failed,
    /// Was not done, since it was not needed or would not have helped.
    Skipped,
    /// Was canceled.
    Canceled,
    /// Nothing is known: it is not decided yet, or never was.
    Unknown,
}

impl RowStatus {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Canceled,
        Self::Unknown,
    ];

    /// The word for it, as Azure has it: `Succeeded`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
            Self::Canceled => "Canceled",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<Status> for RowStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Running => Self::Running,
            Status::Succeeded => Self::Succeeded,
            Status::Failed => Self::Failed,
            Status::Canceled => Self::Canceled,
        }
    }
}

impl fmt::Display for RowStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What `--run-status` selects: one status.
///
/// Written in any case, as the article has it (`failed`, `successful`, `running`) or as Azure's
/// tools do (`Queued`, `Running`, `Succeeded`, `Failed`, `Skipped`, `Canceled`, `Unknown`).
///
/// ```
/// use cssc_core::cycle::{RowStatus, StatusFilter};
///
/// let filter: StatusFilter = "successful".parse()?;
/// assert_eq!(filter.status(), RowStatus::Succeeded);
/// # Ok::<(), cssc_core::cycle::StatusFilterError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for any other word: `done`, `Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusFilter(RowStatus);

impl StatusFilter {
    /// The status it selects.
    pub fn status(self) -> RowStatus {
        self.0
    }

    /// Whether a run with this status is selected.
    pub fn matches(self, status: Status) -> bool {
        RowStatus::from(status) == self.0
    }

    /// Whether an image with these statuses of its scan and patch is selected.
    ///
    /// `Succeeded` asks for both: the scan succeeded and the patch succeeded or was skipped.
    /// Any other status is enough on either side, so that `failed` finds every image that is
    /// not taken care of.
    pub fn matches_image(self, scan: RowStatus, patch: RowStatus) -> bool {
        match self.0 {
            RowStatus::Succeeded => {
                scan == RowStatus::Succeeded
                    && matches!(patch, RowStatus::Succeeded | RowStatus::Skipped)
            }
            status => scan == status || patch == status,
        }
    }
}

impl From<RowStatus> for StatusFilter {
    fn from(status: RowStatus) -> Self {
        Self(status)
    }
}

impl FromStr for StatusFilter {
    type Err = StatusFilterError;

    fn from_str(text: &str) -> Result<Self, StatusFilterError> {
        if text.eq_ignore_ascii_case("successful") {
            return Ok(Self(RowStatus::Succeeded));
        }
        RowStatus::ALL
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(text))
            .map(Self)
            .ok_or_else(|| StatusFilterError(excerpt(text)))
    }
}

impl<'de> Deserialize<'de> for StatusFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "a status such as `failed`")
    }
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a status: use `queued`, `running`, `successful`, `failed`, `skipped`, \
     `canceled` or `unknown`"
)]
pub struct StatusFilterError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_article_and_of_azure() {
        for (text, status) in [
            ("failed", RowStatus::Failed),
            ("successful", RowStatus::Succeeded),
            ("running", RowStatus::Running),
            ("SUCCEEDED", RowStatus::Succeeded),
            ("Canceled", RowStatus::Canceled),
            ("unknown", RowStatus::Unknown),
        ] {
            assert_eq!(text.parse(), Ok(StatusFilter(status)));
        }
        for status in RowStatus::ALL {
            assert_eq!(status.to_string().parse(), Ok(StatusFilter(status)));
        }
        assert_eq!(
            "done".parse::<StatusFilter>().unwrap_err().to_string(),
            "`done` is not a status: use `queued`, `running`, `successful`, `failed`, `skipped`, \
             `canceled` or `unknown`"
        );
    }

    #[test]
    fn success_is_of_the_whole_image() {
        use RowStatus::{Failed, Running, Skipped, Succeeded, Unknown};
        let filter = StatusFilter(Succeeded);
        assert!(filter.matches_image(Succeeded, Succeeded));
        assert!(filter.matches_image(Succeeded, Skipped));
        assert!(!filter.matches_image(Succeeded, Failed));
        assert!(!filter.matches_image(Succeeded, Running));
        assert!(StatusFilter(Failed).matches_image(Failed, Unknown));
        assert!(StatusFilter(Failed).matches_image(Succeeded, Failed));
    }
}
