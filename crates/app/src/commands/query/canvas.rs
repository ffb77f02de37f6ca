//! Lines out of characters: braille, whose cells have eight dots each, or plain ones.

/// The bits of a braille character's dots, by column and line.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// The braille character without dots.
const BRAILLE: u32 = 0x2800;

/// A cell of the terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    dots: u8,
    /// The line that was drawn there last, counted from 1.
    line: u16,
}

/// What is drawn on.
#[derive(Debug)]
pub(super) struct Canvas {
    columns: usize,
    rows: usize,
    is_braille: bool,
    cells: Vec<Cell>,
}

/// A place in dots, from the upper left corner.
pub(super) type Dot = (usize, usize);

impl Canvas {
    pub(super) fn new(columns: usize, rows: usize, is_braille: bool) -> Self {
        Self {
            columns,
            rows,
            is_braille,
            cells: vec![Cell::default(); columns * rows],
        }
    }

    /// How many dots there are, side by side and above one another.
    pub(super) fn dots(&self) -> (usize, usize) {
        if self.is_braille {
            (self.columns * 2, self.rows * 4)
        } else {
            (self.columns, self.rows)
        }
    }

    /// A straight line of the drawing's line of this number.
    pub(super) fn line(&mut self, from: Dot, to: Dot, number: u16) {
        let wide = from.0.abs_diff(to.0);
        let high = from.1.abs_diff(to.1);
        let steps = wide.max(high).max(1);
        let between = |from: usize, to: usize, at: usize| {
            // Rounded to the nearest dot.
            let way = (from.abs_diff(to) * at * 2 + steps) / (steps * 2);
            if to < from { from - way } else { from + way }
        };
        for at in 0..=steps {
            self.dot(
                (between(from.0, to.0, at), between(from.1, to.1, at)),
                number,
            );
        }
    }

    fn dot(&mut self, (x, y): Dot, number: u16) {
        let (column, row, bit) = if self.is_braille {
            let bits = DOTS.get(x % 2).and_then(|column| column.get(y % 4));
            (x / 2, y / 4, bits.copied().unwrap_or(0))
        } else {
            (x, y, 1)
        };
        if column >= self.columns {
            return;
        }
        if let Some(cell) = self.cells.get_mut(row * self.columns + column) {
            cell.dots |= bit;
            cell.line = number;
        }
    }

    /// A row as pieces of the same line, each with its number; 0 where nothing was drawn. Plain lines
    /// are drawn with `marks`.
    pub(super) fn row(&self, row: usize, marks: &[char]) -> Vec<(u16, String)> {
        let begin = row * self.columns;
        let cells = self.cells.get(begin..begin + self.columns);
        let mut pieces: Vec<(u16, String)> = Vec::new();
        for cell in cells.unwrap_or_default() {
            let character = self.character(*cell, marks);
            match pieces.last_mut() {
                Some((line, piece)) if *line == cell.line => piece.push(character),
                _ => pieces.push((cell.line, character.to_string())),
            }
        }
        pieces
    }

    fn character(&self, cell: Cell, marks: &[char]) -> char {
        if cell.dots == 0 {
            ' '
        } else if self.is_braille {
            char::from_u32(BRAILLE + u32::from(cell.dots)).unwrap_or('*')
        } else {
            let at = usize::from(cell.line).saturating_sub(1);
            marks.get(at % marks.len().max(1)).copied().unwrap_or('*')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(canvas: &Canvas) -> Vec<String> {
        let row = |row| canvas.row(row, &['*', '+']);
        let rows = (0..canvas.rows).map(row);
        rows.map(|pieces| pieces.into_iter().map(|(_, text)| text).collect())
            .collect()
    }

    #[test]
    fn lines_are_dots() {
        let mut canvas = Canvas::new(2, 1, true);
        canvas.line((0, 3), (3, 0), 1);
        assert_eq!(drawn(&canvas), ["⡠⠊"]);
        let mut canvas = Canvas::new(4, 2, false);
        canvas.line((0, 1), (3, 0), 1);
        assert_eq!(drawn(&canvas), ["  **", "**  "]);
        canvas.line((0, 0), (0, 0), 2);
        assert_eq!(drawn(&canvas), ["+ **", "**  "]);
    }

    #[test]
    fn what_is_outside_is_not_drawn() {
        let mut canvas = Canvas::new(2, 2, false);
        canvas.line((1, 1), (9, 9), 1);
        assert_eq!(drawn(&canvas), ["  ", " *"]);
    }
}
