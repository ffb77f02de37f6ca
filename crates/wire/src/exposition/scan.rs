//! One sample line cut into its parts and checked. It allocates nothing per line and does not know
//! families; comments and metadata are read in `parse`.

use super::{Format, Reason};

/// Label sets up to this size are compared pairwise for doubles; larger ones are sorted.
const PAIRWISE_MAX: usize = 16;

const NAME_START: u8 = 1;
const NAME: u8 = 2;
const LABEL_START: u8 = 4;
const LABEL: u8 = 8;

/// What each byte may be part of.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => NAME_START | NAME | LABEL_START | LABEL,
            b':' => NAME_START | NAME,
            b'0'..=b'9' => NAME | LABEL,
            _ => 0,
        };
        byte += 1;
    }
    table
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Whether a metric name needs no quotes.
pub(crate) fn is_classic_name(name: &[u8]) -> bool {
    name.first().is_some_and(|first| is(*first, NAME_START))
        && name.iter().all(|byte| is(*byte, NAME))
}

/// Whether a label name needs no quotes.
pub(crate) fn is_classic_label(name: &[u8]) -> bool {
    name.first().is_some_and(|first| is(*first, LABEL_START))
        && name.iter().all(|byte| is(*byte, LABEL))
}

/// Length of the classic metric name at the beginning of the text; 0 when there is none.
pub(super) fn name_length(text: &[u8]) -> usize {
    match text.first() {
        Some(first) if is(*first, NAME_START) => text
            .iter()
            .position(|byte| !is(*byte, NAME))
            .unwrap_or(text.len()),
        _ => 0,
    }
}

/// Length of the quoted string at the beginning of the text, quotes included; none when it is not
/// closed. Any character may be escaped.
pub(super) fn quoted_length(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        let rest = text.get(at..)?;
        let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if rest.get(special) == Some(&b'"') {
            return Some(at + special + 1);
        }
        at += special + 2;
    }
}

/// The parts of a sample line, escapes unresolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample<'a> {
    /// The metric name without quotes.
    pub(super) name: &'a [u8],
    /// The name stood in quotes inside the braces.
    pub(super) quoted: bool,
    /// What stands between the braces, a quoted name included; none without braces.
    pub(super) labels: Option<&'a [u8]>,
    pub(super) value: &'a [u8],
    pub(super) timestamp: Option<&'a [u8]>,
    pub(super) has_exemplar: bool,
    /// Where the name and the labels end in the line.
    pub(super) series_end: usize,
    /// Where the hash of the exemplar stands, when there is one.
    pub(super) exemplar_at: usize,
    /// Reads the same in both formats.
    pub(super) plain: bool,
}

/// Reads sample lines; holds the memory that is used again from line to line.
#[derive(Debug)]
pub(super) struct Scanner {
    format: Format,
    labels_max: usize,
    /// Where the label names of the present label set stand in the line.
    names: Vec<(usize, usize)>,
}

impl Scanner {
    pub(super) fn new(format: Format, labels_max: usize) -> Self {
        Self {
            format,
            labels_max,
            names: Vec::new(),
        }
    }

