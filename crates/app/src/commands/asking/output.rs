//! Standard output for people and scripts: whose terminal it is, and an end of the reader that is no
//! panic.

use std::io::{BufWriter, IsTerminal, Stdout, Write};

use rustix::termios::tcgetwinsize;
use serde_json::Value;

use super::Outcome;

/// The width of a terminal that does not say it.
const WIDTH_DEFAULT: usize = 80;

/// Standard output.
pub(in crate::commands) struct Output {
    writer: BufWriter<Stdout>,
    /// Columns of the terminal; nothing when it is none.
    width: Option<usize>,
}

impl Output {
    pub(in crate::commands) fn new() -> Self {
        let output = std::io::stdout();
        let width = output.is_terminal().then(|| {
            let columns = tcgetwinsize(&output).map_or(0, |size| usize::from(size.ws_col));
            if columns == 0 { WIDTH_DEFAULT } else { columns }
        });
        Self {
            writer: BufWriter::new(output),
            width,
        }
    }

    /// Columns of the terminal; nothing when there is no reason to cut.
    pub(in crate::commands) fn width(&self) -> Option<usize> {
        self.width
    }

    /// A line.
    pub(in crate::commands) fn line(&mut self, line: &str) -> Outcome {
        Ok(writeln!(self.writer, "{}", line.trim_end())?)
    }

    /// Several.
    pub(in crate::commands) fn lines(&mut self, lines: &[String]) -> Outcome {
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// An object for a script, on one line.
    pub(in crate::commands) fn json_line(&mut self, value: &Value) -> Outcome {
        Ok(writeln!(self.writer, "{value}")?)
    }

    /// An answer for a script.
    pub(in crate::commands) fn json(&mut self, value: &Value) -> Outcome {
        writeln!(self.writer, "{value:#}")?;
        self.flush()
    }

    /// What was written is to be seen now.
    pub(in crate::commands) fn flush(&mut self) -> Outcome {
        Ok(self.writer.flush()?)
    }
}
