//! Aligned columns.

use std::borrow::Cow;
use std::io;

use terminal_size::{Width, terminal_size_of};

use super::{BOLD, DIM, Output, styled};
use crate::exit::OutputError;

/// What the last column needs at least to be worth breaking into lines.
const NARROWEST: usize = 16;

/// The widths of the columns of a table: of each, its longest cell. On a terminal that is narrower,
/// the last column, which is where sentences are, goes on below itself.
///
/// Measured in a pass of its own, so that a table of any length is written row by row.
pub(super) struct Columns<const N: usize> {
    heads: [&'static str; N],
    widths: [usize; N],
    room: Option<usize>,
}

impl<const N: usize> Columns<N> {
    pub(super) fn new(heads: [&'static str; N]) -> Self {
        Self {
            heads,
            widths: heads.map(str::len),
            room: None,
        }
    }

    /// Makes room for a row.
    pub(super) fn measure(&mut self, cells: &[Cow<'_, str>; N]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }

    /// Writes the line of heads.
    pub(super) fn write_heads(&mut self, out: &mut Output) -> Result<(), OutputError> {
        self.room = self.room();
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

    /// How many characters of the last column a line of the terminal has room for, where that is
    /// not all.
    fn room(&self) -> Option<usize> {
        let (Width(terminal), _) = terminal_size_of(io::stdout())?;
        let (last, others) = self.widths.split_last()?;
        let room = usize::from(terminal).checked_sub(indent(others))?;
        (NARROWEST..*last).contains(&room).then_some(room)
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
            } else if let Some(room) = self.room.filter(|_| index == last) {
                let indent = indent(self.widths.get(..last).unwrap_or_default());
                let separator = format!("\n{:indent$}", "");
                write!(out, "{}", textwrap::wrap(cell, room).join(&separator))?;
            } else {
                write!(out, "{cell}{:pad$}", "")?;
            }
        }
        writeln!(out)
    }
}

/// Where a column begins that these come before.
fn indent(before: &[usize]) -> usize {
    before
        .iter()
        .fold(0, |sum, width| sum.saturating_add(*width).saturating_add(2))
}