    /// Cuts a line, without its newline, into the parts of a sample.
    pub(super) fn sample<'a>(&mut self, line: &'a [u8]) -> Result<Sample<'a>, Reason> {
        let mut cursor = Cursor {
            line,
            at: 0,
            loose: false,
            plain: true,
        };
        cursor.at = name_length(line);
        let mut name = cursor.slice(0, cursor.at);
        let blanks = cursor.skip_counted();
        let mut labels = None;
        let mut quoted = false;
        let mut gap = blanks;
        let mut series_end = name.len();
        if cursor.peek() == b'{' {
            cursor.loose |= blanks > 0;
            cursor.at += 1;
            let inside = cursor.at;
            let named = self.labels(&mut cursor)?;
            labels = Some(cursor.slice(inside, cursor.at - 1));
            if let Some((from, to)) = named {
                if !name.is_empty() || from == to {
                    return Err(Reason::MetricName);
                }
                (name, quoted) = (cursor.slice(from, to), true);
            }
            series_end = cursor.at;
            gap = cursor.skip_counted();
        } else if blanks == 0 && cursor.at < line.len() {
            return Err(Reason::MetricName);
        }
        if name.is_empty() {
            return Err(Reason::MetricName);
        }
        cursor.loose |= gap != 1 || !cursor.follows_space();
        let mut sample = Sample {
            name,
            quoted,
            labels,
            value: b"",
            timestamp: None,
            has_exemplar: false,
            series_end,
            exemplar_at: 0,
            plain: false,
        };
        self.tail(&mut cursor, &mut sample)?;
        Ok(sample)
    }

    /// Value, time stamp and exemplar.
    fn tail<'a>(&mut self, cursor: &mut Cursor<'a>, sample: &mut Sample<'a>) -> Result<(), Reason> {
        sample.value = cursor.word();
        if !is_value(sample.value) {
            return Err(Reason::Value);
        }
        if cursor.at < cursor.line.len() {
            cursor.plain = false;
            cursor.one_space();
            if !matches!(cursor.peek(), b'#' | END) {
                let word = cursor.word();
                if !is_timestamp(word, self.format) {
                    return Err(Reason::Timestamp);
                }
                sample.timestamp = Some(word);
                if cursor.at < cursor.line.len() {
                    cursor.one_space();
                }
            }
            if cursor.peek() == b'#' && self.format == Format::OpenMetrics {
                sample.exemplar_at = cursor.at;
                self.exemplar(cursor, sample.name)?;
                sample.has_exemplar = true;
            }
            // A blank at the very end is loose, too.
            cursor.loose |= cursor.follows_space();
            if cursor.at < cursor.line.len() {
                return Err(Reason::TrailingText);
            }
        }
        if cursor.loose && self.format == Format::OpenMetrics {
            return Err(Reason::Blanks);
        }
        sample.plain = cursor.plain && !cursor.loose;
        Ok(())
    }

    /// ` # {labels} value [seconds]`, from the hash on.
    fn exemplar(&mut self, cursor: &mut Cursor<'_>, name: &[u8]) -> Result<(), Reason> {
        if !name.ends_with(b"_total") && !name.ends_with(b"_bucket") {
            return Err(Reason::ExemplarNotAllowed);
        }
        cursor.at += 1;
        cursor.one_space();
        if cursor.peek() != b'{' {
            return Err(Reason::Exemplar);
        }
        cursor.at += 1;
        if self.labels(cursor).map_err(|_| Reason::Exemplar)?.is_some() {
            return Err(Reason::Exemplar);
        }
        cursor.one_space();
        if !is_value(cursor.word()) {
            return Err(Reason::Exemplar);
        }
        if cursor.at < cursor.line.len() {
            cursor.one_space();
            if !is_timestamp(cursor.word(), Format::OpenMetrics) {
                return Err(Reason::Exemplar);
            }
        }
        Ok(())
    }

    /// Labels from behind the opening brace to behind the closing one. Answers where a quoted
    /// metric name stands, if one does.
    fn labels(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<(usize, usize)>, Reason> {
        self.names.clear();
        let mut metric = None;
        loop {
            cursor.skip_blanks();
            if cursor.peek() == b'}' {
                // A comma at the end is for the text format only.
                let has_comma = !self.names.is_empty() || metric.is_some();
                if has_comma && self.format == Format::OpenMetrics {
                    return Err(Reason::LabelName);
                }
                cursor.plain &= !has_comma;
                break;
            }
            let (from, to, quoted) = cursor.label_name()?;
            cursor.skip_blanks();
            if cursor.peek() == b'=' {
                cursor.at += 1;
                cursor.skip_blanks();
                let length = quoted_length(cursor.rest()).ok_or(Reason::LabelValue)?;
                cursor.at += length;
                cursor.skip_blanks();
                self.names.push((from, to));
                if self.names.len() > self.labels_max {
                    return Err(Reason::TooManyLabels(self.labels_max));
                }
            } else if quoted && metric.is_none() {
                metric = Some((from, to));
            } else if quoted {
                return Err(Reason::MetricName);
            } else {
                return Err(Reason::LabelValue);
            }
            match cursor.peek() {
                b',' => cursor.at += 1,
                b'}' => break,
                _ => return Err(Reason::LabelSeparator),
            }
        }
        cursor.at += 1;
        self.refuse_doubles(cursor.line)?;
        Ok(metric)
    }

    fn refuse_doubles(&mut self, line: &[u8]) -> Result<(), Reason> {
        let name = |&(from, to): &(usize, usize)| line.get(from..to).unwrap_or_default();
        let twice = if self.names.len() <= PAIRWISE_MAX {
            self.names.iter().enumerate().any(|(at, one)| {
                self.names
                    .iter()
                    .take(at)
                    .any(|other| name(one) == name(other))
            })
        } else {
            self.names
                .sort_unstable_by(|one, other| name(one).cmp(name(other)));
            self.names
                .is_sorted_by(|one, other| name(one) < name(other))
                .eq(&false)
        };
        if twice {
            Err(Reason::LabelTwice)
        } else {
            Ok(())
        }
    }
}

