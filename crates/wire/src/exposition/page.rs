//! A page in memory: families in order of first appearance, their samples as ranges of the bytes
//! they came in. Reading, joining, converting and writing are next door.

use std::ops::Range;

use bytes::Bytes;

use super::Format;

/// Bounds of one page while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line, without its newline.
    pub line_bytes_max: usize,
    /// Families (distinct metric names, roughly) of one page.
    pub families_max: usize,
    /// Labels of one series.
    pub labels_max: usize,
    /// Sample lines of one page.
    pub samples_max: usize,
}

impl Default for Limits {
    /// 1 MiB a line, 100 000 families, 1000 labels, a million samples.
    fn default() -> Self {
        Self {
            line_bytes_max: 1 << 20,
            families_max: 100_000,
            labels_max: 1000,
            samples_max: 1_000_000,
        }
    }
}

/// What a family measures. The text format knows the first five only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `untyped` in text, `unknown` in OpenMetrics, and every family without a TYPE line.
    Unknown,
    /// A count that only grows.
    Counter,
    /// A value that moves both ways.
    Gauge,
    /// Cumulative buckets with sum and count.
    Histogram,
    /// Quantiles with sum and count.
    Summary,
    /// OpenMetrics: buckets of values that move both ways.
    GaugeHistogram,
    /// OpenMetrics: text in labels, value 1.
    Info,
    /// OpenMetrics: booleans named by a label.
    StateSet,
}

impl Kind {
    /// The word of a TYPE line; for a kind the format does not have, the nearest one.
    pub const fn word(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Unknown, Format::Text) => "untyped",
            (Self::Unknown, Format::OpenMetrics) => "unknown",
            (Self::Counter, _) => "counter",
            (Self::Histogram, _) => "histogram",
            (Self::Summary, _) => "summary",
            (Self::GaugeHistogram, Format::OpenMetrics) => "gaugehistogram",
            (Self::Info, Format::OpenMetrics) => "info",
            (Self::StateSet, Format::OpenMetrics) => "stateset",
            (Self::Gauge | Self::GaugeHistogram | Self::Info | Self::StateSet, _) => "gauge",
        }
    }

    /// The kind a TYPE line names; none when the format has no such type.
    pub fn from_word(word: &[u8], format: Format) -> Option<Self> {
        Some(match (word, format) {
            (b"counter", _) => Self::Counter,
            (b"gauge", _) => Self::Gauge,
            (b"histogram", _) => Self::Histogram,
            (b"summary", _) => Self::Summary,
            (b"untyped", Format::Text) | (b"unknown", Format::OpenMetrics) => Self::Unknown,
            (b"gaugehistogram", Format::OpenMetrics) => Self::GaugeHistogram,
            (b"info", Format::OpenMetrics) => Self::Info,
            (b"stateset", Format::OpenMetrics) => Self::StateSet,
            _ => return None,
        })
    }

    /// Whether samples named family plus suffix belong to a family of this kind.
    pub(super) const fn takes(self, suffix: Suffix, format: Format) -> bool {
        let is_open_metrics = matches!(format, Format::OpenMetrics);
        match self {
            Self::Histogram => {
                matches!(suffix, Suffix::Bucket | Suffix::Sum | Suffix::Count)
                    || is_open_metrics && matches!(suffix, Suffix::Created)
            }
            Self::Summary => {
                matches!(suffix, Suffix::Sum | Suffix::Count)
                    || is_open_metrics && matches!(suffix, Suffix::Created)
            }
            Self::Counter => is_open_metrics && matches!(suffix, Suffix::Total | Suffix::Created),
            Self::Info => is_open_metrics && matches!(suffix, Suffix::Info),
            Self::GaugeHistogram => {
                is_open_metrics
                    && matches!(
                        suffix,
                        Suffix::Bucket | Suffix::GaugeSum | Suffix::GaugeCount
                    )
            }
            Self::Unknown | Self::Gauge | Self::StateSet => false,
        }
    }
}

/// Endings of sample names that may belong to the family without the ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suffix {
    Bucket,
    Sum,
    Count,
    Total,
    Created,
    GaugeSum,
    GaugeCount,
    Info,
}

impl Suffix {
    /// Every suffix as it is written.
    pub(super) const ALL: [(Self, &'static str); 8] = [
        (Self::Bucket, "_bucket"),
        (Self::Sum, "_sum"),
        (Self::Count, "_count"),
        (Self::Total, "_total"),
        (Self::Created, "_created"),
        (Self::GaugeSum, "_gsum"),
        (Self::GaugeCount, "_gcount"),
        (Self::Info, "_info"),
    ];

    /// Splits `name_sum` into `name` and the suffix.
    pub(super) fn split(name: &[u8]) -> Option<(&[u8], Self)> {
        let at = memchr::memrchr(b'_', name)?;
        let ending = name.get(at..)?;
        let (suffix, _) = Self::ALL
            .into_iter()
            .find(|(_, text)| text.as_bytes() == ending)?;
        name.get(..at)
            .filter(|base| !base.is_empty())
            .map(|base| (base, suffix))
    }
}

/// Bytes of one source of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) source: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Sample lines of one family that stand together in one source, newlines included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) span: Span,
    pub(super) series: usize,
    /// All its lines read the same in both formats: no time stamp, exemplar or loose blank.
    pub(super) plain: bool,
}

