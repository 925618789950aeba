//! What passes between the machine and whoever runs it: work, outcomes, changes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::RunId;
use super::image::CycleImage;
use super::reason::Reason;
use super::record::CycleRecord;
use super::run::Run;
use crate::name::{Repository, Tag};
use crate::scan::{PublishVerdict, ScanSkip, ScanVerdict, Withheld};

/// What a cycle answers when it is asked for work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Next {
    /// Do this and report the outcome.
    Work(Work),
    /// Nothing before this time, unless an outcome is reported earlier.
    WaitUntil(DateTime<Utc>),
    /// Nothing until an outcome is reported: all jobs are taken, or all that is left is being
    /// done.
    Idle,
    /// The cycle has ended.
    Done,
}

/// One step of a run, to be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// The run it belongs to.
    pub run: RunId,
    /// Which attempt at this step it is, from 1, interrupted ones counted. The outcome is
    /// reported for it.
    pub attempt: u32,
    /// When it must be given up.
    pub deadline: DateTime<Utc>,
    /// What to do.
    pub step: Step,
}

/// What to do in one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "step")]
pub enum Step {
    /// Read the policy, list the tags, make the plan. Answer with [`Outcome::Planned`].
    Plan,
    /// Scan an image. Answer with [`Outcome::Scanned`].
    #[serde(rename_all = "camelCase")]
    Scan {
        /// The repository.
        repository: Repository,
        /// The tag to scan: the newest patch, or the original.
        tag: Tag,
        /// The original.
        original: Tag,
    },
    /// Patch the original and push the result under the candidate's tag; what is there under
    /// that tag is from a former attempt and of no value.
    ///
    /// The patcher needs the report of the original: when another tag was scanned, scan the
    /// original first. Answer with [`Outcome::Patched`] or [`Outcome::NothingMade`].
    #[serde(rename_all = "camelCase")]
    Patch {
        /// The repository.
        repository: Repository,
        /// The tag to patch.
        original: Tag,
        /// The tag that was scanned.
        scanned: Tag,
        /// The run that scanned it.
        scan_run: RunId,
        /// The tag to push to.
        candidate: Tag,
    },
    /// Scan the candidate and compare with what was scanned before. Answer with
    /// [`Outcome::Verified`].
    #[serde(rename_all = "camelCase")]
    Verify {
        /// The repository.
        repository: Repository,
        /// The tag of the candidate.
        candidate: Tag,
        /// Its digest.
        digest: String,
        /// The tag that was scanned before.
        scanned: Tag,
        /// The run that scanned it.
        scan_run: RunId,
    },
    /// Write the candidate's manifest under the patch tag.
    ///
    /// Unless it may replace, look first: the same digest under the tag already is success, for
    /// a former attempt did it; another digest is [`Outcome::TagTaken`]. Answer with
    /// [`Outcome::Published`].
    #[serde(rename_all = "camelCase")]
    Publish {
        /// The repository.
        repository: Repository,
        /// The digest of the candidate.
        digest: String,
        /// The tag to write.
        tag: Tag,
        /// Whether the tag may stand for another image until now: true for a floating tag.
        replace: bool,
    },
    /// Remove the tag of the candidate, and never the image it stands for, which may be
    /// published. Answer with [`Outcome::Discarded`].
    #[serde(rename_all = "camelCase")]
    Discard {
        /// The repository.
        repository: Repository,
        /// The tag of the candidate.
        candidate: Tag,
    },
}

