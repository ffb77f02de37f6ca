//! The lines of a page one after the other, for a scraper that has seen most of the series before:
//! it says which series it expects next, and then neither the name nor a label is looked at. What
//! is new is checked as strictly as in [`super::Page`]; what was checked once is not checked again.

use std::borrow::Cow;

use super::parse::{Keyword, keyword, trim_start};
use super::scan::{Scanner, is_value, name_length, number, quoted_length};
use super::series::unescaped;
use super::{Format, Kind, Limits, ParseError, Reason};

/// What the scraper of Prometheus stores for `NaN`.
const NOT_A_NUMBER: f64 = f64::from_bits(0x7ff8_0000_0000_0001);
/// Digits of a number that a float holds exactly.
const EXACT_DIGITS_MAX: usize = 15;
/// Powers of ten that a float holds exactly, as far as [`EXACT_DIGITS_MAX`] digits need them.
const POWERS: [f64; EXACT_DIGITS_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// One line of a page that says something.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'a> {
    /// A value of a series.
    Sample(SampleLine<'a>),
    /// What the family measures.
    Type(Cow<'a, str>, Kind),
    /// What the family is for.
    Help(Cow<'a, str>, Cow<'a, str>),
    /// In which unit it measures.
    Unit(Cow<'a, str>, Cow<'a, str>),
}

/// A value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleLine<'a> {
    /// Name and labels as they stand on the line; see [`super::series_labels`].
    pub series: &'a [u8],
    /// It is the series that was expected.
    pub is_expected: bool,
    /// What was measured.
    pub value: f64,
    /// When, in milliseconds since 1970, if the page says so.
    pub timestamp: Option<i64>,
    /// The exemplar as it stands on the line; see [`super::exemplar`].
    pub exemplar: Option<&'a [u8]>,
}

/// Reads a page line by line.
#[derive(Debug)]
pub struct Stream<'a> {
    body: &'a [u8],
    at: usize,
    line: usize,
    format: Format,
    limits: Limits,
    scanner: Scanner,
    samples: usize,
    has_ended: bool,
}

impl<'a> Stream<'a> {
    /// Begins with the first line.
    pub fn new(body: &'a [u8], format: Format, limits: Limits) -> Self {
        Self {
            body,
            at: 0,
            line: 0,
            format,
            limits,
            scanner: Scanner::new(format, limits.labels_max),
            samples: 0,
            has_ended: false,
        }
    }

