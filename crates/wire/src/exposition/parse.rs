//! A body becomes a page: lines are told apart, checked and put to their families. The inside of a
//! sample line is read in `scan`.

use bytes::Bytes;

use super::assembly::Assembly;
use super::page::{Entry, Run, Span};
use super::scan::{Scanner, name_length, quoted_length};
use super::{Format, Kind, Limits, Page, ParseError, Reason, write};

impl Page {
    /// Reads a body. Every line is checked; nothing is copied but names and help texts with escapes.
    /// Families that occur in several places are joined, see [`Page::duplicate_families`].
    ///
    /// # Errors
    /// The first line that breaks a rule of the format or a limit.
    pub fn parse(body: Bytes, format: Format, limits: Limits) -> Result<Self, ParseError> {
        if let Err(error) = std::str::from_utf8(&body) {
            let before = body.get(..error.valid_up_to()).unwrap_or_default();
            let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
            let number = memchr::memchr_iter(b'\n', before).count() + 1;
            return Err(ParseError::new(
                number,
                Reason::NotUtf8,
                line_at(&body, start),
            ));
        }
        let mut reader = Reader::new(&body, format, limits);
        let mut start = 0;
        let mut number = 0;
        while start < body.len() {
            let rest = body.get(start..).unwrap_or_default();
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            number += 1;
            let end = start + length;
            let next = (end + 1).min(body.len());
            reader
                .line(
                    Span {
                        source: 0,
                        start,
                        end,
                    },
                    next,
                )
                .map_err(|reason| ParseError::new(number, reason, line_at(&body, start)))?;
            start = next;
        }
        let page = reader.finish();
        let mut page = page.map_err(|reason| ParseError::new(number.max(1), reason, b""))?;
        page.sources.push(body);
        Ok(page)
    }
}

fn line_at(body: &[u8], start: usize) -> &[u8] {
    body.get(start..)
        .and_then(|rest| rest.split(|byte| *byte == b'\n').next())
        .unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Help,
    Type,
    Unit,
}

