//! What came of a cycle, for machines and for people.

mod junit;
mod markdown;
mod sarif;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::id::{CycleId, RunId};
use super::machine::Cycle;
use super::outcome::ImageOutcome;
use super::record::Cause;
use super::row::StatusRow;
use super::status::Status;
use super::summary::Summary;
use crate::name::Platform;
use crate::scan::Finding;

/// A report of a cycle: serialises as JSON, and is written as Markdown, `JUnit` XML and
/// SARIF for CI.
///
/// ```
/// use cssc_core::Cycle;
/// use cssc_core::cycle::{Cause, CycleId, CycleOptions, CycleReport};
///
/// let now = "2024-01-07T09:30:00Z".parse()?;
/// let id = CycleId::new(now, 1);
/// let cycle = Cycle::new(id, Cause::Immediate, CycleOptions::default(), now);
/// let report = CycleReport::new(&cycle);
/// let json = serde_json::to_string(&report)?;
/// assert!(json.starts_with(r#"{"cycle":"20240107T093000Z-0001","status":"Queued""#));
/// let junit = report.junit().to_string();
/// assert!(junit.contains(r#"<testsuite name="cssc cycle 20240107T093000Z-0001""#));
/// let markdown = report.markdown().to_string();
/// assert!(markdown.starts_with("## Cycle 20240107T093000Z-0001: Queued"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CycleReport {
    cycle: CycleId,
    status: Status,
    cause: Cause,
    started: Option<DateTime<Utc>>,
    finished: Option<DateTime<Utc>>,
    summary: Summary,
    /// What went wrong with the plan.
    problem: Option<String>,
    images: Vec<ReportedImage>,
}

/// A row, and the findings behind its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportedImage {
    #[serde(flatten)]
    row: StatusRow,
    /// What the published patch took away.
    fixed_findings: Vec<ReportedFinding>,
    /// What can be fixed and is left.
    left_findings: Vec<ReportedFinding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ReportedFinding {
    platform: Platform,
    #[serde(flatten)]
    finding: Finding,
}

impl CycleReport {
    /// The report of a cycle as it is now.
    pub fn new(cycle: &Cycle) -> Self {
        let record = cycle.record();
        let trigger = cycle.run(&RunId::trigger(record.id()));
        let rows = (0_u32..).zip(cycle.rows());
        Self {
            cycle: record.id(),
            status: record.status(),
            cause: record.cause(),
            started: record.started(),
            finished: record.finished(),
            summary: cycle.summary(),
            problem: trigger
                .and_then(|run| run.reason())
                .map(ToString::to_string),
            images: rows
                .map(|(index, row)| ReportedImage::new(cycle, index, row))
                .collect(),
        }
    }

    /// The report as `JUnit` XML: a test case for the plan, for each image and for each thing that
    /// was left out. What is patched or clean has passed; what failed or is still vulnerable has
    /// failed; all else is skipped.
    pub fn junit(&self) -> impl fmt::Display {
        Written(self, junit::write)
    }

    /// The report as Markdown: the numbers, what was patched, and what was not and why.
    pub fn markdown(&self) -> impl fmt::Display {
        Written(self, markdown::write)
    }

    /// The report as SARIF 2.1.0: a result for each finding that can be fixed and is left.
    pub fn sarif(&self) -> impl Serialize {
        sarif::log(self)
    }

    /// The images with this outcome, and what was left out.
    fn of(&self, outcome: ImageOutcome) -> impl Iterator<Item = &ReportedImage> {
        let images = self.images.iter();
        images.filter(move |image| image.row.outcome == Some(outcome))
    }
}

