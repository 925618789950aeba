//! What a child process tells: the lines of its outputs, and its end.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::capture::Capture;
use super::process_group::ProcessGroup;

/// How long to wait for the rest of the output when the process has ended.
const DRAIN: Duration = Duration::from_secs(2);

pub(super) enum Event {
    Line {
        bytes: Vec<u8>,
        is_error: bool,
    },
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "only Unix has a thread that waits")
    )]
    Ended,
}

/// What is told, by a thread for each output and one that waits for the end.
pub(super) struct Events {
    receiver: Receiver<Event>,
    /// Keeps the channel open until the process has ended.
    sender: SyncSender<Event>,
}

impl Events {
    /// Of a long line, no more than `limit` bytes are read.
    pub(super) fn of(child: &mut Child, group: &ProcessGroup, limit: usize) -> Self {
        // Few: a tool that floods is slowed down to what the log takes.
        let (sender, receiver) = mpsc::sync_channel(64);
        if let Some(output) = child.stdout.take() {
            let sender = sender.clone();
            thread::spawn(move || read_lines(output, limit, false, &sender));
        }
        if let Some(output) = child.stderr.take() {
            let sender = sender.clone();
            thread::spawn(move || read_lines(output, limit, true, &sender));
        }
        #[cfg(unix)]
        {
            let (group, sender) = (group.clone(), sender.clone());
            thread::spawn(move || {
                group.wait_for_end();
                let _ = sender.send(Event::Ended);
            });
        }
        #[cfg(not(unix))]
        let _ = group;
        Self { receiver, sender }
    }

    /// What is told next, if it is within `pause`.
    pub(super) fn next(&self, pause: Duration) -> Option<Event> {
        self.receiver.recv_timeout(pause).ok()
    }

    /// Takes what is left when the process has ended, but does not wait for another that keeps
    /// the output open.
    pub(super) fn drain(self, capture: &mut Capture<'_>) {
        drop(self.sender);
        let begin = Instant::now();
        while let Some(left) = DRAIN.checked_sub(begin.elapsed())
            && let Ok(event) = self.receiver.recv_timeout(left)
        {
            if let Event::Line { bytes, is_error } = event {
                capture.take(&bytes, is_error);
            }
        }
    }
}

/// Sends each line; of a long one the first `limit` bytes. Ends when nobody listens.
fn read_lines(output: impl Read, limit: usize, is_error: bool, lines: &SyncSender<Event>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        let bytes = match output.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if bytes.is_empty() {
            break;
        }
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = limit.saturating_sub(line.len());
        line.extend_from_slice(part.get(..room).unwrap_or(part));
        let used = part.len().saturating_add(usize::from(end.is_some()));
        output.consume(used);
        if end.is_some() {
            let bytes = std::mem::take(&mut line);
            if lines.send(Event::Line { bytes, is_error }).is_err() {
                return;
            }
        }
    }
    if !line.is_empty() {
        let bytes = line;
        let _ = lines.send(Event::Line { bytes, is_error });
    }
}
