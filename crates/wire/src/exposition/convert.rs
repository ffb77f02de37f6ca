//! A page in one format becomes a page in the other. Lines that read the same in both are not
//! copied. What the other format cannot say is dropped: exemplars and units towards text, comments
//! in both directions.

use std::collections::HashSet;

use bytes::Bytes;

use super::assembly::{Assembly, Metadata};
use super::page::{Entry, Run, Span, Suffix, line_ranges};
use super::scan::{Sample, Scanner, number};
use super::{Format, Kind, Page, write};

impl Page {
    /// The same page with its samples kept in the given format. Towards OpenMetrics a counter
    /// `x_total` becomes the family `x`, and a counter without the ending, or one whose short name
    /// is taken, becomes unknown. Towards text `x` becomes `x_total` again, creation times and the
    /// parts of gauge histograms become gauges, info and state sets gauges.
    #[must_use]
    pub fn convert(self, format: Format) -> Self {
        if self.format == format {
            return self;
        }
        let mut converter = Converter {
            scanner: Scanner::new(self.format, usize::MAX),
            assembly: Assembly::new(format),
            text: Vec::new(),
            text_source: self.sources.len(),
        };
        converter.assembly.conflicts = self.conflicts;
        let names: HashSet<&[u8]> = self
            .entries
            .iter()
            .map(|entry| entry.name.as_ref())
            .collect();
        for entry in &self.entries {
            match format {
                Format::OpenMetrics => converter.add_as_open_metrics(&self, entry, &names),
                Format::Text => converter.add_as_text(&self, entry),
            }
        }
        converter.assembly.sources = self.sources;
        converter.assembly.sources.push(Bytes::from(converter.text));
        converter.assembly.into_page()
    }
}

struct Converter {
    /// Reads the old format.
    scanner: Scanner,
    /// The new page; its sources are the old ones and, last, `text`.
    assembly: Assembly,
    text: Vec<u8>,
    text_source: usize,
}

impl Converter {
    fn add_as_open_metrics(&mut self, page: &Page, entry: &Entry, names: &HashSet<&[u8]>) {
        let stripped = entry
            .name
            .strip_suffix(b"_total")
            .filter(|name| !name.is_empty());
        let (name, kind) = match (entry.kind, stripped) {
            (Kind::Counter, Some(short)) if is_free(short, names) => {
                (entry.name.slice_ref(short), Kind::Counter)
            }
            (Kind::Counter, _) => (entry.name.clone(), Kind::Unknown),
            (kind, _) => (entry.name.clone(), kind),
        };
        let family = self.declare(entry, name, entry.typed.then_some(kind));
        for run in &entry.runs {
            if run.plain {
                self.assembly.add_run(family, *run);
            } else {
                self.lines(page, *run, |_, _| family);
            }
        }
    }

    fn add_as_text(&mut self, page: &Page, entry: &Entry) {
        // The main family is there also without samples, so that nothing said about it is lost.
        let main = match entry.kind {
            Kind::Counter => Some((suffixed(&entry.name, "_total"), Kind::Counter)),
            Kind::Info => Some((suffixed(&entry.name, "_info"), Kind::Gauge)),
            Kind::StateSet => Some((entry.name.clone(), Kind::Gauge)),
            Kind::GaugeHistogram => None,
            kind => Some((entry.name.clone(), kind)),
        };
        let main = main.map(|(name, kind)| self.declare(entry, name, entry.typed.then_some(kind)));
        let is_whole = matches!(entry.kind, Kind::Gauge | Kind::Unknown | Kind::StateSet);
        for run in &entry.runs {
            match main {
                Some(family) if is_whole && run.plain => self.assembly.add_run(family, *run),
                _ => self.lines(page, *run, |converter, name| {
                    converter.text_family(entry, main, name)
                }),
            }
        }
    }

    /// The text family for a sample of an OpenMetrics family.
    fn text_family(&mut self, entry: &Entry, main: Option<usize>, name: &[u8]) -> usize {
        let suffix = Suffix::split(name).filter(|(base, _)| *base == entry.name.as_ref());
        let is_main = match (entry.kind, suffix) {
            (Kind::Counter, Some((_, suffix))) => suffix == Suffix::Total,
            (Kind::Info, Some((_, suffix))) => suffix == Suffix::Info,
            (Kind::GaugeHistogram, _) | (Kind::Counter | Kind::Info, None) => false,
            (_, Some((_, suffix))) => suffix != Suffix::Created,
            (_, None) => true,
        };
        match main {
            Some(family) if is_main => family,
            _ => self.declare(entry, Bytes::copy_from_slice(name), Some(Kind::Gauge)),
        }
    }