impl ReportedImage {
    fn new(cycle: &Cycle, index: u32, row: StatusRow) -> Self {
        let (mut fixed, mut left) = (Vec::new(), Vec::new());
        for standing in cycle.platform_standings(index).into_iter().flatten() {
            let reported = |finding: &Finding| ReportedFinding {
                platform: standing.platform.platform.clone(),
                finding: finding.clone(),
            };
            if let Some(evidence) = standing.evidence {
                fixed.extend(evidence.fixed().iter().map(reported));
                let after = evidence.remaining().iter().chain(evidence.introduced());
                left.extend(after.filter(|one| one.is_fixable()).map(reported));
            } else if let Some(scan) = standing.scan_run.scan() {
                left.extend(scan.fixable.iter().map(reported));
            }
        }
        Self {
            row,
            fixed_findings: fixed,
            left_findings: left,
        }
    }

    /// Why it ended as it did, in one line.
    fn reason(&self) -> &str {
        let reason = self.row.reason.as_ref();
        reason.map_or("", |reason| &reason.text)
    }
}

/// A report in one of its forms, written as it is printed.
struct Written<'a>(
    &'a CycleReport,
    fn(&CycleReport, &mut fmt::Formatter<'_>) -> fmt::Result,
);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.1)(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycle::{
        Assignment, Comparison, CycleImage, CycleOptions, CyclePlatform, DiscardOutcome, LeftOut,
        LeftOutReason, NextStep, PatchOutcome, PlanOutcome, PublishOutcome, ScanOutcome, Step,
        StepFailure, VerifyOutcome,
    };
    use crate::inventory::{ListingError, UnavailableKind};
    use crate::name::Digest;
    use crate::scan::{Evidence, ScanSkip, ScanVerdict, Severity};

    fn digest(number: u32) -> Digest {
        format!("sha256:{number:064}").parse().unwrap()
    }

    fn finding(id: &str) -> Finding {
        Finding::new(id, "libc6", "2.36-9", Some("2.36-10"), Severity::High)
    }

    fn image(number: u32, tag: &str) -> CycleImage {
        CycleImage {
            repository: "python".parse().unwrap(),
            tag: tag.parse().unwrap(),
            digest: digest(number),
            platforms: vec![CyclePlatform {
                platform: "linux/amd64".parse().unwrap(),
                digest: digest(number),
                patch: None,
                candidate: None,
            }],
            latest_patch: None,
            patch_tag: Some(format!("{tag}-1").parse().unwrap()),
        }
    }

    fn perform(step: &Step) -> crate::cycle::StepOutcome {
        match step {
            Step::Plan(_) => PlanOutcome {
                images: vec![image(1, "bad"), image(2, "clean"), image(3, "old_1")],
                left_out: vec![LeftOut {
                    repository: "redis".parse().unwrap(),
                    tag: "*".to_owned(),
                    reason: LeftOutReason::Unavailable(ListingError::new(
                        UnavailableKind::Transient,
                        "<down> & \"out\"",
                    )),
                }],
                ..PlanOutcome::default()
            }
            .into(),
            Step::Scan(step) if step.tag.as_str() == "bad" => {
                StepFailure::permanent("no | report\u{1b}\nat all").into()
            }
            Step::Scan(step) if step.tag.as_str() == "clean" => ScanOutcome {
                verdict: ScanVerdict::Skip(ScanSkip::NoVulnerability),
                fixable: Vec::new(),
                unfixed: 4,
            }
            .into(),
            Step::Scan(_) => ScanOutcome {
                verdict: ScanVerdict::Patch { fixable: 2 },
                fixable: vec![finding("CVE-1"), finding("CVE-2")],
                unfixed: 0,
            }
            .into(),
            Step::Patch(_) => PatchOutcome::Made(digest(9)).into(),
            Step::Verify(step) => VerifyOutcome {
                mismatch: None,
                comparisons: vec![Comparison {
                    scanned: step.scanned[0].clone(),
                    evidence: Evidence::new(
                        vec![finding("CVE-1")],
                        Vec::new(),
                        vec![finding("CVE-2")],
                        ScanVerdict::Patch { fixable: 1 },
                    ),
                }],
            }
            .into(),
            Step::Publish(_) => PublishOutcome::Published(digest(9)).into(),
            _ => DiscardOutcome::Removed.into(),
        }
    }

    fn cycle() -> Cycle {
        let now: DateTime<Utc> = "2024-01-07T09:30:00Z".parse().unwrap();
        let options = CycleOptions::default();
        let mut cycle = Cycle::new(CycleId::new(now, 3), Cause::Immediate, options, now);
        while let NextStep::Assigned(assignment) = cycle.next_step(now) {
            let outcome = perform(&assignment.step);
            let Assignment { run, attempt, .. } = *assignment;
            cycle.report(&run, attempt, outcome, now).unwrap();
        }
        cycle
    }

    #[test]
    fn junit() {
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="cssc cycle 20240107T093000Z-0003" tests="5" failures="3" errors="0" skipped="1" time="0">
  <testcase classname="cssc-trigger-workflow" name="plan"><failure message="cannot read `redis:*`: &lt;down&gt; &amp; &quot;out&quot;"/></testcase>
  <testcase classname="python" name="python:bad"><failure message="no | report�&#10;at all"/></testcase>
  <testcase classname="python" name="python:clean"/>
  <testcase classname="python" name="python:old_1"><failure message="1 fixable finding left in the patched image"/></testcase>
  <testcase classname="redis" name="redis:*"><skipped message="&lt;down&gt; &amp; &quot;out&quot;"/></testcase>
</testsuite>
"#;
        assert_eq!(CycleReport::new(&cycle()).junit().to_string(), expected);
    }

    #[test]
    fn markdown() {
        let expected = r#"## Cycle 20240107T093000Z-0003: Failed

| images | patched | clean | vulnerable | end-of-life | unsupported | failed | canceled | left-out |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| 3 | 0 | 1 | 1 | 0 | 0 | 1 | 0 | 1 |

cannot read \`redis:\*\`: &lt;down> & "out"

### Patched

| image | patched image | fixed | left |
|---|---|---:|---:|
| python:old\_1 | python:old\_1-1 | 1 | 1 |

### Failed

| image | reason |
|---|---|
| python:bad | no \| report  at all |

### Still vulnerable

| image | reason |
|---|---|
| python:old\_1 | 1 fixable finding left in the patched image |

### Left out

| image | reason |
|---|---|
| redis:\* | &lt;down> & "out" |
"#;
        assert_eq!(CycleReport::new(&cycle()).markdown().to_string(), expected);
    }

    #[test]
    fn sarif() {
        let log = serde_json::to_value(CycleReport::new(&cycle()).sarif()).unwrap();
        let results = log["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), 1, "what is fixed is not reported");
        assert_eq!(results[0]["ruleId"], "CVE-2");
        assert_eq!(results[0]["level"], "error");
        assert_eq!(
            results[0]["message"]["text"],
            "`libc6` 2.36-9 in `python:old_1` (linux/amd64) has CVE-2; version 2.36-10 fixes it"
        );
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][0]["id"], "CVE-2");
    }

    #[test]
    fn json() {
        let json = serde_json::to_value(CycleReport::new(&cycle())).unwrap();
        assert_eq!(json["status"], "Failed");
        assert_eq!(json["cause"], "immediate");
        assert_eq!(json["summary"]["vulnerable"], 1);
        assert_eq!(json["summary"]["leftOut"], 1);
        let [bad, clean, old, redis] = [0, 1, 2, 3].map(|place| &json["images"][place]);
        assert_eq!(bad["scanStatus"], "Failed");
        assert_eq!(clean["reason"]["code"], "no-vulnerability");
        assert_eq!(clean["findings"]["unfixed"], 4);
        assert_eq!(old["patchedImage"], "python:old_1-1");
        assert_eq!(old["outcome"], "vulnerable");
        assert_eq!(old["fixedFindings"][0]["vulnerabilityId"], "CVE-1");
        assert_eq!(old["leftFindings"][0]["vulnerabilityId"], "CVE-2");
        assert_eq!(redis["outcome"], "left-out");
        assert_eq!(redis["reason"]["code"], "unavailable");
    }
}
