//! The report as JUnit XML.

use std::fmt::{self, Write as _};

use super::{CycleReport, ImageOutcome, ImageReport};

/// How a test case ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Passed,
    Failed,
    Skipped,
}

pub(super) fn write(report: &CycleReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plan = match report.problem {
        Some(_) => Case::Failed,
        None => Case::Passed,
    };
    let cases = || report.images.iter().map(case).chain([plan]);
    let count = |wanted| cases().filter(|case| *case == wanted).count();
    let seconds = report
        .started
        .zip(report.finished)
        .map_or(0, |(start, end)| {
            end.signed_duration_since(start).num_seconds()
        })
        .max(0);
    writeln!(f, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        f,
        r#"<testsuite name="cssc cycle {}" tests="{}" failures="{}" errors="0" skipped="{}" time="{seconds}">"#,
        report.cycle,
        cases().count(),
        count(Case::Failed),
        count(Case::Skipped),
    )?;
    let problem = report.problem.as_deref().unwrap_or_default();
    write_case(f, "cssc-trigger-workflow", "plan", plan, problem)?;
    for image in &report.images {
        let class = image.row.image.repository.as_str();
        let remark = match (image.reason(), image.row.outcome) {
            ("", None) => "not done yet",
            (reason, _) => reason,
        };
        write_case(f, class, &image.row.image.to_string(), case(image), remark)?;
    }
    writeln!(f, "</testsuite>")
}

fn case(image: &ImageReport) -> Case {
    match image.row.outcome {
        Some(ImageOutcome::Patched | ImageOutcome::Clean) => Case::Passed,
        Some(ImageOutcome::Failed | ImageOutcome::Vulnerable) => Case::Failed,
        _ => Case::Skipped,
    }
}

fn write_case(
    f: &mut fmt::Formatter<'_>,
    class: &str,
    name: &str,
    case: Case,
    remark: &str,
) -> fmt::Result {
    let (class, name, remark) = (Xml(class), Xml(name), Xml(remark));
    write!(f, r#"  <testcase classname="{class}" name="{name}""#)?;
    let element = match case {
        Case::Passed => return writeln!(f, "/>"),
        Case::Failed => "failure",
        Case::Skipped => "skipped",
    };
    writeln!(f, "><{element} message=\"{remark}\"/></testcase>")
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