impl Step {
    /// What is done, in a word: `scan`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Scan { .. } => "scan",
            Self::Patch { .. } => "patch",
            Self::Verify { .. } => "verify",
            Self::Publish { .. } => "publish",
            Self::Discard { .. } => "discard",
        }
    }
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum Outcome {
    /// The plan was made.
    Planned {
        /// The images to take care of. One that is named twice is taken once.
        images: Vec<CycleImage>,
        /// The repositories that could not be read, and why, in one line; none when all could.
        #[serde(default)]
        unavailable: Option<String>,
    },
    /// The image was scanned.
    Scanned {
        /// What follows.
        verdict: ScanDecision,
        /// The digest of what was scanned.
        #[serde(default)]
        digest: Option<String>,
    },
    /// A candidate was pushed.
    Patched {
        /// Its digest.
        digest: String,
        /// The digest of the original it was made from.
        #[serde(default)]
        original: Option<String>,
    },
    /// The patcher ended well, and there is no candidate.
    NothingMade,
    /// The candidate was scanned and compared.
    Verified {
        /// What follows.
        verdict: PublishDecision,
    },
    /// The candidate stands under the patch tag.
    Published,
    /// Another image stands under the patch tag.
    TagTaken,
    /// The candidate's tag is gone, or was never there.
    Discarded,
    /// The step failed.
    Failed {
        /// What went wrong, in one line.
        reason: String,
        /// Whether another attempt may do better.
        retry: bool,
    },
}

/// What follows from a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScanDecision {
    /// Something can be fixed.
    Patch,
    /// There is nothing to patch, or no way to.
    Skip(Reason),
}

impl From<&ScanVerdict> for ScanDecision {
    fn from(verdict: &ScanVerdict) -> Self {
        Self::Skip(match verdict {
            ScanVerdict::Patch { .. } => return Self::Patch,
            ScanVerdict::Skip(ScanSkip::EndOfServiceLife) => Reason::EndOfServiceLife,
            ScanVerdict::Skip(ScanSkip::NoVulnerability) => Reason::NoVulnerability,
            ScanVerdict::Unsupported(why) => Reason::Unsupported(why.to_string()),
        })
    }
}

/// What follows from the scan of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PublishDecision {
    /// It earned its tag.
    Publish,
    /// It did not.
    Withhold(Reason),
}

impl From<&PublishVerdict> for PublishDecision {
    fn from(verdict: &PublishVerdict) -> Self {
        Self::Withhold(match verdict {
            PublishVerdict::Publish => return Self::Publish,
            PublishVerdict::Withhold(why) => match why {
                Withheld::NothingFixed => Reason::NothingFixed,
                Withheld::NewFixable(count) => {
                    Reason::NewFinding(u64::try_from(*count).unwrap_or(u64::MAX))
                }
                Withheld::EndOfServiceLife => {
                    Reason::Unjudged(ScanSkip::EndOfServiceLife.to_string())
                }
                Withheld::Unsupported(why) => Reason::Unjudged(why.to_string()),
            },
        })
    }
}

/// Something to store: a record in place of what was stored under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// The cycle itself.
    Cycle(CycleRecord),
    /// One of its runs.
    Run(Box<Run>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::ScanUnsupported;

    #[test]
    fn reasons_read_as_the_verdicts_do() {
        for verdict in [
            Withheld::NothingFixed,
            Withheld::NewFixable(1),
            Withheld::NewFixable(2),
            Withheld::EndOfServiceLife,
            Withheld::Unsupported(ScanUnsupported::UnknownOs),
        ] {
            let text = verdict.to_string();
            match PublishDecision::from(&PublishVerdict::Withhold(verdict)) {
                PublishDecision::Withhold(reason) => assert_eq!(reason.to_string(), text),
                PublishDecision::Publish => panic!("{text}"),
            }
        }
        for (verdict, text) in [
            (
                ScanVerdict::Skip(ScanSkip::EndOfServiceLife),
                "end of service life",
            ),
            (
                ScanVerdict::Skip(ScanSkip::NoVulnerability),
                "no vulnerability found",
            ),
            (
                ScanVerdict::Unsupported(ScanUnsupported::Windows),
                "unsupported: images of Windows cannot be patched",
            ),
        ] {
            match ScanDecision::from(&verdict) {
                ScanDecision::Skip(reason) => assert_eq!(reason.to_string(), text),
                ScanDecision::Patch => panic!("{text}"),
            }
        }
        let patch = ScanVerdict::Patch { fixable: 1 };
        assert_eq!(ScanDecision::from(&patch), ScanDecision::Patch);
    }
}
