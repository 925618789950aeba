//! Aligned columns.

use super::{BOLD, DIM, Output, styled};
use crate::exit::OutputError;
use std::fmt::Display;

/// The widths of the columns of a table: of each, its longest cell.
///
/// Measured in a pass of its own, so that a table of any length is written row by row.
pub(crate) struct Columns<const N: usize> {
    heads: [&'static str; N],
    widths: [usize; N],
}

impl<const N: usize> Columns<N> {
    pub(crate) fn new(heads: [&'static str; N]) -> Self {
        Self {
            heads,
            widths: heads.map(str::len),
        }
    }

    /// Makes room for a row.
    pub(crate) fn measure(&mut self, cells: [&dyn Display; N]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(length(cell));
        }
    }

    /// Writes the line of heads.
    pub(crate) fn write_heads(&self, out: &mut Output) -> Result<(), OutputError> {
        let heads = self.heads;
        let last = N.saturating_sub(1);
        for (index, (head, width)) in heads.iter().zip(self.widths).enumerate() {
            let pad = if index == last {
                0
            } else {
                width.saturating_sub(head.len()).saturating_add(2)
            };
            write!(out, "{}{:pad$}", styled(BOLD, head), "")?;
        }
        writeln!(out)
    }

    /// Writes a row. An empty cell is a dash.
    pub(crate) fn write(
        &self,
        out: &mut Output,
        cells: [&dyn Display; N],
    ) -> Result<(), OutputError> {
        let last = N.saturating_sub(1);
        for (index, (cell, width)) in cells.into_iter().zip(self.widths).enumerate() {
            let length = length(cell);
            let pad = if index == last {
                0
            } else {
                width.saturating_sub(length.max(1)).saturating_add(2)
            };
            if length == 0 {
                write!(out, "{}{:pad$}", styled(DIM, "-"), "")?;
            } else {
                write!(out, "{cell}{:pad$}", "")?;
            }
        }
        writeln!(out)
    }
}

/// How many characters a value prints, without keeping them.
fn length(cell: &dyn Display) -> usize {
    struct Count(usize);
    impl std::fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 = self.0.saturating_add(text.chars().count());
            Ok(())
        }
    }
    let mut count = Count(0);
    let _ = std::fmt::Write::write_fmt(&mut count, format_args!("{cell}"));
    count.0
}
