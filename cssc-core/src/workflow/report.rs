//! What came of a cycle, for machines and for people.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::cycle::Cycle;
use super::id::RunId;
use super::record::Cause;
use super::row::StatusRow;
use super::status::{RowStatus, Status};
use super::summary::Summary;

/// A report of a cycle: serialises as JSON, and is written as `JUnit` XML or as Markdown for CI.
///
/// ```
/// use cssc_core::{Cause, Cycle, CycleOptions, CycleReport, Owner};
///
/// let now = "2024-01-07T09:30:00Z".parse()?;
/// let cycle = Cycle::new(1, Owner::new(7), Cause::Immediate, CycleOptions::default(), now);
/// let report = CycleReport::new(&cycle);
/// assert!(serde_json::to_string(&report)?.starts_with(r#"{"cycle":1,"status":"Queued""#));
/// assert!(report.junit().to_string().contains(r#"<testsuite name="cssc cycle 1""#));
/// assert!(report.markdown().to_string().starts_with("## Cycle 1: Queued"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CycleReport {
    cycle: u64,
    status: Status,
    cause: Cause,
    started: Option<DateTime<Utc>>,
    finished: Option<DateTime<Utc>>,
    summary: Summary,
    /// What went wrong with the plan.
    trouble: Option<String>,
    images: Vec<StatusRow>,
}

impl CycleReport {
    /// The report of a cycle as it is now.
    pub fn new(cycle: &Cycle) -> Self {
        let record = cycle.record();
        let trigger = cycle.run(RunId::trigger(record.id()));
        Self {
            cycle: record.id(),
            status: record.status(),
            cause: record.cause(),
            started: record.started(),
            finished: record.finished(),
            summary: cycle.summary(),
            trouble: trigger
                .and_then(|run| run.reason())
                .map(ToString::to_string),
            images: cycle.rows().collect(),
        }
    }

    /// The report as `JUnit` XML: a test case for the plan and for each image. What is not needed
    /// or not done is skipped, what failed has failed.
    pub fn junit(&self) -> impl fmt::Display {
        Written(self, Self::write_junit)
    }

    /// The report as Markdown: the numbers, then what was patched and what failed.
    pub fn markdown(&self) -> impl fmt::Display {
        Written(self, Self::write_markdown)
    }

    fn write_junit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests = self.images.len().saturating_add(1);
        let failures = self
            .summary
            .failed
            .saturating_add(usize::from(self.trouble.is_some()));
        let passed = self.images.iter().filter(|row| is_taken_care_of(row));
        let skipped = self
            .images
            .len()
            .saturating_sub(self.summary.failed)
            .saturating_sub(passed.count());
        let seconds = self
            .started
            .zip(self.finished)
            .map_or(0, |(start, end)| {
                end.signed_duration_since(start).num_seconds()
            })
            .max(0);
        writeln!(f, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
        writeln!(
            f,
            r#"<testsuite name="cssc cycle {}" tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}" time="{seconds}">"#,
            self.cycle
        )?;
        write_case(
            f,
            "plan",
            "cssc-trigger-workflow",
            "failure",
            self.trouble.as_deref(),
        )?;
        for row in &self.images {
            let repository = row
                .image
                .rsplit_once(':')
                .map_or("", |(repository, _)| repository);
            let has_failed =
                row.scan_status == RowStatus::Failed || row.patch_status == RowStatus::Failed;
            let kind = if has_failed { "failure" } else { "skipped" };
            let reason = row.reason.as_deref().unwrap_or("not done yet");
            let remark = (!is_taken_care_of(row)).then_some(reason);
            write_case(f, repository, &row.image, kind, remark)?;
        }
        writeln!(f, "</testsuite>")
    }

    fn write_markdown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            images,
            patched,
            skipped,
            failed,
            canceled,
            ..
        } = self.summary;
        writeln!(f, "## Cycle {}: {}\n", self.cycle, self.status)?;
        writeln!(f, "| images | patched | skipped | failed | canceled |")?;
        writeln!(f, "|---:|---:|---:|---:|---:|")?;
        writeln!(
            f,
            "| {images} | {patched} | {skipped} | {failed} | {canceled} |"
        )?;
        if let Some(trouble) = &self.trouble {
            writeln!(f, "\n{}", Markdown(trouble))?;
        }
        let mut of = |title: &str, column: &str, rows: Vec<(&str, &str)>| {
            if rows.is_empty() {
                return Ok(());
            }
            writeln!(f, "\n### {title}\n\n| image | {column} |\n|---|---|")?;
            rows.into_iter().try_for_each(|(image, text)| {
                writeln!(f, "| {} | {} |", Markdown(image), Markdown(text))
            })
        };
        let patched = self.images.iter().filter_map(|row| {
            let patched = row.patched_image.as_deref()?;
            Some((row.image.as_str(), patched))
        });
        of("Patched", "patched image", patched.collect())?;
        let failed = self.images.iter().filter(|row| {
            row.scan_status == RowStatus::Failed || row.patch_status == RowStatus::Failed
        });
        let failed = failed.map(|row| {
            (
                row.image.as_str(),
                row.reason.as_deref().unwrap_or_default(),
            )
        });
        of("Failed", "reason", failed.collect())
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

