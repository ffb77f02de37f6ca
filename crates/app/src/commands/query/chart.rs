//! Series over time as lines, with axes and a legend.

use crate::environment::Environment;

use super::Output;
use super::answer::{Series, name};
use super::axis::{self, Values, nearest, short};
use super::canvas::{Canvas, Dot};
use super::text;

/// Series that are drawn: more can't be told apart.
pub(super) const SERIES_MAX: usize = 8;
/// The narrowest plot.
const PLOT_COLUMNS_MIN: usize = 20;
/// The shortest name in the legend.
const NAME_COLUMNS_MIN: usize = 12;
/// Colours of lines, as a terminal numbers them.
const COLOURS: [u8; SERIES_MAX] = [36, 33, 35, 32, 31, 94, 96, 93];
/// Lines without colours.
const MARKS: [char; SERIES_MAX] = ['*', '+', 'o', 'x', '#', '@', '%', '='];
/// Points that are further apart than so many steps have a gap between them.
const GAP_STEPS: f64 = 1.75;
/// The names of what terminals are told.
const LOCALE_VARIABLES: [&str; 3] = ["LC_ALL", "LC_CTYPE", "LANG"];

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) is_unicode: bool,
    pub(super) is_coloured: bool,
}

impl Look {
    /// For standard output: only a terminal gets colours, and braille if its locale has it.
    pub(super) fn of(output: &Output, environment: &Environment, is_ascii: bool) -> Self {
        let variable = |name: &str| {
            let value = environment.variables.get(name);
            value.map(String::as_str).filter(|value| !value.is_empty())
        };
        let is_terminal = output.width().is_some();
        let locale = LOCALE_VARIABLES.into_iter().find_map(variable);
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        Self {
            is_unicode: is_terminal && is_utf8 && !is_ascii,
            // https://no-color.org
            is_coloured: is_terminal
                && variable("NO_COLOR").is_none()
                && variable("TERM") != Some("dumb"),
        }
    }
}

/// A chart.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    drawn: Vec<&'a Series>,
    left_out: usize,
    histograms: usize,
    width: usize,
    height: usize,
    look: Look,
}

impl<'a> Chart<'a> {
    /// Of so many columns, and a plot of so many lines.
    pub(super) fn new(series: &'a [Series], (width, height): (usize, usize), look: Look) -> Self {
        let most =
            |series: &Series| extremes(&[series]).map_or(f64::NEG_INFINITY, |(_, most)| most);
        let mut drawn: Vec<&Series> = series.iter().collect();
        if drawn.len() > SERIES_MAX {
            drawn.sort_by(|a, b| most(b).total_cmp(&most(a)));
            drawn.truncate(SERIES_MAX);
        }
        Self {
            left_out: series.len() - drawn.len(),
            histograms: series.iter().map(|series| series.histograms).sum(),
            drawn,
            width,
            height,
            look,
        }
    }