    /// What the next line that is no comment says; nothing at the end. `expected` is a series as a
    /// [`SampleLine`] of an earlier page of this format gave it, or nothing.
    ///
    /// # Errors
    /// The line breaks a rule of the format or a limit. What follows it is not read.
    pub fn next(&mut self, expected: &[u8]) -> Option<Result<Item<'a>, ParseError>> {
        loop {
            let rest = self.body.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                return self.end();
            }
            self.line += 1;
            if let Some((sample, length)) = known(rest, expected, self.format)
                && !self.has_ended
            {
                self.at += length;
                return Some(self.counted(sample));
            }
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default();
            self.at += length + 1;
            match self.read(line) {
                Ok(Some(item)) => return Some(Ok(item)),
                Ok(None) => {}
                Err(reason) => return Some(Err(self.failed(reason, line))),
            }
        }
    }

    fn failed(&mut self, reason: Reason, line: &[u8]) -> ParseError {
        self.at = self.body.len();
        self.has_ended = true;
        ParseError::new(self.line, reason, line)
    }

    fn end(&mut self) -> Option<Result<Item<'a>, ParseError>> {
        if self.format == Format::OpenMetrics && !self.has_ended {
            return Some(Err(self.failed(Reason::EofMissing, b"")));
        }
        None
    }

    fn counted(&mut self, sample: SampleLine<'a>) -> Result<Item<'a>, ParseError> {
        self.samples += 1;
        if self.samples > self.limits.samples_max {
            let reason = Reason::TooManySamples(self.limits.samples_max);
            return Err(self.failed(reason, sample.series));
        }
        Ok(Item::Sample(sample))
    }

    fn read(&mut self, mut line: &'a [u8]) -> Result<Option<Item<'a>>, Reason> {
        if line.len() > self.limits.line_bytes_max {
            return Err(Reason::LineTooLong(self.limits.line_bytes_max));
        }
        if self.has_ended {
            return Err(Reason::AfterEof);
        }
        let is_text = self.format == Format::Text;
        if is_text && matches!(line.first(), Some(b' ' | b'\t')) {
            let trimmed = trim_start(line);
            if matches!(trimmed.first(), None | Some(b'#')) {
                line = trimmed;
            }
        }
        match line.first() {
            None if is_text => Ok(None),
            None => Err(Reason::EmptyLine),
            Some(b'#') => self.comment(line),
            Some(_) => self.sample(line).map(Some),
        }
    }

    fn sample(&mut self, line: &'a [u8]) -> Result<Item<'a>, Reason> {
        let sample = self.scanner.sample(line)?;
        self.samples += 1;
        if self.samples > self.limits.samples_max {
            return Err(Reason::TooManySamples(self.limits.samples_max));
        }
        let timestamp = sample.timestamp.map(|word| milliseconds(word, self.format));
        let exemplar = line.get(sample.exemplar_at..);
        Ok(Item::Sample(SampleLine {
            series: line.get(..sample.series_end).unwrap_or_default(),
            is_expected: false,
            value: value(sample.value).ok_or(Reason::Value)?,
            timestamp: timestamp.transpose()?,
            exemplar: exemplar.filter(|_| sample.has_exemplar),
        }))
    }

    fn comment(&mut self, line: &'a [u8]) -> Result<Option<Item<'a>>, Reason> {
        let is_text = self.format == Format::Text;
        if !is_text && line == b"# EOF" {
            self.has_ended = true;
            return Ok(None);
        }
        let Some((keyword, rest)) = keyword(line, self.format) else {
            return if is_text {
                Ok(None)
            } else {
                Err(Reason::Comment)
            };
        };
        let (name, after, is_quoted) = match quoted_length(rest) {
            Some(length) if length > 2 => (rest.get(1..length - 1), rest.get(length..), true),
            _ => {
                let length = name_length(rest);
                (rest.get(..length), rest.get(length..), false)
            }
        };
        let (name, after) = (name.unwrap_or_default(), after.unwrap_or_default());
        if name.is_empty() || !matches!(after.first(), None | Some(b' ' | b'\t')) {
            // As in `parse`: an odd HELP line is a comment like others.
            return if is_text && keyword == Keyword::Help {
                Ok(None)
            } else {
                Err(Reason::MetricName)
            };
        }
        let text = after.get(1..).unwrap_or_default();
        let name = unescaped(name, is_quoted)?;
        Ok(Some(match keyword {
            Keyword::Help => Item::Help(name, unescaped(text, !is_text)?),
            Keyword::Unit => Item::Unit(name, unescaped(text, false)?),
            Keyword::Type => {
                let kind = Kind::from_word(text.trim_ascii(), self.format);
                Item::Type(name, kind.ok_or(Reason::Type)?)
            }
        }))
    }
}

/// A line of the series that is expected with nothing but a value, and perhaps a time stamp in whole
/// milliseconds; with it the bytes to the next line. Any other line is read the long way.
fn known<'a>(rest: &'a [u8], expected: &[u8], format: Format) -> Option<(SampleLine<'a>, usize)> {
    if expected.is_empty() || !rest.starts_with(expected) {
        return None;
    }
    let tail = rest.get(expected.len()..)?;
    let tail = tail.strip_prefix(b" ")?;
    let (value, length) = leading_number(tail)?;
    let after = tail.get(length..)?;
    let mut end = expected.len() + 1 + length;
    let timestamp = match after.first() {
        None => None,
        Some(b'\n') => {
            end += 1;
            None
        }
        Some(b' ') if format == Format::Text => {
            let digits = after.get(1..)?;
            let line = memchr::memchr(b'\n', digits).unwrap_or(digits.len());
            let digits = digits.get(..line)?;
            end += line + 2;
            Some(milliseconds(digits, format).ok()?)
        }
        Some(_) => return None,
    };
    let sample = SampleLine {
        series: rest.get(..expected.len())?,
        is_expected: true,
        value,
        timestamp,
        exemplar: None,
    };
    Some((sample, end))
}

/// A plain decimal number at the beginning of the text, and its length: up to 15 digits, which a
/// float holds exactly, so that one division rounds as it should. Nothing for other numbers that
/// follow the long way, which [`word_number`] reads.
fn leading_number(text: &[u8]) -> Option<(f64, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let mut at = usize::from(is_negative);
    let start = at;
    let mut mantissa = 0_u64;
    let mut fraction_from = None;
    while let Some(byte) = text.get(at) {
        match byte {
            b'0'..=b'9' if at - start <= EXACT_DIGITS_MAX => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
            }
            b'.' if fraction_from.is_none() => fraction_from = Some(at + 1),
            b' ' | b'\n' => break,
            _ => return word_number(text),
        }
        at += 1;
    }
    let digits = at - start - usize::from(fraction_from.is_some());
    if digits == 0 || digits > EXACT_DIGITS_MAX {
        return word_number(text);
    }
    let divisor = fraction_from.and_then(|from| POWERS.get(at - from));
    let value = mantissa as f64 / divisor.copied().unwrap_or(1.0);
    Some((if is_negative { -value } else { value }, at))
}

/// Any other number at the beginning of the text.
fn word_number(text: &[u8]) -> Option<(f64, usize)> {
    let length = memchr::memchr2(b' ', b'\n', text).unwrap_or(text.len());
    value(text.get(..length)?).map(|value| (value, length))
}

fn value(word: &[u8]) -> Option<f64> {
    if !is_value(word) {
        return None;
    }
    let value = number(word)?;
    Some(if value.is_nan() { NOT_A_NUMBER } else { value })
}

fn milliseconds(word: &[u8], format: Format) -> Result<i64, Reason> {
    match format {
        Format::Text => {
            let is_digits = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(word).ok().filter(|_| is_digits);
            let number = text.and_then(|text| text.parse().ok());
            number.ok_or(Reason::Timestamp)
        }
        Format::OpenMetrics => {
            let seconds = number(word).ok_or(Reason::Timestamp)?;
            #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
            Ok((seconds * 1000.0) as i64)
        }
    }
}
