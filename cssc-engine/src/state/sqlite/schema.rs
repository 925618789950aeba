//! The tables, and how an older file gets them.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StateError;

/// `cssc` in ASCII: marks the file as ours.
const APPLICATION: i64 = 0x6373_7363;

/// Each takes a file from one format to the next; the first from an empty file. A migration
/// that was released is never changed, one is added.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema-1.sql")];

/// Brings the file to the newest format; nothing is changed when that fails.
///
/// # Errors
///
/// Fails for a database of something else and for a file of a newer format.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StateError> {
    let failed = |error| StateError::sqlite(path, error);
    if format(connection).map_err(failed)?
        == (APPLICATION, migrations.len().try_into().unwrap_or(0))
    {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    // Another process may have done it in the meantime.
    let (application, found) = format(&transaction).map_err(failed)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let is_empty = application == 0 && found == 0 && tables == 0;
    if application != APPLICATION && !is_empty {
        return Err(StateError::not_ours(path));
    }
    let known = migrations.len();
    let Some(missing) = usize::try_from(found)
        .ok()
        .and_then(|found| migrations.get(found..))
    else {
        return Err(StateError::newer(path, found, known));
    };
    for migration in missing {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {known}");
    transaction.execute_batch(&marks).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn format(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
}
