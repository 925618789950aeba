//! One row, printed in each of the four formats.

use std::borrow::Cow;

use serde::Serialize;

use super::Output;
use super::table::Columns;
use crate::args::Format;
use crate::exit::{Failure, OutputError};

/// What is printed a line each, or as an element of a JSON list.
pub(crate) trait Row<const N: usize> {
    /// The heads of the table.
    const HEADS: [&'static str; N];

    /// The cells of the table.
    fn cells(&self) -> [Cow<'_, str>; N];

    /// The values that tabs separate; those of the table unless it leaves out what is the same in
    /// all rows.
    fn tsv(&self) -> String {
        self.cells().join("\t")
    }

    /// The one name that is printed alone; where there is none, all that tabs separate.
    fn plain(&self) -> String {
        self.tsv()
    }
}

/// Prints rows; they are made twice for a table, which must know how wide its columns are.
pub(crate) fn print<const N: usize, R: Row<N> + Serialize, I: Iterator<Item = R>>(
    format: Format,
    rows: impl Fn() -> I,
) -> Result<(), Failure> {
    match format {
        Format::Json => super::json_list(rows()),
        _ => print_text(format, rows),
    }
}

/// Prints rows as a table, or a line each. A JSON document is its caller's.
pub(crate) fn print_text<const N: usize, R: Row<N>, I: Iterator<Item = R>>(
    format: Format,
    rows: impl Fn() -> I,
) -> Result<(), Failure> {
    let mut out = super::stdout();
    match format {
        Format::Table => table(&mut out, rows)?,
        Format::Tsv => {
            for row in rows() {
                writeln!(out, "{}", row.tsv())?;
            }
        }
        Format::Plain | Format::Json => {
            for row in rows() {
                writeln!(out, "{}", row.plain())?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// Writes rows as a table.
pub(crate) fn table<const N: usize, R: Row<N>, I: Iterator<Item = R>>(
    out: &mut Output,
    rows: impl Fn() -> I,
) -> Result<(), OutputError> {
    let mut columns = Columns::new(R::HEADS);
    for row in rows() {
        columns.measure(&row.cells());
    }
    columns.write_heads(out)?;
    for row in rows() {
        columns.write(out, &row.cells())?;
    }
    Ok(())
}
