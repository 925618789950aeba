//! Forgetting what is old.

use rusqlite::params;

use super::{Store, StoreError, WorkflowId};

/// How many runs go at once: other writers get a turn in between.
const BATCH: u32 = 1000;

impl Store {
    /// Forgets all but the newest `keep` runs of a workflow, with their logs, and the cycles
    /// that have none left. Those of the current cycle stay, whatever the number. How many were
    /// forgotten.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written; what was forgotten by then stays so.
    pub fn prune(&self, workflow: WorkflowId, keep: u32) -> Result<usize, StoreError> {
        let mut forgotten: usize = 0;
        loop {
            let batch = self.write(|transaction| {
                transaction
                    .prepare_cached(
                        "DELETE FROM runs WHERE id IN (
                           SELECT id FROM runs
                           WHERE workflow = ?1
                             AND id <= (SELECT id FROM runs WHERE workflow = ?1
                                        ORDER BY id DESC LIMIT 1 OFFSET ?2)
                             AND cycle < (SELECT max(id) FROM cycles WHERE workflow = ?1)
                           ORDER BY id LIMIT ?3)",
                    )?
                    .execute(params![workflow.0, keep, BATCH])
            })?;
            if batch == 0 {
                break;
            }
            forgotten = forgotten.saturating_add(batch);
        }
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM cycles WHERE workflow = ?1
                   AND id < (SELECT max(id) FROM cycles WHERE workflow = ?1)
                   AND NOT EXISTS (SELECT 1 FROM runs WHERE cycle = cycles.id)",
                [workflow.0],
            )
        })?;
        Ok(forgotten)
    }
}