/// Whether the image got a patch. One that needed none is skipped, as its row says.
fn is_taken_care_of(row: &StatusRow) -> bool {
    row.patch_status == RowStatus::Succeeded
}

fn write_case(
    f: &mut fmt::Formatter<'_>,
    class: &str,
    name: &str,
    kind: &str,
    remark: Option<&str>,
) -> fmt::Result {
    let (class, name) = (Xml(class), Xml(name));
    write!(f, r#"  <testcase classname="{class}" name="{name}""#)?;
    match remark {
        None => writeln!(f, "/>"),
        Some(remark) => writeln!(f, "><{kind} message=\"{}\"/></testcase>", Xml(remark)),
    }
}

/// Text as it may stand in an attribute of XML 1.0, which has no way to write some characters.
struct Xml<'a>(&'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\n' => f.write_str("&#10;"),
            '\t' => f.write_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char('\u{fffd}'),
            c => f.write_char(c),
        })
    }
}

/// Text as it may stand in a cell of a table, with nothing in it taken for markup.
struct Markdown<'a>(&'a str);

impl fmt::Display for Markdown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '\\' | '|' | '*' | '_' | '[' | ']' | '#' | '`' => write!(f, "\\{c}"),
            c if c.is_control() => f.write_char(' '),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::{
        CycleImage, CycleOptions, Next, Outcome, Owner, Reason, ScanDecision, Step,
    };

    fn cycle() -> Cycle {
        let now: DateTime<Utc> = "2024-01-07T09:30:00Z".parse().unwrap();
        let options = CycleOptions {
            verify: false,
            ..CycleOptions::default()
        };
        let mut cycle = Cycle::new(3, Owner::new(7), Cause::Immediate, options, now);
        while let Next::Work(work) = cycle.next_work(now) {
            let image = |tag: &str| CycleImage {
                repository: "python".parse().unwrap(),
                tag: tag.parse().unwrap(),
                scan_tag: tag.parse().unwrap(),
                patch_tag: Some(format!("{tag}-1").parse().unwrap()),
                digest: None,
                patched_digest: None,
            };
            let outcome = match &work.step {
                Step::Plan => Outcome::Planned {
                    images: ["bad", "clean", "old_1"].map(image).into(),
                    unavailable: Some("`redis`: <down> & \"out\"".to_owned()),
                },
                Step::Scan { tag, .. } => match tag.as_str() {
                    "bad" => Outcome::Failed {
                        reason: "no | report\u{1b}\nat all".to_owned(),
                        retry: false,
                    },
                    "clean" => Outcome::Scanned {
                        verdict: ScanDecision::Skip(Reason::NoVulnerability),
                        digest: None,
                    },
                    _ => Outcome::Scanned {
                        verdict: ScanDecision::Patch,
                        digest: None,
                    },
                },
                Step::Patch { .. } => Outcome::Patched {
                    digest: "sha256:1".to_owned(),
                    original: None,
                },
                Step::Publish { .. } => Outcome::Published,
                _ => Outcome::Discarded,
            };
            cycle.report(work.run, work.attempt, outcome, now).unwrap();
        }
        cycle
    }

    #[test]
    fn junit() {
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="cssc cycle 3" tests="4" failures="2" errors="0" skipped="1" time="0">
  <testcase classname="plan" name="cssc-trigger-workflow"><failure message="cannot list tags: `redis`: &lt;down&gt; &amp; &quot;out&quot;"/></testcase>
  <testcase classname="python" name="python:bad"><failure message="no | report�&#10;at all"/></testcase>
  <testcase classname="python" name="python:clean"><skipped message="no vulnerability found"/></testcase>
  <testcase classname="python" name="python:old_1"/>
</testsuite>
"#;
        assert_eq!(CycleReport::new(&cycle()).junit().to_string(), expected);
    }

    #[test]
    fn markdown() {
        let expected = r#"## Cycle 3: Failed

| images | patched | skipped | failed | canceled |
|---:|---:|---:|---:|---:|
| 3 | 1 | 1 | 1 | 0 |

cannot list tags: \`redis\`: &lt;down> & "out"

### Patched

| image | patched image |
|---|---|
| python:old\_1 | python:old\_1-1 |

### Failed

| image | reason |
|---|---|
| python:bad | no \| report  at all |
"#;
        assert_eq!(CycleReport::new(&cycle()).markdown().to_string(), expected);
    }

    #[test]
    fn json() {
        let json = serde_json::to_value(CycleReport::new(&cycle())).unwrap();
        assert_eq!(json["status"], "Failed");
        assert_eq!(json["cause"], "immediate");
        assert_eq!(json["summary"]["patched"], 1);
        assert_eq!(json["images"][2]["patchedImage"], "python:old_1-1");
        assert_eq!(json["images"][0]["scanStatus"], "Failed");
    }
}
