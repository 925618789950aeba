//! Cycles that are to run at once, asked for by another process.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::{Store, StoreError, WorkflowId, millis, time};

impl Store {
    /// Asks for a cycle as soon as whoever serves the workflow can run one.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn enqueue(&self, workflow: WorkflowId, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = "INSERT INTO queue (workflow, requested) VALUES (?1, ?2)";
            transaction.execute(sql, params![workflow.0, millis(now)])?;
            Ok(())
        })
    }

    /// Takes all that was asked for with [`enqueue`](Self::enqueue): when it was first asked, if
    /// it was. One cycle answers all that came before it.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn take_queued(&self, workflow: WorkflowId) -> Result<Option<DateTime<Utc>>, StoreError> {
        let first = |connection: &Connection| {
            connection
                .prepare_cached("SELECT min(requested) FROM queue WHERE workflow = ?1")?
                .query_row([workflow.0], |row| row.get::<_, Option<i64>>(0))
        };
        // Mostly there is nothing, which is found out without keeping other writers waiting.
        if self.read(first)?.is_none() {
            return Ok(None);
        }
        self.write(|transaction| {
            let requested = first(transaction)?;
            transaction.execute("DELETE FROM queue WHERE workflow = ?1", [workflow.0])?;
            Ok(requested.map(time))
        })
    }
}
