//! Forgetting what is old.

use super::{Store, StoreError, WorkflowId};

impl Store {
    /// Forgets the oldest cycles of a workflow, with their runs and logs, as long as at least
    /// `keep` runs are left. A cycle is forgotten as a whole, and the current one never. How
    /// many runs were forgotten.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written; what was forgotten by then stays so.
    pub fn prune(&self, workflow: WorkflowId, keep: u32) -> Result<usize, StoreError> {
        let cycles: Vec<(i64, usize)> = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, (SELECT count(*) FROM runs WHERE cycle = cycles.id) FROM cycles
                     WHERE workflow = ?1 ORDER BY id DESC",
                )?
                .query_map([workflow.0], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })?;
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let mut newer: usize = 0;
        let mut forgotten: usize = 0;
        for (place, (cycle, runs)) in cycles.into_iter().enumerate() {
            if place != 0 && newer >= keep {
                // One at a time: other writers get a turn in between.
                self.write(|transaction| {
                    transaction.execute("DELETE FROM cycles WHERE id = ?1", [cycle])
                })?;
                forgotten = forgotten.saturating_add(runs);
            }
            newer = newer.saturating_add(runs);
        }
        Ok(forgotten)
    }
}