    /// What has to be said beside.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.left_out > 0 {
            notes.push(format!(
                "{} more series are not drawn; topk({SERIES_MAX}, …) or sum by (…) (…) makes fewer",
                self.left_out
            ));
        }
        if self.histograms > 0 {
            notes.push(format!(
                "{} samples are histograms, which are not drawn; histogram_quantile(0.9, …) makes numbers",
                self.histograms
            ));
        }
        notes
    }

    /// All lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let common = self.common_labels();
        if let (Some(first), false) = (self.drawn.first(), common.is_empty()) {
            let shared = first.labels.iter();
            let shared = shared.filter(|(label, _)| common.contains(label));
            let shared = shared.map(|(label, value)| (label.clone(), value.clone()));
            lines.push(text::cut(&name(&shared.collect(), &[]), self.width));
        }
        match (extremes(&self.drawn), self.span()) {
            (Some((least, most)), Some(span)) => {
                lines.extend(self.plot(&axis::values(least, most, self.height), span));
            }
            _ => lines.push("(no number that can be drawn)".to_owned()),
        }
        lines.extend(self.legend(&common));
        lines
    }

    /// Labels that all have alike, said once; none when there is one series only.
    fn common_labels(&self) -> Vec<String> {
        let Some((first, others)) = self.drawn.split_first() else {
            return Vec::new();
        };
        let is_common = |(label, value): &(&String, &String)| {
            let has = |series: &&Series| series.labels.get(*label) == Some(*value);
            !others.is_empty() && others.iter().all(has)
        };
        let common = first.labels.iter().filter(is_common);
        common.map(|(label, _)| label.clone()).collect()
    }

    fn span(&self) -> Option<(f64, f64)> {
        let times = self.drawn.iter().flat_map(|series| &series.points);
        let mut times = times.map(|(time, _)| *time);
        let first = times.next()?;
        Some(times.fold((first, first), |(least, most), time| {
            (least.min(time), most.max(time))
        }))
    }

    fn is_braille(&self) -> bool {
        // Lines of dots look alike without colours.
        self.look.is_unicode && (self.look.is_coloured || self.drawn.len() == 1)
    }

    fn plot(&self, axis: &Values, (start, end): (f64, f64)) -> Vec<String> {
        let labels = axis.ticks.iter().map(|(_, label)| label.len());
        let margin = labels.max().unwrap_or(0);
        let columns = self.width.saturating_sub(margin + 2).max(PLOT_COLUMNS_MIN);
        let mut canvas = Canvas::new(columns, self.height, self.is_braille());
        let (wide, high) = canvas.dots();
        let place = |(time, value): (f64, f64)| -> Dot {
            let x = (time - start) / (end - start).max(f64::MIN_POSITIVE) * (wide - 1) as f64;
            let y = (axis.top - value) / (axis.top - axis.bottom) * (high - 1) as f64;
            (nearest(x), nearest(y))
        };
        for (number, series) in (1..).zip(&self.drawn) {
            for piece in pieces(&series.points) {
                let mut before = None;
                for point in piece {
                    let dot = place(*point);
                    canvas.line(before.unwrap_or(dot), dot, number);
                    before = Some(dot);
                }
            }
        }
        let row_of = |value: f64| {
            let place = (axis.top - value) / (axis.top - axis.bottom);
            nearest(place * (self.height - 1) as f64)
        };
        let mut lines = Vec::with_capacity(self.height + 2);
        for row in 0..self.height {
            let tick = axis.ticks.iter().find(|(value, _)| row_of(*value) == row);
            let label = tick.map_or("", |(_, label)| label);
            let pieces = canvas.row(row, &MARKS).into_iter();
            let pieces = pieces.map(|(line, piece)| self.coloured(&piece, line));
            let edge = self.edge(tick.is_some());
            let line = format!("{label:>margin$} {edge}{}", pieces.collect::<String>());
            lines.push(line.trim_end().to_owned());
        }
        lines.extend(self.times(margin, columns, (start, end)));
        lines
    }

    fn edge(&self, is_tick: bool) -> char {
        match (self.look.is_unicode, is_tick) {
            (true, true) => '┤',
            (true, false) => '│',
            (false, true) => '+',
            (false, false) => '|',
        }
    }

    /// The lower axis, and the times below it.
    fn times(&self, margin: usize, columns: usize, (start, end): (f64, f64)) -> [String; 2] {
        let (corner, line, tick) = if self.look.is_unicode {
            ('└', '─', '┬')
        } else {
            ('+', '-', '+')
        };
        let mut edge = vec![line; columns];
        let mut below = String::new();
        for (column, label) in axis::times(start, end, columns) {
            if let Some(place) = edge.get_mut(column) {
                *place = tick;
            }
            // The middle of the label below its tick.
            let begin = column.saturating_sub(label.len() / 2);
            let begin = begin.min(columns.saturating_sub(label.len()));
            if begin >= below.len() {
                below.push_str(&" ".repeat(begin - below.len()));
                below.push_str(&label);
            }
        }
        if below.len() + " UTC".len() <= columns {
            below.push_str(" UTC");
        }
        let blanks = " ".repeat(margin + 1);
        let edge: String = edge.into_iter().collect();
        [
            format!("{blanks}{corner}{edge}"),
            format!("{blanks} {below}"),
        ]
    }

    /// A line for each series: its mark, what it is, and its least, most and last value.
    fn legend(&self, common: &[String]) -> Vec<String> {
        let rows = self.drawn.iter().map(|series| {
            let numbers = match extremes(&[series]) {
                Some((least, most)) => {
                    let last = series.points.last().map_or(f64::NAN, |(_, value)| *value);
                    [short(least), short(most), short(last)]
                }
                None => ["-", "-", "-"].map(str::to_owned),
            };
            (name(&series.labels, common), numbers)
        });
        let rows: Vec<_> = rows.collect();
        let heads = ["MIN", "MAX", "LAST"];
        let mut widths = heads.map(str::len);
        for (_, numbers) in &rows {
            for (width, number) in widths.iter_mut().zip(numbers) {
                *width = (*width).max(number.len());
            }
        }
        let numbers = widths.iter().map(|width| width + 2).sum::<usize>();
        let widest = rows.iter().map(|(name, _)| text::width(name)).max();
        let room = self.width.saturating_sub(numbers + 2).max(NAME_COLUMNS_MIN);
        let names = widest.unwrap_or(0).min(room);
        let cells = |texts: &[String; 3]| -> String {
            let cells = texts.iter().zip(widths);
            let cells = cells.map(|(text, width)| format!("{text:>width$}"));
            let cells: Vec<_> = cells.collect();
            format!("  {}", cells.join("  "))
        };
        let head = format!(
            "  {}{}",
            " ".repeat(names),
            cells(&heads.map(str::to_owned))
        );
        let mut lines = vec![head];
        for (line, (name, numbers)) in (1..).zip(&rows) {
            let name = text::padded(&text::cut(name, names), names);
            lines.push(format!("{} {name}{}", self.mark(line), cells(numbers)));
        }
        lines
    }

    fn mark(&self, line: u16) -> String {
        let at = usize::from(line).saturating_sub(1);
        let mark = match (self.is_braille(), MARKS.get(at)) {
            (false, Some(mark)) => *mark,
            _ => '■',
        };
        self.coloured(&mark.to_string(), line)
    }

    fn coloured(&self, piece: &str, line: u16) -> String {
        let colour = usize::from(line)
            .checked_sub(1)
            .and_then(|at| COLOURS.get(at));
        match colour.filter(|_| self.look.is_coloured) {
            Some(colour) => format!("\x1b[{colour}m{piece}\x1b[0m"),
            None => piece.to_owned(),
        }
    }
}

