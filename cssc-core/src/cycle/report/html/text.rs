//! What stands between the tags.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};

use crate::cycle::outcome::ImageOutcome;
use crate::schedule::rfc3339;
use crate::text::is_plain;

/// Text from elsewhere, between tags or in an attribute with double quotes: nothing in it is markup,
/// and nothing in it changes the order of what stands around it.
pub(super) struct Text<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\n' => f.write_char(' '),
            c if is_plain(c) => f.write_char(c),
            _ => f.write_char('\u{fffd}'),
        })
    }
}

/// A time for people, and exactly for programs.
pub(super) struct Time(pub(super) DateTime<Utc>);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = rfc3339(self.0);
        let shown = self.0.format("%Y-%m-%d %H:%M UTC");
        write!(f, r#"<time datetime="{exact}">{shown}</time>"#)
    }
}

/// The name of a vulnerability; one of CVE's with where it is described.
pub(super) struct Vulnerability<'a>(pub(super) &'a str);

impl fmt::Display for Vulnerability<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.strip_prefix("CVE-");
        let is_cve = number.is_some_and(|number| {
            number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-')
        });
        let name = Text(self.0);
        if !is_cve {
            return name.fmt(f);
        }
        write!(
            f,
            r#"<a rel="noreferrer" href="https://www.cve.org/CVERecord?id={name}">{name}</a>"#
        )
    }
}

/// How an outcome is toned; its word always stands beside.
pub(super) fn tone(outcome: Option<ImageOutcome>) -> &'static str {
    match outcome {
        Some(ImageOutcome::Patched | ImageOutcome::Clean) => "good",
        Some(ImageOutcome::Vulnerable | ImageOutcome::Failed) => "bad",
        Some(ImageOutcome::EndOfLife | ImageOutcome::Unsupported) => "warn",
        _ => "mute",
    }
}
