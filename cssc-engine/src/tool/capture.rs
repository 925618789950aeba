//! What a tool prints, as bounded lines without secrets.

use std::collections::VecDeque;

use cssc_core::text;

/// Takes the output of a tool, line by line, without line ends.
pub trait Log: Send + Sync {
    /// One line, at most 8 KiB long.
    fn line(&self, line: &str);

    /// Nothing came for a moment: what was gathered can be handed on. Called often.
    fn idle(&self) {}
}

impl<F: Fn(&str) + Send + Sync> Log for F {
    fn line(&self, line: &str) {
        self(line);
    }
}

/// The longest line, in bytes; the rest of a longer one is left out.
pub(super) const MAX_LINE: usize = 8 * 1024;
/// How much is handed on as it comes.
const HEAD: usize = 1024 * 1024;
/// How much of the end is kept once that is used up: the reason of a failure stands there.
const TAIL: usize = 64 * 1024;
/// Shorter texts occur by chance; hiding them would spoil the log and hide nothing.
const SHORTEST_SECRET: usize = 4;

/// Hands lines on to a log: the first mebibyte as it comes, of the rest the last 64 KiB.
pub(super) struct Capture<'a> {
    log: &'a dyn Log,
    secrets: Vec<String>,
    head: usize,
    tail: VecDeque<String>,
    tail_len: usize,
    left_out: u64,
    said: String,
    error_said: String,
}

