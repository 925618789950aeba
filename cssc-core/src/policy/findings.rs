//! Collecting findings: places in the text become lines and columns, and their number is bounded.

use std::ops::Range;

use super::diagnostic::{Diagnostic, DiagnosticCode, DiagnosticSeverity, Span};

/// How many errors, and how many warnings, are listed; of the others, how many there are.
const MAX_FINDINGS: usize = 1000;

/// Findings of one severity.
#[derive(Default)]
struct Listed {
    found: Vec<(Option<Range<usize>>, Diagnostic)>,
    unlisted: usize,
}

/// The findings about one policy, as they are made.
pub(super) struct Findings<'a> {
    text: &'a str,
    errors: Listed,
    warnings: Listed,
}

impl<'a> Findings<'a> {
    /// For a policy with this text; an empty one when it was not given as text.
    pub(super) fn about(text: &'a str) -> Self {
        Self {
            text,
            errors: Listed::default(),
            warnings: Listed::default(),
        }
    }

    pub(super) fn add(
        &mut self,
        code: DiagnosticCode,
        pointer: &str,
        span: Option<&Range<usize>>,
        message: impl Into<String>,
    ) {
        let severity = code.severity();
        let listed = match severity {
            DiagnosticSeverity::Error => &mut self.errors,
            DiagnosticSeverity::Warning => &mut self.warnings,
        };
        if listed.found.len() >= MAX_FINDINGS {
            listed.unlisted = listed.unlisted.saturating_add(1);
            return;
        }
        let diagnostic = Diagnostic {
            code,
            severity,
            message: message.into(),
            pointer: pointer.to_owned(),
            span: None,
        };
        listed.found.push((span.cloned(), diagnostic));
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.found.is_empty()
    }

    /// All findings, in the order of the text.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        let unlisted = [
            (DiagnosticCode::TooManyFindings, self.errors.unlisted),
            (DiagnosticCode::TooManyWarnings, self.warnings.unlisted),
        ];
        let mut found = self.errors.found;
        found.extend(self.warnings.found);
        // What has no place stays in front, as it was found.
        found.sort_by_key(|(span, _)| span.as_ref().map(|span| span.start));
        let mut places = Places::new(self.text);
        let mut all: Vec<Diagnostic> = found
            .into_iter()
            .map(|(span, diagnostic)| Diagnostic {
                span: span.map(|span| places.locate(&span)),
                ..diagnostic
            })
            .collect();
        for (code, count) in unlisted {
            if count > 0 {
                all.push(Diagnostic {
                    code,
                    severity: code.severity(),
                    message: format!("and {count} more, which are not listed"),
                    pointer: String::new(),
                    span: None,
                });
            }
        }
        all
    }
}

/// Turns spans, in ascending order, into lines and columns: one walk over the text, however long
/// its lines are and however many findings they have.
struct Places<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    column: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            column: 1,
        }
    }

    fn locate(&mut self, span: &Range<usize>) -> Span {
        let passed = self.text.get(self.at..span.start).unwrap_or_default();
        self.at = self.at.saturating_add(passed.len());
        let last_line = match passed.rsplit_once('\n') {
            None => passed,
            Some((before, last_line)) => {
                let lines = before.matches('\n').count().saturating_add(1);
                self.line = self.line.saturating_add(lines);
                self.column = 1;
                last_line
            }
        };
        self.column = self.column.saturating_add(last_line.chars().count());
        let marked = self.text.get(span.clone()).unwrap_or_default();
        let marked = marked.split('\n').next().unwrap_or_default();
        Span {
            line: self.line,
            column: self.column,
            length: marked.chars().count().max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_lengths_are_characters_of_one_line() {
        let mut places = Places::new("ab\r\n\u{e4}\u{1f433}c\n");
        let mut found = |span: Range<usize>| {
            let at = places.locate(&span);
            (at.line, at.column, at.length)
        };
        assert_eq!(found(0..10), (1, 1, 3));
        assert_eq!(found(6..10), (2, 2, 1));
        assert_eq!(found(10..11), (2, 3, 1));
        assert_eq!(found(12..12), (3, 1, 1));
    }
}
