//! Requests as a sender writes them.

use std::collections::HashMap;

use super::{Exemplar, HistogramSample, Metadata, Sample, Version, number_of};
use crate::histogram;
use crate::protobuf::Writer;

/// What was measured of a series.
#[derive(Debug, Clone, Copy, Default)]
pub struct Points<'a> {
    /// Numbers, in the order of their times.
    pub samples: &'a [Sample],
    /// Native histograms, in the order of their times.
    pub histograms: &'a [HistogramSample],
    /// Exemplars.
    pub exemplars: &'a [Exemplar<'a>],
    /// Only version 2.0 says it here.
    pub metadata: Option<Metadata<'a>>,
}

/// Gathers a request.
#[derive(Debug)]
pub struct Encoder {
    version: Version,
    series: Writer,
    symbols: Writer,
    references: HashMap<Box<[u8]>, u64, foldhash::fast::RandomState>,
}

impl Encoder {
    /// An empty request.
    pub fn new(version: Version) -> Self {
        let mut encoder = Self {
            version,
            series: Writer::default(),
            symbols: Writer::default(),
            references: HashMap::default(),
        };
        if version == Version::Two {
            encoder.refer(b"");
        }
        encoder
    }

    /// Adds a series. Its labels have to be sorted by name.
    pub fn series<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        points: &Points<'_>,
    ) {
        let mut message = Writer::default();
        self.labels(&mut message, labels.into_iter());
        for sample in points.samples {
            message.message(2, |out| {
                out.double(1, sample.value);
                out.signed(2, sample.timestamp);
                if self.version == Version::Two {
                    out.signed(3, sample.start);
                }
            });
        }
        let (histograms, exemplars, number) = match self.version {
            Version::One => (4, 3, 1),
            Version::Two => (3, 4, 5),
        };
        for sample in points.histograms {
            message.message(histograms, |out| {
                histogram::write(&sample.histogram, &histogram::REMOTE, out);
                out.signed(15, sample.timestamp);
                if self.version == Version::Two {
                    out.signed(17, sample.start);
                }
            });
        }
        for exemplar in points.exemplars {
            let mut out = Writer::default();
            self.labels(&mut out, exemplar.labels.iter().copied());
            out.double(2, exemplar.value);
            out.signed(3, exemplar.timestamp);
            message.bytes(exemplars, out.as_bytes());
        }
        if let (Version::Two, Some(metadata)) = (self.version, points.metadata) {
            let (help, unit) = (self.refer(metadata.help), self.refer(metadata.unit));
            message.message(5, |out| {
                out.unsigned(1, number_of(metadata.kind));
                out.unsigned(3, help);
                out.unsigned(4, unit);
            });
        }
        self.series.bytes(number, message.as_bytes());
    }

    /// Says what is known of a metric; version 2.0 does so with each series.
    pub fn metadata(&mut self, name: &str, metadata: &Metadata<'_>) {
        if self.version == Version::One {
            self.series.message(3, |out| {
                out.unsigned(1, number_of(metadata.kind));
                out.text(2, name);
                out.bytes(4, metadata.help);
                out.bytes(5, metadata.unit);
            });
        }
    }

    /// The request, to be packed.
    pub fn finish(self) -> Vec<u8> {
        let mut message = self.symbols;
        message.raw(self.series.as_bytes());
        message.finish()
    }

    fn labels<'a>(&mut self, out: &mut Writer, labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        match self.version {
            Version::One => {
                for (name, value) in labels {
                    out.message(1, |out| {
                        out.bytes(1, name);
                        out.bytes(2, value);
                    });
                }
            }
            Version::Two => {
                let pairs = labels.flat_map(|(name, value)| [name, value]);
                let references: Vec<u64> = pairs.map(|text| self.refer(text)).collect();
                out.varints(1, references.into_iter());
            }
        }
    }

    fn refer(&mut self, text: &[u8]) -> u64 {
        if let Some(reference) = self.references.get(text) {
            return *reference;
        }
        let reference = self.references.len() as u64;
        self.references.insert(text.into(), reference);
        self.symbols.bytes(4, text);
        reference
    }
}
