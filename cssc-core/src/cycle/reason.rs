//! Why a run ended as it did.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::failure::{FailureCode, StepFailure};
use super::options::Until;
use super::plan::LeftOut;
use super::step::PatchRefusal;
use crate::name::Tag;
use crate::plan::LimitExceeded;
use crate::scan::{ScanSkip, ScanUnsupported, Withheld};
use crate::tags::NoNextTag;

/// Why an image was skipped, or a run failed. Prints as one line for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Reason {
    /// The scan found that there is nothing to patch.
    Skip(ScanSkip),
    /// The image cannot be judged, which does not mean that it is clean.
    Unsupported(ScanUnsupported),
    /// The patched image did not earn its tag.
    Withheld(Withheld),
    /// The patcher ended well and made no image.
    NothingMade,
    /// What the patcher made cannot be published.
    Refused(PatchRefusal),
    /// The newest patch was made from another image than the original is now, and the original
    /// has nothing to patch.
    OriginalMoved(Tag),
    /// The floating tag exists, and nothing in it shows what it was made from.
    ForeignPatch(Tag),
    /// The cycle was to go no further: with the patch tag that was not written.
    NotAsked(Until, Tag),
    /// Something that can be fixed is left in the patched image: how many findings.
    FixableLeft(usize),
    /// The patch numbers are exhausted.
    Exhausted,
    /// Somebody else made the patch tag while the cycle was running.
    TagTaken(Tag),
    /// The plan holds more images than a workflow may run.
    OverLimit(LimitExceeded),
    /// This could not be read; the other images were taken.
    Unavailable(Vec<LeftOut>),
    /// A step failed; what went wrong the last time.
    Failed(StepFailure),
    /// A step was begun this many times and the runner died over it each time.
    Interrupted(u32),
    /// The run was canceled.
    Canceled,
}

impl Reason {
    /// The reason as programs compare it: `no-vulnerability`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Skip(ScanSkip::EndOfServiceLife) => "end-of-service-life",
            Self::Skip(ScanSkip::NoVulnerability) => "no-vulnerability",
            Self::Unsupported(_) => "unsupported",
            Self::Withheld(Withheld::NothingFixed) => "nothing-fixed",
            Self::Withheld(Withheld::NewFixable(_)) => "new-finding",
            Self::Withheld(Withheld::AnotherImage(_)) => "another-image",
            Self::Withheld(Withheld::TestFailed(_)) => "test-failed",
            Self::Withheld(Withheld::EndOfServiceLife | Withheld::Unsupported(_)) => "unjudged",
            Self::NothingMade => "nothing-made",
            Self::Refused(refusal) => refusal.code(),
            Self::OriginalMoved(_) => "original-moved",
            Self::ForeignPatch(_) => "foreign-patch",
            Self::NotAsked(..) => "would-patch",
            Self::FixableLeft(_) => "fixable-left",
            Self::Exhausted => "exhausted",
            Self::TagTaken(_) => "tag-taken",
            Self::OverLimit(_) => "over-limit",
            Self::Unavailable(_) => "unavailable",
            Self::Failed(failure) => failure.code.map_or("failed", FailureCode::as_str),
            Self::Interrupted(_) => "interrupted",
            Self::Canceled => "canceled",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip(skip) => skip.fmt(f),
            Self::Unsupported(why) => why.fmt(f),
            Self::Withheld(why) => why.fmt(f),
            Self::NothingMade => f.write_str("the patcher produced no image"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::OriginalMoved(patch) => write!(
                f,
                "no fixable OS finding; the original has moved, and `{patch}` was made from an \
                 earlier one"
            ),
            Self::ForeignPatch(tag) => write!(
                f,
                "`{tag}` does not say what it was made from, so it is not replaced"
            ),
            Self::NotAsked(Until::Scan, tag) => write!(f, "would be patched as `{tag}`"),
            Self::NotAsked(Until::Verify, tag) => {
                write!(f, "would be published as `{tag}`: the candidate was good")
            }
            Self::FixableLeft(count) => {
                let plural = if *count == 1 { "" } else { "s" };
                write!(
                    f,
                    "{count} fixable finding{plural} left in the patched image"
                )
            }
            Self::Exhausted => NoNextTag::Exhausted.fmt(f),
            Self::TagTaken(tag) => write!(
                f,
                "the tag `{tag}` was created by someone else during this cycle; the next cycle \
                 scans it"
            ),
            Self::OverLimit(exceeded) => exceeded.fmt(f),
            Self::Unavailable(left_out) => {
                f.write_str("cannot read ")?;
                let mut separator = "";
                left_out.iter().try_for_each(|row| {
                    write!(
                        f,
                        "{separator}`{}:{}`: {}",
                        row.repository, row.tag, row.reason
                    )?;
                    separator = "; ";
                    Ok(())
                })
            }
            Self::Failed(failure) => failure.fmt(f),
            Self::Interrupted(times) => {
                write!(f, "interrupted {times} times, the runner died each time")
            }
            Self::Canceled => f.write_str("canceled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycle::LeftOutReason;
    use crate::inventory::{ListingError, UnavailableKind};

    #[test]
    fn every_reason_reads_as_one_line_and_is_stored_and_read_back() {
        let unavailable = LeftOut {
            repository: "redis".parse().unwrap(),
            tag: "*".to_owned(),
            reason: LeftOutReason::Unavailable(ListingError::new(
                UnavailableKind::Transient,
                "timed out",
            )),
        };
        let tag = || "3.11-2".parse().unwrap();
        let reasons = [
            (
                Reason::Skip(ScanSkip::EndOfServiceLife),
                "end-of-service-life",
            ),
            (Reason::Skip(ScanSkip::NoVulnerability), "no-vulnerability"),
            (
                Reason::Unsupported(ScanUnsupported::UnknownOs),
                "unsupported",
            ),
            (Reason::Withheld(Withheld::NothingFixed), "nothing-fixed"),
            (Reason::Withheld(Withheld::NewFixable(2)), "new-finding"),
            (Reason::Withheld(Withheld::EndOfServiceLife), "unjudged"),
            (Reason::NothingMade, "nothing-made"),
            (
                Reason::Refused(PatchRefusal::TooManyLayers(126)),
                "too-many-layers",
            ),
            (Reason::OriginalMoved(tag()), "original-moved"),
            (Reason::ForeignPatch(tag()), "foreign-patch"),
            (Reason::NotAsked(Until::Scan, tag()), "would-patch"),
            (Reason::NotAsked(Until::Verify, tag()), "would-patch"),
            (Reason::FixableLeft(1), "fixable-left"),
            (Reason::Exhausted, "exhausted"),
            (Reason::TagTaken(tag()), "tag-taken"),
            (
                Reason::OverLimit(LimitExceeded {
                    matches: 101,
                    limit: 100,
                }),
                "over-limit",
            ),
            (Reason::Unavailable(vec![unavailable]), "unavailable"),
            (Reason::Failed(StepFailure::transient("timeout")), "failed"),
            (
                Reason::Failed(StepFailure::permanent("no room").with_code(FailureCode::RelayFull)),
                "relay-full",
            ),
            (Reason::Interrupted(3), "interrupted"),
            (Reason::Canceled, "canceled"),
        ];
        for (reason, code) in reasons {
            assert_eq!(reason.code(), code);
            let json = serde_json::to_value(&reason).unwrap();
            assert_eq!(serde_json::from_value::<Reason>(json).unwrap(), reason);
            let text = reason.to_string();
            assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'));
        }
    }
}
