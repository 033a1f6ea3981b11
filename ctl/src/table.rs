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
    spare: Vec<&'static str>,
}

/// Below this width, text columns say nothing any more: spare columns go first.
const LEAST_TEXT: usize = 14;

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Table { columns: columns.into(), rows: Vec::new(), spare: Vec::new() }
    }

    /// Names the columns to be left out on a narrow terminal, in this order.
    #[must_use]
    pub fn spare(mut self, titles: impl Into<Vec<&'static str>>) -> Self {
        self.spare = titles.into();
        self
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
        let shown = self.shown(width);
        table.set_header(one_line(
            shown.iter().map(|at| self.columns[*at]).map(|c| cell(c.title(), Tone::Strong, c)),
        ));
        for row in &self.rows {
            let cells = shown.iter().filter_map(|at| Some((row.get(*at)?, self.columns[*at])));
            table.add_row(one_line(cells.map(|((text, tone), column)| cell(text, *tone, column))));
        }
        for (at, column) in shown.iter().map(|at| self.columns[*at]).enumerate() {
            let Some(inner) = table.column_mut(at) else { continue };
            inner.set_padding((0, 2));
            if !matches!(column, Column::Text(_)) {
                inner.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.trim_fmt()
    }

    /// The width that it takes with every column.
    #[must_use]
    pub fn need(&self) -> usize {
        (0..self.columns.len()).map(|at| self.need_of(at)).sum()
    }

    fn need_of(&self, at: usize) -> usize {
        match self.columns[at] {
            Column::Text(_) => LEAST_TEXT + 2,
            Column::Whole(title) | Column::Number(title) => {
                let cells =
                    self.rows.iter().filter_map(|row| row.get(at)).map(|(text, _)| text.chars().count());
                cells.chain([title.chars().count()]).max().unwrap_or(0) + 2
            }
        }
    }

    /// The columns that there is room for.
    fn shown(&self, width: usize) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        for spare in &self.spare {
            if shown.iter().map(|at| self.need_of(*at)).sum::<usize>() <= width {
                break;
            }
            shown.retain(|at| self.columns[*at].title() != *spare);
        }
        shown
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
        insta::assert_snapshot!(sample().render(48, false), @r"
        ID      WHAT                                 N
        abc     a rather long text that has to…     12
        defghi  short                             3456
        ");
        for line in sample().render(48, false).lines() {
            assert!(line.chars().count() <= 48, "{line}");
        }
    }

    #[test]
    fn spare_columns_go_where_there_is_no_room() {
        let mut table =
            Table::new([Column::Whole("ID"), Column::Text("WHAT"), Column::Number("A"), Column::Number("B")])
                .spare(["A", "B"]);
        table.row(["0123456789", "some text", "1000000", "2000000"]);
        let head = |width| {
            table
                .render(width, false)
                .lines()
                .next()
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!([head(60), head(40), head(30)], ["ID WHAT A B", "ID WHAT B", "ID WHAT"]);
    }

    #[test]
    fn nothing_is_padded_where_there_is_room() {
        insta::assert_snapshot!(sample().render(100, false), @r"
        ID      WHAT                                                                  N
        abc     a rather long text that has to give way before anything else does    12
        defghi  short                                                              3456
        ");
    }
}