struct Reader<'a> {
    body: &'a Bytes,
    limits: Limits,
    assembly: Assembly,
    scanner: Scanner,
    /// The family whose lines are being read, and where they began.
    open: Option<usize>,
    open_from: usize,
    /// The previous sample name and its family: most samples follow one of the same name.
    last_sample: (&'a [u8], usize),
    /// The name of the previous HELP, TYPE or UNIT line and its family.
    last_metadata: (&'a [u8], usize),
    /// A family got its type after other families had appeared.
    typed_late: bool,
    untidy: bool,
    ended: bool,
    samples: usize,
}

impl<'a> Reader<'a> {
    fn new(body: &'a Bytes, format: Format, limits: Limits) -> Self {
        Self {
            body,
            limits,
            assembly: Assembly::new(format),
            scanner: Scanner::new(format, limits.labels_max),
            open: None,
            open_from: 0,
            last_sample: (b"", 0),
            last_metadata: (b"", 0),
            typed_late: false,
            untidy: false,
            ended: false,
            samples: 0,
        }
    }

    /// One line; `next` is where the following one begins.
    fn line(&mut self, span: Span, next: usize) -> Result<(), Reason> {
        let mut line = self.body.get(span.start..span.end).unwrap_or_default();
        if line.len() > self.limits.line_bytes_max {
            return Err(Reason::LineTooLong(self.limits.line_bytes_max));
        }
        if self.ended {
            return Err(Reason::AfterEof);
        }
        let is_text = self.assembly.format == Format::Text;
        if is_text && matches!(line.first(), Some(b' ' | b'\t')) {
            let trimmed = trim_start(line);
            if matches!(trimmed.first(), None | Some(b'#')) {
                line = trimmed;
            }
        }
        match line.first() {
            None if is_text => Ok(()),
            None => Err(Reason::EmptyLine),
            Some(b'#') => self.comment(line, span.start),
            Some(_) => self.sample(line, Span { end: next, ..span }),
        }
    }

    /// The page, still without its body.
    fn finish(mut self) -> Result<Page, Reason> {
        if self.assembly.format == Format::OpenMetrics && !self.ended {
            return Err(Reason::EofMissing);
        }
        self.leave(self.body.len());
        if self.typed_late {
            self.assembly.settle();
        }
        Ok(Page {
            format: self.assembly.format,
            sources: Vec::new(),
            entries: self.assembly.entries,
            conflicts: self.assembly.conflicts,
            pristine: !self.untidy,
        })
    }

    fn sample(&mut self, line: &'a [u8], span: Span) -> Result<(), Reason> {
        let sample = self.scanner.sample(line)?;
        self.samples += 1;
        if self.samples > self.limits.samples_max {
            return Err(Reason::TooManySamples(self.limits.samples_max));
        }
        let family = if sample.name == self.last_sample.0 {
            self.last_sample.1
        } else if sample.quoted && sample.name.contains(&b'\\') {
            let name = write::unescaped(self.body, sample.name, true);
            self.family(&name, |_| name.clone())?
        } else {
            self.family(sample.name, |body| body.slice_ref(sample.name))?
        };
        self.last_sample = (sample.name, family);
        self.enter(family, span.start);
        if let Some(entry) = self.assembly.entries.get_mut(family) {
            entry.add_run(Run {
                span,
                series: 1,
                plain: sample.plain,
            });
        }
        Ok(())
    }

    /// The family a sample belongs to.
    fn family(&mut self, name: &[u8], own: impl FnOnce(&Bytes) -> Bytes) -> Result<usize, Reason> {
        // The name of metadata is kept as it is written, and a backslash in it stands for another.
        if self.last_metadata.0 == name && !name.contains(&b'\\') {
            return Ok(self.last_metadata.1);
        }
        match self.assembly.resolve(name) {
            Some(family) => Ok(family),
            None => self.insert(own(self.body)),
        }
    }

    fn insert(&mut self, name: Bytes) -> Result<usize, Reason> {
        if self.assembly.entries.len() >= self.limits.families_max {
            return Err(Reason::TooManyFamilies(self.limits.families_max));
        }
        Ok(self.assembly.insert(Entry::new(name)))
    }

    /// A line of the family begins at `start`; the block of the previous one ends there. Comments
    /// and empty lines stay with the family before them, those at the very top with the first.
    fn enter(&mut self, family: usize, start: usize) {
        if self.open == Some(family) {
            return;
        }
        self.leave(start);
        self.open_from = if self.open.is_none() { 0 } else { start };
        self.open = Some(family);
        let Some(entry) = self.assembly.entries.get_mut(family) else {
            return;
        };
        if entry.block.is_some() || !entry.runs.is_empty() || !entry.is_bare() {
            entry.scattered = true;
            if !entry.is_bare() {
                (entry.duplicate, entry.untidy) = (true, true);
            }
        }
    }

    fn leave(&mut self, end: usize) {
        let Some(entry) = self
            .open
            .and_then(|open| self.assembly.entries.get_mut(open))
        else {
            return;
        };
        let whole = Span {
            source: 0,
            start: self.open_from,
            end,
        };
        entry.block = (!entry.scattered && !entry.untidy).then_some(whole);
        self.untidy |= entry.untidy;
    }

    /// A line that begins with a hash.
    fn comment(&mut self, line: &'a [u8], start: usize) -> Result<(), Reason> {
        let is_text = self.assembly.format == Format::Text;
        if !is_text && line == b"# EOF" {
            self.leave(start);
            (self.open, self.ended) = (None, true);
            return Ok(());
        }
        let Some((keyword, rest)) = keyword(line, self.assembly.format) else {
            return if is_text {
                Ok(())
            } else {
                Err(Reason::Comment)
            };
        };
        let (name, after, quoted) = match quoted_length(rest) {
            Some(length) if length > 2 => (rest.get(1..length - 1), rest.get(length..), true),
            _ => {
                let length = name_length(rest);
                (rest.get(..length), rest.get(length..), false)
            }
        };
        let (name, after) = (name.unwrap_or_default(), after.unwrap_or_default());
        if name.is_empty() || !matches!(after.first(), None | Some(b' ' | b'\t')) {
            // The scraper of Prometheus reads past an odd HELP line, so it is a comment like others.
            let is_harmless = is_text && keyword == Keyword::Help;
            return if is_harmless {
                Ok(())
            } else {
                Err(Reason::MetricName)
            };
        }
        if !is_text && after.first() != Some(&b' ') {
            return Err(Reason::Blanks);
        }
        let family = self.declared(name, quoted)?;
        self.enter(family, start);
        self.declare(family, keyword, after.get(1..).unwrap_or_default())
    }

    /// The family of a HELP, TYPE or UNIT line.
    fn declared(&mut self, raw: &'a [u8], quoted: bool) -> Result<usize, Reason> {
        if raw == self.last_metadata.0 {
            return Ok(self.last_metadata.1);
        }
        let name = if quoted {
            write::unescaped(self.body, raw, true)
        } else {
            self.body.slice_ref(raw)
        };
        let family = match self.assembly.exact(&name) {
            Some(family) => family,
            None => self.insert(name)?,
        };
        self.last_metadata = (raw, family);
        // A name that went to another family by its suffix may now have its own.
        self.last_sample = (b"", 0);
        Ok(family)
    }

    fn declare(&mut self, family: usize, keyword: Keyword, text: &'a [u8]) -> Result<(), Reason> {
        let format = self.assembly.format;
        let is_latest = family + 1 == self.assembly.entries.len();
        let Some(entry) = self.assembly.entries.get_mut(family) else {
            return Ok(());
        };
        entry.untidy |= !entry.runs.is_empty();
        let twice = match keyword {
            Keyword::Help => {
                let help = write::unescaped(self.body, text, format == Format::OpenMetrics);
                entry.help.replace(help.clone()).is_some_and(|first| {
                    entry.help = Some(first);
                    true
                })
            }
            Keyword::Unit => {
                let named = entry
                    .name
                    .strip_suffix(text)
                    .is_some_and(|rest| rest.ends_with(b"_"));
                if !text.is_empty() && !named {
                    return Err(Reason::Unit);
                }
                let first = entry.unit.is_none();
                if first {
                    entry.unit = Some(self.body.slice_ref(text));
                }
                !first
            }
            Keyword::Type => {
                let word = if format == Format::Text {
                    text.trim_ascii()
                } else {
                    text
                };
                entry.untidy |= word.len() != text.len();
                let kind = Kind::from_word(word, format).ok_or(Reason::Type)?;
                let first = !entry.typed;
                if first {
                    (entry.kind, entry.typed) = (kind, true);
                    self.typed_late |= !is_latest;
                } else if entry.kind != kind {
                    self.assembly.conflicts += 1;
                }
                !first
            }
        };
        if twice {
            (entry.duplicate, entry.untidy) = (true, true);
        }
        Ok(())
    }
}

/// The keyword of a metadata line and what follows it; none for a comment.
pub(super) fn keyword(line: &[u8], format: Format) -> Option<(Keyword, &[u8])> {
    let after = line.strip_prefix(b"#")?;
    let (word, rest) = if format == Format::OpenMetrics {
        after.strip_prefix(b" ")?.split_at_checked(4)?
    } else {
        let word = trim_start(after);
        if word.len() == after.len() {
            return None;
        }
        word.split_at_checked(4)?
    };
    let keyword = match (word, format) {
        (b"HELP", _) => Keyword::Help,
        (b"TYPE", _) => Keyword::Type,
        (b"UNIT", Format::OpenMetrics) => Keyword::Unit,
        _ => return None,
    };
    if format == Format::OpenMetrics {
        return Some((keyword, rest.strip_prefix(b" ")?));
    }
    let behind = trim_start(rest);
    (behind.len() < rest.len()).then_some((keyword, behind))
}

/// Without the blanks in front; other white space is no blank in either format.
pub(super) fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    text.get(blanks..).unwrap_or_default()
}
