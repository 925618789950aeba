//! Aligned columns.

use std::borrow::Cow;

use super::{BOLD, DIM, Output, styled};
use crate::exit::OutputError;

/// The widths of the columns of a table: of each, its longest cell.
///
/// Measured in a pass of its own, so that a table of any length is written row by row.
pub(super) struct Columns<const N: usize> {
    heads: [&'static str; N],
    widths: [usize; N],
}

impl<const N: usize> Columns<N> {
    pub(super) fn new(heads: [&'static str; N]) -> Self {
        Self {
            heads,
            widths: heads.map(str::len),
        }
    }

    /// Makes room for a row.
    pub(super) fn measure(&mut self, cells: &[Cow<'_, str>; N]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }

    /// Writes the line of heads.
    pub(super) fn write_heads(&self, out: &mut Output) -> Result<(), OutputError> {
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
    pub(super) fn write(
        &self,
        out: &mut Output,
        cells: &[Cow<'_, str>; N],
    ) -> Result<(), OutputError> {
        let last = N.saturating_sub(1);
        for (index, (cell, width)) in cells.iter().zip(self.widths).enumerate() {
            let length = cell.chars().count();
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
