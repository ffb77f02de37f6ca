//! Tables as wide as the terminal: where there is too little room, columns that may be shortened are.

use super::text::{self, width};

/// Between columns.
const GAP: &str = "  ";
/// A last column is never shorter: rather let the terminal break the line.
const LAST_COLUMNS_MIN: usize = 8;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Column {
    pub(in crate::commands) head: &'static str,
    /// To how many columns of the terminal it may be shortened; nothing when it may not.
    pub(in crate::commands) floor: Option<usize>,
}

/// A column that is shown as a whole.
pub(in crate::commands) const fn whole(head: &'static str) -> Column {
    Column { head, floor: None }
}

/// A column that gives way. If it is the last, it does so before the others, down to its floor.
pub(in crate::commands) const fn flexible(head: &'static str, floor: usize) -> Column {
    Column {
        head,
        floor: Some(floor),
    }
}

/// How wide columns are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) struct Layout {
    /// With whether longer cells are cut; else they push what follows.
    widths: Vec<(usize, bool)>,
}

impl Layout {
    /// For these rows on a terminal of this width; without one nothing is cut.
    pub(in crate::commands) fn of(
        columns: &[Column],
        rows: &[Vec<String>],
        terminal: Option<usize>,
    ) -> Self {
        let mut widths: Vec<usize> = columns.iter().map(|column| width(column.head)).collect();
        for row in rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(cell));
            }
        }
        if let Some(terminal) = terminal {
            fit(columns, &mut widths, terminal);
        }
        let is_cut = |column: &Column| terminal.is_some() && column.floor.is_some();
        let widths = widths.into_iter().zip(columns.iter().map(is_cut));
        Self {
            widths: widths.collect(),
        }
    }

    /// A row.
    pub(in crate::commands) fn line(&self, cells: &[String]) -> String {
        let cells = cells.iter().zip(&self.widths);
        let cells: Vec<String> = cells
            .map(|(cell, (width, is_cut))| match is_cut {
                true => text::padded(&text::cut(cell, *width), *width),
                false => text::padded(cell, *width),
            })
            .collect();
        cells.join(GAP).trim_end().to_owned()
    }

    /// The heads.
    pub(in crate::commands) fn head(&self, columns: &[Column]) -> String {
        let heads = columns.iter().map(|column| column.head.to_owned());
        self.line(&heads.collect::<Vec<_>>())
    }
}

/// Takes from the widest that may be shortened, until all fit.
fn fit(columns: &[Column], widths: &mut [usize], terminal: usize) {
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    let (Some((last, others)), Some(last_column)) = (widths.split_last_mut(), columns.last())
    else {
        return;
    };
    let wanted = last_column.floor.map_or(*last, |floor| (*last).min(floor));
    let mut total = others.iter().sum::<usize>() + gaps + wanted;
    while total > terminal {
        let shortest = |column: &Column| column.floor.unwrap_or(usize::MAX);
        let can = others.iter_mut().zip(columns);
        let can = can.filter(|(width, column)| **width > shortest(column));
        let Some((widest, _)) = can.max_by_key(|(width, _)| **width) else {
            break;
        };
        *widest -= 1;
        total -= 1;
    }
    if last_column.floor.is_some() {
        let room = terminal.saturating_sub(total - wanted);
        *last = (*last).min(room.max(LAST_COLUMNS_MIN));
    }
}

/// A whole table.
pub(in crate::commands) fn lines(
    columns: &[Column],
    rows: &[Vec<String>],
    terminal: Option<usize>,
) -> Vec<String> {
    let layout = Layout::of(columns, rows, terminal);
    let rows = rows.iter().map(|row| layout.line(row));
    std::iter::once(layout.head(columns)).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [whole("ID"), flexible("CLASS", 6), flexible("EXCERPT", 24)];
    const ROW: [&str; 3] = [
        "1234",
        "kernel/stackoverflow",
        "a payload of more than thirty characters",
    ];

    fn rows() -> Vec<Vec<String>> {
        vec![ROW.map(str::to_owned).to_vec()]
    }

    #[test]
    fn nothing_is_cut_without_a_terminal() {
        let shown = lines(&COLUMNS, &rows(), None);
        assert_eq!(shown[0], "ID    CLASS                 EXCERPT");
        assert_eq!(shown[1], ROW.join("  "));
        // Nor what comes later and is longer.
        let layout = Layout::of(&COLUMNS, &[], None);
        assert_eq!(layout.line(&rows()[0]), ROW.join("  "));
        // What has to be whole is so on any terminal.
        let layout = Layout::of(&COLUMNS, &[], Some(80));
        assert!(layout.line(&rows()[0]).starts_with("1234  "));
    }

    #[test]
    fn lines_fit_the_terminal() {
        for terminal in [38, 40, 50, 60, 200] {
            for line in lines(&COLUMNS, &rows(), Some(terminal)) {
                assert!(width(&line) <= terminal, "{terminal}: {line}");
            }
        }
        let narrow = lines(&COLUMNS, &rows(), Some(40));
        assert_eq!(narrow[1], "1234  kernel/…  a payload of more than …");
        let tiny = lines(&COLUMNS, &rows(), Some(10));
        assert_eq!(tiny[1], "1234  kerne…  a paylo…");
    }

    #[test]
    fn a_last_column_that_is_needed_stays_whole() {
        let columns = [whole("ID"), flexible("CLASS", 6), whole("WHY")];
        let shown = lines(&columns, &rows(), Some(40));
        assert_eq!(shown[1], format!("1234  kerne…  {}", ROW[2]));
    }
}
