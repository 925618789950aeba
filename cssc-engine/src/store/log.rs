//! What runs printed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cssc_core::RunId;
use rusqlite::params;

use super::{Store, StoreError};
use crate::tool::Log;

/// How much is gathered before it is written.
const PIECE: usize = 16 * 1024;
/// How long a line may wait for others, so that one who follows sees it soon.
const WAIT: Duration = Duration::from_millis(250);

impl Store {
    /// Appends text to the log of a run.
    ///
    /// # Errors
    ///
    /// Fails when the run is not there or the file cannot be written.
    pub fn append_log(&self, run: RunId, text: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO logs (cycle, number, start, text) VALUES (?1, ?2, coalesce(
                       (SELECT start + octet_length(text) FROM logs
                        WHERE cycle = ?1 AND number = ?2 ORDER BY start DESC LIMIT 1), 0), ?3)",
                )?
                .execute(params![run.cycle(), run.number(), text])
                .map(drop)
        })
    }

    /// The log of a run from `offset`, in bytes, on; none when there is no such run.
    ///
    /// To follow a log, ask again with the offset increased by the length of the answer.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn log(&self, run: RunId, offset: usize) -> Result<Option<String>, StoreError> {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let (cycle, number) = (run.cycle(), run.number());
        self.read(|connection| {
            let is_there = connection
                .prepare_cached("SELECT 1 FROM runs WHERE cycle = ?1 AND number = ?2")?
                .exists(params![cycle, number])?;
            if !is_there {
                return Ok(None);
            }
            // From the piece on in which the offset lies.
            let mut pieces = connection.prepare_cached(
                "SELECT start, text FROM logs
                 WHERE cycle = ?1 AND number = ?2 AND start >= coalesce(
                   (SELECT max(start) FROM logs
                    WHERE cycle = ?1 AND number = ?2 AND start <= ?3), 0)
                 ORDER BY start",
            )?;
            let mut rows = pieces.query(params![cycle, number, offset])?;
            let mut text = String::new();
            while let Some(row) = rows.next()? {
                let (start, piece): (i64, String) = (row.get(0)?, row.get(1)?);
                let skip = usize::try_from(offset.saturating_sub(start)).unwrap_or(0);
                text.push_str(piece.get(skip.min(piece.len())..).unwrap_or_default());
            }
            Ok(Some(text))
        })
    }

    /// A log that writes the lines of a tool to a run, some at a time.
    pub fn run_log(&self, run: RunId) -> RunLog<'_> {
        RunLog {
            store: self,
            run,
            gathered: Mutex::new(Gathered {
                text: String::new(),
                written: Instant::now(),
                failed: None,
            }),
        }
    }
}

/// Writes the lines of a tool to the log of a run; the rest when it is finished or dropped.
#[derive(Debug)]
pub struct RunLog<'a> {
    store: &'a Store,
    run: RunId,
    gathered: Mutex<Gathered>,
}

#[derive(Debug)]
struct Gathered {
    text: String,
    written: Instant,
    failed: Option<StoreError>,
}

impl RunLog<'_> {
    /// Writes what is left.
    ///
    /// # Errors
    ///
    /// Fails when this or an earlier line could not be written.
    pub fn finish(self) -> Result<(), StoreError> {
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
                let appended = self.store.append_log(self.run, &text);
                gathered.failed = appended.err();
            }
        }
    }
}

impl Log for RunLog<'_> {
    fn line(&self, line: &str) {
        {
            let mut gathered = self.gathered();
            gathered.text.push_str(line);
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
