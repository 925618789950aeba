//! Findings about a policy: for people with the line and a caret, for GitHub as annotations.

use std::io::{self, Write};

use cssc_core::{Diagnostic, Severity};

use super::{DIM, ERROR, WARNING, styled};

/// How much of a long line is shown, in characters.
const WIDTH: usize = 100;

/// Writes a finding, the line it is about, and a caret under its place.
pub(crate) fn write_human(
    out: &mut impl Write,
    file: &str,
    text: &[u8],
    found: &Diagnostic,
) -> io::Result<()> {
    let style = match found.severity {
        Severity::Error => ERROR,
        Severity::Warning => WARNING,
    };
    let label = format!("{}[{}]", found.severity, found.code);
    writeln!(out, "{}: {}", styled(style, label), found.message)?;
    let Some(at) = found.location else {
        return writeln!(out, " {} {file}", styled(DIM, "-->"));
    };
    let number = at.line.to_string();
    let gutter = " ".repeat(number.len());
    writeln!(
        out,
        "{gutter}{} {file}:{}:{}",
        styled(DIM, "-->"),
        at.line,
        at.column
    )?;
    let line = text
        .split(|&byte| byte == b'\n')
        .nth(at.line.saturating_sub(1));
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let (shown, column) = excerpt(line.trim_end_matches('\r'), at.column);
    let bar = styled(DIM, "|").to_string();
    let room = shown
        .chars()
        .count()
        .saturating_sub(column)
        .saturating_add(1);
    let carets = "^".repeat(at.length.min(room).max(1));
    let indent = " ".repeat(column.saturating_sub(1));
    writeln!(out, "{gutter} {bar}")?;
    writeln!(out, "{} {bar} {shown}", styled(DIM, number))?;
    writeln!(out, "{gutter} {bar} {indent}{}", styled(style, carets))
}

/// Writes a finding to standard error.
pub(crate) fn to_stderr(file: &str, text: &[u8], found: &Diagnostic) {
    // There is nobody left to tell when standard error is gone.
    let _ = write_human(&mut anstream::stderr().lock(), file, text, found);
}

/// The part of `line` around `column`, and the column in it. Every character takes one place.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let is_long = line.chars().count() > WIDTH;
    let skipped = if is_long {
        column.saturating_sub(WIDTH / 2)
    } else {
        0
    };
    let shown = line
        .chars()
        .skip(skipped)
        .take(WIDTH)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    (shown, column.saturating_sub(skipped))
}

/// Writes a finding as an annotation of GitHub Actions.
pub(crate) fn write_github(out: &mut impl Write, file: &str, found: &Diagnostic) -> io::Result<()> {
    write!(out, "::{} file={}", found.severity, escape_property(file))?;
    if let Some(at) = found.location {
        let end = at.column.saturating_add(at.length);
        write!(out, ",line={},col={},endColumn={end}", at.line, at.column)?;
    }
    let message = found
        .message
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    writeln!(out, ",title={}::{message}", found.code)
}

fn escape_property(text: &str) -> String {
    [
        ("%", "%25"),
        ("\r", "%0D"),
        ("\n", "%0A"),
        (":", "%3A"),
        (",", "%2C"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
