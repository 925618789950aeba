//! Why a run ended as it did.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Why an image was skipped, or a run failed. Prints as one line for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", content = "detail", rename_all = "kebab-case")]
pub enum Reason {
    /// The operating system is out of service: nobody mends its packages any more.
    EndOfServiceLife,
    /// The scan found nothing that can be fixed.
    NoVulnerability,
    /// The image cannot be judged, which does not mean that it is clean; why.
    Unsupported(String),
    /// The patch fixes none of the findings.
    NothingFixed,
    /// The patch brings in this many new fixable findings.
    NewFinding(u64),
    /// The patched image could not be judged; why.
    Unjudged(String),
    /// The patcher ended well and made no image.
    NothingMade,
    /// The patch numbers have run out.
    Exhausted,
    /// Somebody else made the patch tag while the cycle was running.
    TagTaken(String),
    /// The plan holds more images than a workflow may run.
    OverLimit {
        /// How many there are.
        matches: u64,
        /// How many there may be.
        limit: u64,
    },
    /// These repositories could not be read; the others were taken.
    Unavailable(String),
    /// A step failed; what went wrong the last time.
    Failed(String),
    /// A step was begun this many times and the runner died over it each time.
    Interrupted(u32),
    /// The run was canceled.
    Canceled,
}

impl Reason {
    /// The reason as it is written in JSON: `no-vulnerability`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::EndOfServiceLife => "end-of-service-life",
            Self::NoVulnerability => "no-vulnerability",
            Self::Unsupported(_) => "unsupported",
            Self::NothingFixed => "nothing-fixed",
            Self::NewFinding(_) => "new-finding",
            Self::Unjudged(_) => "unjudged",
            Self::NothingMade => "nothing-made",
            Self::Exhausted => "exhausted",
            Self::TagTaken(_) => "tag-taken",
            Self::OverLimit { .. } => "over-limit",
            Self::Unavailable(_) => "unavailable",
            Self::Failed(_) => "failed",
            Self::Interrupted(_) => "interrupted",
            Self::Canceled => "canceled",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfServiceLife => f.write_str("end of service life"),
            Self::NoVulnerability => f.write_str("no vulnerability found"),
            Self::Unsupported(why) | Self::Failed(why) => f.write_str(why),
            Self::NothingFixed => f.write_str("the patch fixes none of the findings"),
            Self::NewFinding(1) => f.write_str("the patch brings in 1 new fixable finding"),
            Self::NewFinding(count) => {
                write!(f, "the patch brings in {count} new fixable findings")
            }
            Self::Unjudged(why) => write!(f, "the patched image cannot be judged: {why}"),
            Self::NothingMade => f.write_str("the patcher found nothing to do"),
            Self::Exhausted => f.write_str(
                "the patch numbers are exhausted: the newest is 999 and there is none after it",
            ),
            Self::TagTaken(tag) => write!(
                f,
                "the tag `{tag}` was made by somebody else during this cycle; the next cycle \
                 looks at it"
            ),
            Self::OverLimit { matches, limit } => write!(
                f,
                "the policy selects {matches} images and a workflow may run {limit}: narrow the \
                 policy or raise the limit"
            ),
            Self::Unavailable(what) => write!(f, "cannot list tags: {what}"),
            Self::Interrupted(times) => {
                write!(f, "interrupted {times} times, the runner died each time")
            }
            Self::Canceled => f.write_str("canceled"),
        }
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            remote = "Reason",
            tag = "code",
            content = "detail",
            rename_all = "kebab-case"
        )]
        enum Coded {
            EndOfServiceLife,
            NoVulnerability,
            Unsupported(String),
            NothingFixed,
            NewFinding(u64),
            Unjudged(String),
            NothingMade,
            Exhausted,
            TagTaken(String),
            OverLimit { matches: u64, limit: u64 },
            Unavailable(String),
            Failed(String),
            Interrupted(u32),
            Canceled,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            // Version 0 kept no code.
            Text(String),
            Coded(#[serde(with = "Coded")] Reason),
        }
        Ok(match Any::deserialize(deserializer)? {
            Any::Text(text) => Self::Failed(text),
            Any::Coded(reason) => reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_back_with_unique_codes() {
        let reasons = [
            Reason::EndOfServiceLife,
            Reason::NoVulnerability,
            Reason::Unsupported("no packages".into()),
            Reason::NothingFixed,
            Reason::NewFinding(2),
            Reason::Unjudged("unknown".into()),
            Reason::NothingMade,
            Reason::Exhausted,
            Reason::TagTaken("3.11-2".into()),
            Reason::OverLimit {
                matches: 101,
                limit: 100,
            },
            Reason::Unavailable("redis".into()),
            Reason::Failed("timeout".into()),
            Reason::Interrupted(3),
            Reason::Canceled,
        ];
        let mut codes = std::collections::BTreeSet::new();
        for reason in reasons {
            assert!(codes.insert(reason.code()));
            let json = serde_json::to_value(&reason).unwrap();
            assert_eq!(json["code"], reason.code());
            assert_eq!(serde_json::from_value::<Reason>(json).unwrap(), reason);
            let text = reason.to_string();
            assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'));
        }
        assert_eq!(
            serde_json::from_str::<Reason>("\"timeout\"").unwrap(),
            Reason::Failed("timeout".into())
        );
    }
}
