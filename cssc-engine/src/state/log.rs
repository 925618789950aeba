//! The log of a run, written while a tool prints.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cssc_core::cycle::RunId;

use super::{State, StateError};
use crate::tool::{Log, is_plain};

/// How much is gathered before it is written.
const PIECE: usize = 16 * 1024;
/// How long a line may wait for others, so that one who follows sees it soon.
const WAIT: Duration = Duration::from_millis(250);

/// Writes the lines of a tool to the log of a run; the rest when it is finished or dropped.
pub struct RunLog<'a> {
    state: &'a dyn State,
    run: RunId,
    gathered: Mutex<Gathered>,
}

#[derive(Debug)]
struct Gathered {
    text: String,
    written: Instant,
    failed: Option<StateError>,
}

impl<'a> RunLog<'a> {
    pub(super) fn new(state: &'a dyn State, run: RunId) -> Self {
        Self {
            state,
            run,
            gathered: Mutex::new(Gathered {
                text: String::new(),
                written: Instant::now(),
                failed: None,
            }),
        }
    }
}

impl fmt::Debug for RunLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunLog")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl RunLog<'_> {
    /// Writes what is left.
    ///
    /// # Errors
    ///
    /// Fails when this or an earlier line could not be written.
    pub fn finish(self) -> Result<(), StateError> {
        self.flush(|_| true);
        self.gathered().failed.take().map_or(Ok(()), Err)
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is gathered when it is due.
    fn flush(&self, is_due: impl FnOnce(&Gathered) -> bool) {
        let mut gathered = self.gathered();
        if !gathered.text.is_empty() && is_due(&gathered) {
            let text = std::mem::take(&mut gathered.text);
            gathered.written = Instant::now();
            // A tool is not stopped because its output cannot be kept; who records its outcome
            // next meets the same failure.
            if gathered.failed.is_none() {
                let appended = self.state.append_log(&self.run, &text);
                gathered.failed = appended.err();
            }
        }
    }
}

impl Log for RunLog<'_> {
    fn line(&self, line: &str) {
        {
            let mut gathered = self.gathered();
            // Not all lines are a tool's: some quote what a registry answered.
            let plain = line
                .chars()
                .filter(|&letter| letter == '\n' || is_plain(letter));
            gathered.text.extend(plain);
            gathered.text.push('\n');
        }
        self.idle();
    }

    fn idle(&self) {
        self.flush(|gathered| gathered.text.len() >= PIECE || gathered.written.elapsed() >= WAIT);
    }
}

impl Drop for RunLog<'_> {
    fn drop(&mut self) {
        self.flush(|_| true);
    }
}