impl<'a> Capture<'a> {
    pub(super) fn new(log: &'a dyn Log, mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
        // The longer first: one may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self {
            log,
            secrets,
            head: HEAD,
            tail: VecDeque::new(),
            tail_len: 0,
            left_out: 0,
            said: String::new(),
            error_said: String::new(),
        }
    }

    /// How much of a line must be read so that no secret is cut in two where the line is cut.
    pub(super) fn line_limit(&self) -> usize {
        let longest = self.secrets.first().map_or(0, String::len);
        MAX_LINE.saturating_add(longest)
    }

    pub(super) fn take(&mut self, bytes: &[u8], is_error: bool) {
        let line = self.clean(bytes);
        if !line.trim().is_empty() {
            let said = if is_error {
                &mut self.error_said
            } else {
                &mut self.said
            };
            line.trim().clone_into(said);
        }
        if let Some(head) = self.head.checked_sub(line.len().saturating_add(1)) {
            self.head = head;
            self.log.line(&line);
            return;
        }
        self.head = 0;
        self.tail_len = self.tail_len.saturating_add(line.len()).saturating_add(1);
        self.tail.push_back(line);
        while self.tail_len > TAIL {
            let Some(dropped) = self.tail.pop_front() else {
                break;
            };
            self.tail_len = self
                .tail_len
                .saturating_sub(dropped.len())
                .saturating_sub(1);
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Hands on what was kept of the end; the last line that says something, of errors if any.
    pub(super) fn finish(self) -> String {
        if self.left_out != 0 {
            let count = self.left_out;
            self.log
                .line(&format!("… {count} lines of output left out …"));
        }
        for line in &self.tail {
            self.log.line(line);
        }
        if self.error_said.is_empty() {
            self.said
        } else {
            self.error_said
        }
    }

    fn clean(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches('\r');
        // A carriage return overwrites the line, as progress bars do: the last state stays.
        let text = text.rsplit('\r').next().unwrap_or_default();
        let mut line: String = text.chars().filter(|&letter| is_plain(letter)).collect();
        for secret in &self.secrets {
            if line.contains(secret.as_str()) {
                line = line.replace(secret.as_str(), "***");
            }
        }
        // A secret may have been cut in two where the line was.
        if bytes.len() >= self.line_limit() {
            let longest = self.secrets.first().map_or(0, String::len);
            let rest = line.len().saturating_sub(longest);
            truncate(&mut line, rest);
        }
        let mut line = without_login(&line);
        if line.len() > MAX_LINE {
            truncate(&mut line, MAX_LINE);
            line.push('…');
        }
        line
    }
}

/// Leaves at most `length` bytes.
fn truncate(line: &mut String, length: usize) {
    let cut = (0..=length).rev().find(|&at| line.is_char_boundary(at));
    line.truncate(cut.unwrap_or(0));
}

/// Whether a letter leaves a terminal, and the order of the letters around it, alone.
pub(crate) fn is_plain(letter: char) -> bool {
    letter == '\t' || text::is_plain(letter)
}

/// Hides `user:password` in `scheme://user:password@host`.
fn without_login(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let end = after
            .find(|letter: char| letter == '/' || letter.is_whitespace() || letter == '"')
            .unwrap_or(after.len());
        let (host, path) = after.split_at(end);
        match host.rsplit_once('@') {
            Some((_, host)) => {
                clean.push_str("***@");
                clean.push_str(host);
            }
            None => clean.push_str(host),
        }
        rest = path;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn captured(lines: &[&[u8]], secrets: &[&str]) -> (Vec<String>, String) {
        let log = Mutex::new(Vec::new());
        let push = |line: &str| log.lock().unwrap().push(line.to_owned());
        let secrets = secrets.iter().map(ToString::to_string).collect();
        let mut capture = Capture::new(&push, secrets);
        for line in lines {
            capture.take(line, false);
        }
        let said = capture.finish();
        (log.into_inner().unwrap(), said)
    }

    #[test]
    fn secrets_do_not_come_through() {
        let (lines, _) = captured(
            &[
                b"login hunter2 and hunter2000",
                b"pull https://me:pw@host/x, http://host/a@b",
            ],
            &["hunter2", "hunter2000", "a"],
        );
        assert_eq!(
            lines,
            [
                "login *** and ***",
                "pull https://***@host/x, http://host/a@b"
            ]
        );
    }

    #[test]
    fn a_secret_across_the_cut_of_a_line_does_not_come_through() {
        let mut line = vec![b'x'; MAX_LINE - 3];
        line.extend(b"hunter2000");
        let (lines, _) = captured(&[&line], &["hunter2000"]);
        assert!(!lines[0].contains("hun"));

        // Also where letters that are left out have made room.
        let mut line = vec![7; MAX_LINE + 5];
        line.extend(b"hunte");
        let (lines, _) = captured(&[&line], &["hunter2000"]);
        assert!(!lines[0].contains("hunte"), "{}", lines[0]);
    }

    #[test]
    fn letters_that_reorder_a_line_or_split_a_secret_are_left_out() {
        let line = "a\u{202e}b\u{2066}c\u{200f}d hun\u{61c}ter\x072 \u{e9}";
        let (lines, said) = captured(&[line.as_bytes()], &["hunter2"]);
        assert_eq!(lines, ["abcd *** \u{e9}"]);
        assert_eq!(said, "abcd *** \u{e9}");
    }

    #[test]
    fn hostile_lines_are_made_plain() {
        let (lines, said) = captured(
            &[b"10%\r50%\r100%\r", b"\x1b[31mred\x07\tx", b"\xff", b"  "],
            &[],
        );
        assert_eq!(lines, ["100%", "[31mred\tx", "\u{fffd}", "  "]);
        assert_eq!(said, "\u{fffd}");
    }

    #[test]
    fn of_a_flood_the_beginning_and_the_end_are_kept() {
        let line = [b'x'; 1023];
        let mut lines: Vec<&[u8]> = vec![&line; 10_000];
        lines.push(b"the reason");
        let (kept, said) = captured(&lines, &[]);
        assert_eq!(said, "the reason");
        assert_eq!(kept.last().unwrap(), "the reason");
        assert_eq!(kept[1024], "… 8913 lines of output left out …");
        assert_eq!(kept.len(), 1024 + 1 + 64);
    }
}