/// What [`Cursor::peek`] answers behind the last byte; a line holds no newline.
const END: u8 = b'\n';

/// A place in a line, and what was seen on the way to it.
#[derive(Debug)]
struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
    /// Blanks were seen that OpenMetrics does not allow.
    loose: bool,
    /// So far the line reads the same in both formats, blanks aside.
    plain: bool,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.line.get(from..to).unwrap_or_default()
    }

    fn peek(&self) -> u8 {
        self.line.get(self.at).copied().unwrap_or(END)
    }

    fn skip_counted(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), b' ' | b'\t') {
            self.at += 1;
        }
        self.at - start
    }

    fn skip_blanks(&mut self) {
        self.loose |= self.skip_counted() > 0;
    }

    /// Skips what should be exactly one space.
    fn one_space(&mut self) {
        let count = self.skip_counted();
        self.loose |= count != 1 || !self.follows_space();
    }

    fn follows_space(&self) -> bool {
        self.at
            .checked_sub(1)
            .and_then(|before| self.line.get(before))
            == Some(&b' ')
    }

    /// Everything up to the next blank.
    fn word(&mut self) -> &'a [u8] {
        let start = self.at;
        while !matches!(self.peek(), b' ' | b'\t' | END) {
            self.at += 1;
        }
        self.slice(start, self.at)
    }

    /// A label name, or a quoted string that may turn out to be the metric name.
    fn label_name(&mut self) -> Result<(usize, usize, bool), Reason> {
        let start = self.at;
        if self.peek() == b'"' {
            let length = quoted_length(self.rest()).ok_or(Reason::LabelName)?;
            self.at += length;
            if length == 2 {
                return Err(Reason::LabelName);
            }
            return Ok((start + 1, self.at - 1, true));
        }
        if !is(self.peek(), LABEL_START) {
            return Err(Reason::LabelName);
        }
        let rest = self.rest();
        self.at += rest
            .iter()
            .position(|byte| !is(*byte, LABEL))
            .unwrap_or(rest.len());
        Ok((start, self.at, false))
    }
}

/// Whether a word is a number that the scraper of Prometheus reads: a decimal float, infinity or
/// NaN as in Go's strconv.ParseFloat, without hexadecimal digits and underscores.
pub(crate) fn is_value(word: &[u8]) -> bool {
    let unsigned = match word {
        [b'+' | b'-', rest @ ..] => rest,
        _ => word,
    };
    let whole = digits(unsigned);
    let mut rest = unsigned.get(whole..).unwrap_or_default();
    if rest.is_empty() && whole > 0 && whole < 300 {
        return true;
    }
    let mut count = whole;
    if let [b'.', behind @ ..] = rest {
        let fraction = digits(behind);
        count += fraction;
        rest = behind.get(fraction..).unwrap_or_default();
    }
    if count == 0 {
        return unsigned.eq_ignore_ascii_case(b"inf")
            || unsigned.eq_ignore_ascii_case(b"infinity")
            || word.eq_ignore_ascii_case(b"nan");
    }
    if let [b'e' | b'E', behind @ ..] = rest {
        let exponent = match behind {
            [b'+' | b'-', more @ ..] => more,
            _ => behind,
        };
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return false;
        }
    } else if !rest.is_empty() {
        return false;
    } else if whole < 300 {
        return true;
    }
    // Only an exponent or hundreds of digits can leave the range, which Go refuses.
    number(word).is_some_and(f64::is_finite)
}

fn digits(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len())
}

/// A word that [`is_value`] accepts, as a number.
pub(super) fn number(word: &[u8]) -> Option<f64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Seconds whose milliseconds still fit 64 bits; the last ones are rounded to fit.
const SECONDS_MAX: f64 = 9_223_372_036_854_775.8;

fn is_timestamp(word: &[u8], format: Format) -> bool {
    match format {
        // Digits only: the scraper of Prometheus refuses even the minus that the format allows.
        Format::Text => {
            digits(word) == word.len()
                && std::str::from_utf8(word).is_ok_and(|word| word.parse::<i64>().is_ok())
        }
        Format::OpenMetrics => {
            is_value(word) && number(word).is_some_and(|seconds| seconds.abs() <= SECONDS_MAX)
        }
    }
}