/// One family as it is kept. A family is `bare` when no HELP, TYPE or UNIT line named it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: Bytes,
    pub(super) kind: Kind,
    pub(super) typed: bool,
    pub(super) help: Option<Bytes>,
    pub(super) unit: Option<Bytes>,
    pub(super) runs: Vec<Run>,
    /// The whole family, metadata included, when it may be written as it came.
    pub(super) block: Option<Span>,
    /// Its lines do not stand in one piece.
    pub(super) scattered: bool,
    /// Interleaved with others, or with a second HELP, TYPE or UNIT line.
    pub(super) duplicate: bool,
    /// Must be written anew: metadata twice, too late or oddly spaced.
    pub(super) untidy: bool,
}

impl Entry {
    pub(super) const fn new(name: Bytes) -> Self {
        Self {
            name,
            kind: Kind::Unknown,
            typed: false,
            help: None,
            unit: None,
            runs: Vec::new(),
            block: None,
            scattered: false,
            duplicate: false,
            untidy: false,
        }
    }

    pub(super) const fn is_bare(&self) -> bool {
        !self.typed && self.help.is_none() && self.unit.is_none()
    }

    /// Adds sample lines, lengthening the last run when they follow it directly.
    pub(super) fn add_run(&mut self, run: Run) {
        if let Some(last) = self.runs.last_mut()
            && last.span.source == run.span.source
            && last.span.end == run.span.start
        {
            last.span.end = run.span.end;
            last.series += run.series;
            last.plain &= run.plain;
        } else {
            // Nearly every family is one run: room for four would be most of a page's memory.
            self.runs.reserve_exact(usize::from(self.runs.is_empty()));
            self.runs.push(run);
        }
    }
}

/// A page of metrics: a list of families over the bytes they arrived in. Cloning copies no text.
#[derive(Debug, Clone)]
pub struct Page {
    pub(super) format: Format,
    pub(super) sources: Vec<Bytes>,
    pub(super) entries: Vec<Entry>,
    pub(super) conflicts: usize,
    /// One source, nothing joined, pushed or to be repaired: it may be written as it came.
    pub(super) pristine: bool,
}

impl Page {
    /// A page without families.
    pub const fn empty(format: Format) -> Self {
        Self {
            format,
            sources: Vec::new(),
            entries: Vec::new(),
            conflicts: 0,
            pristine: false,
        }
    }

    /// The format the samples are kept in.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The families in order of first appearance.
    pub fn families(&self) -> impl ExactSizeIterator<Item = Family<'_>> {
        self.entries
            .iter()
            .map(|entry| Family { page: self, entry })
    }

    /// The family of that name, if the page has it. Looks through all of them.
    pub fn family(&self, name: &str) -> Option<Family<'_>> {
        self.families().find(|family| family.name() == name)
    }

    /// Number of sample lines.
    pub fn series(&self) -> usize {
        self.entries
            .iter()
            .flat_map(|entry| &entry.runs)
            .map(|run| run.series)
            .sum()
    }

    /// Bytes held: the bodies the page was read from, plus what was pushed or converted.
    pub fn len_bytes(&self) -> usize {
        self.sources.iter().map(Bytes::len).sum()
    }

    /// Families that were interleaved with others or had a second HELP, TYPE or UNIT line within
    /// one page. They are joined; the number is for the operator.
    pub fn duplicate_families(&self) -> usize {
        self.entries.iter().filter(|entry| entry.duplicate).count()
    }

    /// Times a family was given two different types. The first one stays.
    pub const fn conflicts(&self) -> usize {
        self.conflicts
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        self.sources
            .get(span.source)
            .and_then(|source| source.get(span.start..span.end))
            .unwrap_or_default()
    }
}

/// One family of a page.
#[derive(Debug, Clone, Copy)]
pub struct Family<'a> {
    page: &'a Page,
    entry: &'a Entry,
}

impl<'a> Family<'a> {
    /// The name, unquoted. For OpenMetrics counters it has no `_total`.
    pub fn name(&self) -> &'a str {
        text(&self.entry.name)
    }

    /// The type; [`Kind::Unknown`] when no TYPE line named one.
    pub const fn kind(&self) -> Kind {
        self.entry.kind
    }

    /// The help text with its escapes resolved; none without a HELP line.
    pub fn help(&self) -> Option<&'a str> {
        self.entry.help.as_deref().map(text)
    }

    /// The unit of an OpenMetrics UNIT line.
    pub fn unit(&self) -> Option<&'a str> {
        self.entry.unit.as_deref().map(text)
    }

    /// Number of sample lines.
    pub fn series(&self) -> usize {
        self.entry.runs.iter().map(|run| run.series).sum()
    }

    /// The sample lines as they are kept, without newlines, blank lines or comments.
    pub fn lines(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let page = self.page;
        self.entry
            .runs
            .iter()
            .flat_map(move |run| lines(page.bytes(run.span)).map(text))
    }
}

/// The page was checked to be UTF-8 and names are cut at ASCII bytes, so nothing is ever lost here.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The lines of a run.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    line_ranges(bytes).map(|range| bytes.get(range).unwrap_or_default())
}

/// Where the lines of a run stand in it, newlines excluded.
pub(super) fn line_ranges(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let range = at..at + length;
        at += length + 1;
        Some(range)
    })
}
