//! Tables for people: each column is as wide as its content, and a column without content is left out.

/// A table with a heading.
pub(super) struct Table {
    /// The heading, then the rows, each with an optional line of text below it.
    rows: Vec<(Vec<String>, Option<String>)>,
}

impl Table {
    pub(super) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![(heading.map(str::to_owned).into(), None)] }
    }

    /// Adds a row with as many cells as the heading.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push((cells.into(), None));
    }

    /// Sets the line below the last row.
    pub(super) fn note(&mut self, line: String) {
        if let Some((_, note)) = self.rows.last_mut() {
            *note = Some(line);
        }
    }

    /// The lines of the table, or nothing if it has no row.
    pub(super) fn text(&self) -> String {
        let [(heading, _), rows @ ..] = self.rows.as_slice() else { return String::new() };
        let width = |column: usize| {
            let widths = rows.iter().map(|(cells, _)| cells[column].chars().count());
            widths.max().filter(|width| *width > 0).map(|width| width.max(heading[column].chars().count()))
        };
        let columns: Vec<(usize, usize)> =
            (0..heading.len()).filter_map(|column| Some((column, width(column)?))).collect();
        let mut text = String::new();
        for (cells, note) in if rows.is_empty() { &[] } else { self.rows.as_slice() } {
            let cells = columns.iter().map(|(column, width)| format!("{:<width$}", cells[*column]));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
            if let Some(note) = note {
                text.push_str(&format!("    {note}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_content_and_empty_ones_are_left_out() {
        let mut table = Table::new(["NAME", "EMPTY", "STATE"]);
        assert_eq!(table.text(), "");
        table.row(["a-rather-long-name.0".to_owned(), String::new(), "up".to_owned()]);
        table.note("a note".to_owned());
        table.row(["b.0".to_owned(), String::new(), String::new()]);
        let expected = "NAME                  STATE\na-rather-long-name.0  up\n    a note\nb.0\n";
        assert_eq!(table.text(), expected);
    }
}
