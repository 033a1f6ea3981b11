//! Tables that fit the terminal: one line per row, text columns give way, numbers and ids do not.
//!
//! Cells are taken as they are: captured text goes through [`crate::printer::visible`] before it comes here.

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table as Inner, presets,
};

use crate::error::Result;
use crate::printer::{Printer, Tone, visible};

/// How a column behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Text that is cut where there is no room.
    Text(&'static str),
    /// Text that is always shown whole: ids, times, states.
    Whole(&'static str),
    /// Numbers: shown whole, at the right.
    Number(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        let (Column::Text(title) | Column::Whole(title) | Column::Number(title)) = self;
        title
    }
}

/// A table being filled.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Table { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row of plain cells.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.toned(cells.into_iter().map(|c| (c.into(), Tone::Plain)));
    }

    /// Adds a row whose cells say what they mean.
    pub fn toned<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = (S, Tone)>) {
        self.rows.push(cells.into_iter().map(|(text, tone)| (text.into(), tone)).collect());
    }

    /// Prints it.
    pub fn print(&self, out: &mut Printer) -> Result<()> {
        for line in self.render(out.width(), out.colour()).lines() {
            out.line(line)?;
        }
        Ok(())
    }

    /// The table as text.
    #[must_use]
    pub fn render(&self, width: usize, colour: bool) -> String {
        let mut table = Inner::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        table.set_truncation_indicator("…");
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let head = self.columns.iter().map(|c| cell(c.title(), Tone::Strong, *c));
        table.set_header(one_line(head));
        for row in &self.rows {
            let cells = row.iter().zip(&self.columns).map(|((text, tone), c)| cell(text, *tone, *c));
            table.add_row(one_line(cells));
        }
        for (at, column) in self.columns.iter().enumerate() {
            let Some(inner) = table.column_mut(at) else { continue };
            inner.set_padding((0, 2));
            if !matches!(column, Column::Text(_)) {
                inner.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.trim_fmt()
    }
}

fn one_line(cells: impl Iterator<Item = Cell>) -> Row {
    let mut row = Row::from(cells);
    row.max_height(1);
    row
}

fn cell(text: &str, tone: Tone, column: Column) -> Cell {
    let cell = Cell::new(text);
    let cell = match tone {
        Tone::Plain => cell,
        Tone::Strong => cell.add_attribute(Attribute::Bold),
        Tone::Faint => cell.add_attribute(Attribute::Dim),
        Tone::Good => cell.fg(Color::Green),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Warn => cell.fg(Color::Yellow),
    };
    match column {
        Column::Number(_) => cell.set_alignment(CellAlignment::Right),
        _ => cell,
    }
}

/// Captured text for a cell: visible, on one line, and not longer than any terminal is wide.
#[must_use]
pub fn captured(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    visible(&line.chars().take(400).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut t = Table::new([Column::Whole("ID"), Column::Text("WHAT"), Column::Number("N")]);
        t.row(["abc", "a rather long text that has to give way before anything else does", "12"]);
        t.row(["defghi", "short", "3456"]);
        t
    }

    #[test]
    fn text_gives_way_and_numbers_stay() {
        insta::assert_snapshot!(sample().render(48, false), @"");
        for line in sample().render(48, false).lines() {
            assert!(line.chars().count() <= 48, "{line}");
        }
    }

    #[test]
    fn nothing_is_padded_where_there_is_room() {
        insta::assert_snapshot!(sample().render(100, false), @"");
    }
}