    fn declare(&mut self, entry: &Entry, name: Bytes, kind: Option<Kind>) -> usize {
        // Families of one old family have one help; no unit is ever carried over, as text has none.
        let at = self.assembly.exact(&name);
        let family = match at {
            Some(at) if kind == Some(Kind::Gauge) => at,
            _ => self.assembly.declared(Metadata {
                name,
                kind,
                help: entry.help.clone(),
                unit: None,
            }),
        };
        if let Some(new) = self.assembly.entries.get_mut(family) {
            new.duplicate |= entry.duplicate;
        }
        family
    }

    /// Converts the lines of a run one by one; `family` tells where each goes by its sample name.
    fn lines(&mut self, page: &Page, run: Run, mut family: impl FnMut(&mut Self, &[u8]) -> usize) {
        let bytes = page.bytes(run.span);
        for range in line_ranges(bytes) {
            let line = bytes.get(range.clone()).unwrap_or_default();
            let Ok(sample) = self.scanner.sample(line) else {
                continue;
            };
            let span = if sample.plain {
                let end = (run.span.start + range.end + 1).min(run.span.end);
                Span {
                    source: run.span.source,
                    start: run.span.start + range.start,
                    end,
                }
            } else {
                let start = self.text.len();
                rewrite(&mut self.text, &sample, page.format);
                Span {
                    source: self.text_source,
                    start,
                    end: self.text.len(),
                }
            };
            let name = if sample.quoted {
                let owned = Bytes::copy_from_slice(sample.name);
                write::unescaped(&owned, &owned, true)
            } else {
                Bytes::copy_from_slice(sample.name)
            };
            let at = family(self, &name);
            self.assembly.add_run(
                at,
                Run {
                    span,
                    series: 1,
                    plain: sample.plain,
                },
            );
        }
    }
}

/// Whether no family has the name, nor takes samples of that name by their suffix.
fn is_free(name: &[u8], names: &HashSet<&[u8]>) -> bool {
    !names.contains(name) && Suffix::split(name).is_none_or(|(base, _)| !names.contains(base))
}

fn suffixed(name: &[u8], suffix: &str) -> Bytes {
    Bytes::from([name, suffix.as_bytes()].concat())
}

/// A line in the other format: exact blanks, no comma behind the last label, the time stamp in the
/// other unit, no exemplar.
fn rewrite(out: &mut Vec<u8>, sample: &Sample<'_>, from: Format) {
    if !sample.quoted {
        out.extend_from_slice(sample.name);
    }
    if let Some(labels) = sample.labels {
        out.push(b'{');
        tighten(out, labels);
        out.push(b'}');
    }
    out.push(b' ');
    out.extend_from_slice(sample.value);
    if let Some(timestamp) = sample.timestamp {
        let converted = match from {
            Format::Text => seconds(timestamp),
            Format::OpenMetrics => milliseconds(timestamp).map(|value| value.to_string()),
        };
        if let Some(converted) = converted {
            out.push(b' ');
            out.extend_from_slice(converted.as_bytes());
        }
    }
    out.push(b'\n');
}

/// Copies labels without the blanks outside of quotes and the comma at the end.
fn tighten(out: &mut Vec<u8>, labels: &[u8]) {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for byte in labels {
        if is_quoted {
            is_quoted = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            out.push(*byte);
        } else if !matches!(byte, b' ' | b'\t') {
            is_quoted = *byte == b'"';
            out.push(*byte);
        }
    }
    if !is_quoted && out.last() == Some(&b',') {
        out.pop();
    }
}

/// Whole milliseconds as seconds, exactly.
fn seconds(milliseconds: &[u8]) -> Option<String> {
    let value: u64 = std::str::from_utf8(milliseconds).ok()?.parse().ok()?;
    let (whole, thousandths) = (value / 1000, value % 1000);
    if thousandths == 0 {
        return Some(whole.to_string());
    }
    let exact = format!("{whole}.{thousandths:03}");
    Some(exact.trim_end_matches('0').to_owned())
}

/// Seconds as whole milliseconds: exactly when written as a plain decimal, rounded otherwise. Times
/// before 1970 become 1970, as text has no word for them; no storage takes either.
fn milliseconds(seconds: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(seconds).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        let digits = format!("{whole}{fraction:0<3}");
        if let Ok(exact) = digits.parse::<i64>() {
            return Some(u64::try_from(exact).unwrap_or(0));
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to fit 64 bits when it was read"
    )]
    number(seconds)
        .map(|value| (value * 1000.0).round() as i64)
        .map(|value| u64::try_from(value).unwrap_or(0))
}
