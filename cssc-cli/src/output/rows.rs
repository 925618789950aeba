//! One row, printed in each of the four formats.

use serde::Serialize;

use super::table::Columns;
use crate::args::Format;
use crate::exit::Failure;

/// What is printed a line each, or as an element of a JSON list.
pub(crate) trait Row<const N: usize>: Serialize {
    /// The heads of the table.
    const HEADS: [&'static str; N];

    /// The cells of the table.
    fn cells(&self) -> [String; N];

    /// The values that tabs separate; those of the table unless it leaves out what is the same in
    /// all rows.
    fn tsv(&self) -> String {
        self.cells().join("\t")
    }

    /// The one name that is printed alone.
    fn plain(&self) -> String;
}

/// Prints rows; they are made twice for a table, which must know how wide its columns are.
pub(crate) fn print<const N: usize, R: Row<N>, I: Iterator<Item = R>>(
    format: Format,
    rows: impl Fn() -> I,
) -> Result<(), Failure> {
    let mut out = match format {
        Format::Json => return super::json_list(rows()),
        _ => super::stdout(),
    };
    match format {
        Format::Table => {
            let mut columns = Columns::new(R::HEADS);
            for row in rows() {
                columns.measure(row.cells().each_ref().map(|cell| cell as _));
            }
            columns.write_heads(&mut out)?;
            for row in rows() {
                columns.write(&mut out, row.cells().each_ref().map(|cell| cell as _))?;
            }
        }
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
