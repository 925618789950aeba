//! Findings about a policy: for people with the line and a caret, for GitHub as annotations.

use std::borrow::Cow;
use std::io::{self, Write};

use cssc_core::Diagnostic;
use cssc_core::policy::{DiagnosticSeverity, Span};
use cssc_core::text::is_plain;

use serde_json::json;

use super::{DIM, ERROR, Level, WARNING, log, styled};

/// How much of a long line is shown, in characters.
const WIDTH: usize = 100;

/// Writes a finding, the line it is about, and a caret under its place.
pub(crate) fn write_human(
    out: &mut impl Write,
    source: &mut Source<'_>,
    found: &Diagnostic,
) -> io::Result<()> {
    let file = source.name;
    let style = match found.severity {
        DiagnosticSeverity::Error => ERROR,
        DiagnosticSeverity::Warning => WARNING,
    };
    let label = format!("{}[{}]", found.severity, found.code);
    writeln!(out, "{}: {}", styled(style, label), found.message)?;
    let Some(at) = found.span else {
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
    let (shown, column) = source.excerpt(at);
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
pub(crate) fn to_stderr(source: &mut Source<'_>, found: &Diagnostic) {
    if log::is_json() {
        let level = match found.severity {
            DiagnosticSeverity::Error => Level::Error,
            DiagnosticSeverity::Warning => Level::Warning,
        };
        let fields = log::fields([("file", source.name.into()), ("diagnostic", json!(found))]);
        return log::tell(level, "diagnostic", &found.message, fields);
    }
    // There is nobody left to tell when standard error is gone.
    let _ = write_human(&mut anstream::stderr().lock(), source, found);
}

/// The text that findings are about.
///
/// Findings come in the order of the text. Each is looked for from the place of the one before,
/// so that a thousand findings in a line of ten megabytes read it once.
pub(crate) struct Source<'a> {
    name: &'a str,
    text: &'a [u8],
    place: Place,
}

/// A character of the text: its line and column, from 1, and where it and its line begin.
#[derive(Clone, Copy)]
struct Place {
    line: usize,
    column: usize,
    offset: usize,
    line_offset: usize,
}

impl Place {
    const BEGIN: Self = Self {
        line: 1,
        column: 1,
        offset: 0,
        line_offset: 0,
    };
}

impl<'a> Source<'a> {
    pub(crate) fn new(name: &'a str, text: &'a [u8]) -> Self {
        Self {
            name,
            text,
            place: Place::BEGIN,
        }
    }

    /// Goes to `at`, or to the end of its line when the line is shorter.
    fn seek(&mut self, at: Span) {
        let wanted = (at.line, at.column);
        if wanted < (self.place.line, self.place.column) {
            self.place = Place::BEGIN;
        }
        let place = &mut self.place;
        while (place.line, place.column) < wanted
            && let Some(&byte) = self.text.get(place.offset)
        {
            if byte != b'\n' {
                place.offset = next_character(self.text, place.offset);
                place.column = place.column.saturating_add(1);
            } else if place.line == at.line {
                break;
            } else {
                place.offset = place.offset.saturating_add(1);
                place.line = place.line.saturating_add(1);
                place.column = 1;
                place.line_offset = place.offset;
            }
        }
    }

    /// The part of the line around `at`, and the column in it. Every character takes one place.
    fn excerpt(&mut self, at: Span) -> (String, usize) {
        self.seek(at);
        let Place {
            column,
            offset,
            line_offset,
            ..
        } = self.place;
        let line = self.line_from(line_offset);
        let (line, column) = if line.chars().count() <= WIDTH {
            (line, column)
        } else {
            let column = column.min(WIDTH / 2);
            let begin = (1..column).fold(offset, |offset, _| previous(self.text, offset));
            (self.line_from(begin), column)
        };
        let characters = line.chars().take(WIDTH);
        let shown = characters.map(|c| if is_plain(c) { c } else { ' ' });
        (shown.collect(), column)
    }

    /// The rest of a line, as far as it can matter: a character has at most four bytes.
    fn line_from(&self, offset: usize) -> Cow<'a, str> {
        const BYTES: usize = (WIDTH + 1) * 4;
        let rest = self.text.get(offset..).unwrap_or_default();
        let rest = rest.get(..BYTES).unwrap_or(rest);
        let line = rest.split(|&byte| byte == b'\n').next();
        let line = line.unwrap_or_default();
        String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Whether a character begins with this byte.
fn is_first(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

fn next_character(text: &[u8], offset: usize) -> usize {
    let after = offset.saturating_add(1);
    let rest = text.get(after..).unwrap_or_default();
    let more = rest.iter().take_while(|&&byte| !is_first(byte)).count();
    after.saturating_add(more)
}

fn previous(text: &[u8], offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or_default();
    before
        .iter()
        .rposition(|&byte| is_first(byte))
        .unwrap_or_default()
}

/// Writes a finding as an annotation of GitHub Actions.
pub(crate) fn write_github(out: &mut impl Write, file: &str, found: &Diagnostic) -> io::Result<()> {
    write!(out, "::{} file={}", found.severity, escape_property(file))?;
    if let Some(at) = found.span {
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
