//! The report as Markdown.

use std::fmt::{self, Write as _};

use super::{CycleReport, ImageOutcome, ImageReport};
use crate::schedule::rfc3339;

/// The sections after the one of patched images, what is worst first.
const SECTIONS: [(ImageOutcome, &str); 6] = [
    (ImageOutcome::Failed, "Failed"),
    (ImageOutcome::Canceled, "Canceled"),
    (ImageOutcome::Vulnerable, "Still vulnerable"),
    (ImageOutcome::EndOfLife, "End of life"),
    (ImageOutcome::Unsupported, "Unsupported"),
    (ImageOutcome::LeftOut, "Left out"),
];

pub(super) fn write(report: &CycleReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "## Cycle {}: {}\n", report.cycle, report.status)?;
    write!(f, "| images |")?;
    for outcome in ImageOutcome::ALL {
        write!(f, " {outcome} |")?;
    }
    writeln!(f, "\n|---:|{}", "---:|".repeat(ImageOutcome::ALL.len()))?;
    write!(f, "| {} |", report.summary.images)?;
    for outcome in ImageOutcome::ALL {
        write!(f, " {} |", report.summary.of(outcome))?;
    }
    writeln!(f)?;
    if let Some(problem) = &report.problem {
        writeln!(f, "\n{}", Text(problem))?;
    }
    write_databases(report, f)?;
    let mut patched = report
        .images
        .iter()
        .filter_map(|image| Some((image, image.row.patched_image.as_ref()?)))
        .peekable();
    if patched.peek().is_some() {
        writeln!(f, "\n### Patched\n")?;
        writeln!(
            f,
            "| image | patched image | fixed | left |\n|---|---|---:|---:|"
        )?;
        for (image, name) in patched {
            let (fixed, left) = (image.fixed_findings.len(), image.left_findings.len());
            let (image, name) = (image.row.image.to_string(), name.to_string());
            let (image, name) = (Text(&image), Text(&name));
            writeln!(f, "| {image} | {name} | {fixed} | {left} |")?;
        }
    }
    for (outcome, title) in SECTIONS {
        let mut images = report.of(outcome).peekable();
        let has_open = outcome == ImageOutcome::Vulnerable;
        let (head, rule) = if has_open {
            (" open since |", "---|")
        } else {
            ("", "")
        };
        if images.peek().is_some() {
            writeln!(
                f,
                "\n### {title}\n\n| image | reason |{head}\n|---|---|{rule}"
            )?;
        }
        for image in images {
            write_row(f, image, has_open)?;
        }
    }
    Ok(())
}

/// Says when images were judged by databases of different times.
fn write_databases(report: &CycleReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [_, _, ..] = report.databases.as_slice() else {
        return Ok(());
    };
    let databases = report.databases.iter();
    let databases: Vec<String> = databases.map(|made| rfc3339(*made)).collect();
    writeln!(
        f,
        "\nThe scans used databases of different dates: {}",
        databases.join(", ")
    )
}

fn write_row(f: &mut fmt::Formatter<'_>, image: &ImageReport, has_open: bool) -> fmt::Result {
    let name = image.row.image.to_string();
    write!(f, "| {} | {} |", Text(&name), Text(image.reason()))?;
    match image.open_since().filter(|_| has_open) {
        Some(since) => writeln!(f, " {} |", since.format("%Y-%m-%d")),
        None if has_open => writeln!(f, "  |"),
        None => writeln!(f),
    }
}

/// Text as it may stand in a cell of a table, with nothing in it taken for markup.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '\\' | '|' | '*' | '_' | '[' | ']' | '#' | '`' => write!(f, "\\{c}"),
            c if c.is_control() => f.write_char(' '),
            c => f.write_char(c),
        })
    }
}