/// The least and the most of what can be drawn.
fn extremes(series: &[&Series]) -> Option<(f64, f64)> {
    let values = series.iter().flat_map(|series| &series.points);
    let mut values = values
        .map(|(_, value)| *value)
        .filter(|value| value.is_finite());
    let first = values.next()?;
    Some(values.fold((first, first), |(least, most), value| {
        (least.min(value), most.max(value))
    }))
}

/// Points that follow one another: not across a gap, nor what is no number.
fn pieces(points: &[(f64, f64)]) -> Vec<Vec<&(f64, f64)>> {
    let steps = points.windows(2).filter_map(|pair| match pair {
        [before, after] => Some(after.0 - before.0),
        _ => None,
    });
    let mut steps: Vec<f64> = steps.collect();
    steps.sort_unstable_by(f64::total_cmp);
    // What was scraped is never exactly one step apart.
    let usual = steps.get(steps.len() / 2).copied().unwrap_or(f64::INFINITY);
    let mut pieces: Vec<Vec<&(f64, f64)>> = Vec::new();
    let mut before = f64::NEG_INFINITY;
    for point in points {
        if !point.1.is_finite() {
            before = f64::NEG_INFINITY;
            continue;
        }
        match pieces.last_mut() {
            Some(piece) if point.0 - before <= usual * GAP_STEPS => piece.push(point),
            _ => pieces.push(vec![point]),
        }
        before = point.0;
    }
    pieces
}
