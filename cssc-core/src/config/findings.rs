//! Collecting findings: places in the text become lines and columns, and their number is bounded.

use std::ops::Range;

use super::diagnostic::{Code, Diagnostic, Location, Severity};

/// How many findings are listed; of the others, how many there are.
const MAX_FINDINGS: usize = 1000;

/// The findings about one policy, as they are made.
pub(super) struct Findings<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    found: Vec<(usize, Diagnostic)>,
    errors: usize,
    unlisted: usize,
}

impl<'a> Findings<'a> {
    /// For a policy with this text; an empty one when it was not given as text.
    pub(super) fn about(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let after = breaks.map(|(at, _)| at.saturating_add(1));
        Self {
            text,
            lines: std::iter::once(0).chain(after).collect(),
            found: Vec::new(),
            errors: 0,
            unlisted: 0,
        }
    }

    pub(super) fn add(
        &mut self,
        code: Code,
        pointer: &str,
        span: Option<&Range<usize>>,
        message: impl Into<String>,
    ) {
        let severity = code.severity();
        if severity == Severity::Error {
            self.errors = self.errors.saturating_add(1);
        }
        if self.found.len() >= MAX_FINDINGS {
            self.unlisted = self.unlisted.saturating_add(1);
            return;
        }
        let diagnostic = Diagnostic {
            code,
            severity,
            message: message.into(),
            pointer: pointer.to_owned(),
            location: span.map(|span| self.location(span)),
        };
        let order = span.map_or(self.found.len(), |span| span.start);
        self.found.push((order, diagnostic));
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// All findings, in the order of the text.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(order, _)| *order);
        let mut all: Vec<Diagnostic> = self.found.into_iter().map(|(_, found)| found).collect();
        if self.unlisted > 0 {
            all.push(Diagnostic {
                code: Code::TooManyFindings,
                severity: Code::TooManyFindings.severity(),
                message: format!("and {} more, which are not listed", self.unlisted),
                pointer: String::new(),
                location: None,
            });
        }
        all
    }

    fn location(&self, span: &Range<usize>) -> Location {
        let line = self.lines.partition_point(|&begin| begin <= span.start);
        let begin = line
            .checked_sub(1)
            .and_then(|line| self.lines.get(line))
            .copied();
        let begin = begin.unwrap_or_default();
        let line_end = self
            .lines
            .get(line)
            .map_or(self.text.len(), |next| next.saturating_sub(1));
        let count =
            |range: Range<usize>| self.text.get(range).map_or(0, |text| text.chars().count());
        Location {
            line,
            column: count(begin..span.start).saturating_add(1),
            length: count(span.start..span.end.min(line_end)).max(1),
        }
    }
}
