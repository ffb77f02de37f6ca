//! Requests, read where they lie: a request knows where its series are, a series where its labels are,
//! and the rest is stepped over when it is asked for.

use super::{Exemplar, HistogramSample, Metadata, Sample, Version, kind_of};
use crate::exposition::Kind;
use crate::histogram;
use crate::protobuf::{Field, Malformed, Reader};

/// Labels of one series or exemplar that are read.
pub const LABELS_MAX: usize = 1_024;
/// Texts in the table of a request of version 2.0.
pub const SYMBOLS_MAX: usize = 1_000_000;

/// The tag of field 1 when it holds bytes: labels stand first.
const LABELS_TAG: u8 = 1 << 3 | 2;

/// Names and values of labels, as bytes.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// One request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    version: Version,
    message: &'a [u8],
    symbols: Vec<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Looks over the unpacked body. The table of texts is found here; what is wrong in a series shows
    /// when it is read.
    pub fn read(version: Version, message: &'a [u8]) -> Result<Self, Malformed> {
        let mut symbols = Vec::new();
        let mut reader = match version {
            Version::One => Reader::new(&[]),
            Version::Two => Reader::new(message),
        };
        while let Some(field) = reader.field()? {
            if field.number == 4 {
                if symbols.len() >= SYMBOLS_MAX {
                    return Err(Malformed::Many(4, SYMBOLS_MAX));
                }
                symbols.push(field.bytes()?);
            }
        }
        if symbols.first().is_some_and(|first| !first.is_empty()) {
            return Err(Malformed::Meaning("the first symbol is not empty"));
        }
        Ok(Self {
            version,
            message,
            symbols,
        })
    }

    /// All series, in their order.
    pub fn series(&self) -> AllSeries<'_> {
        AllSeries {
            request: self,
            reader: Reader::new(self.message),
        }
    }

    /// What a request of version 1.0 says of metrics, with their names.
    pub fn metadata(&self) -> AllMetadata<'_> {
        let message = match self.version {
            Version::One => self.message,
            Version::Two => &[],
        };
        AllMetadata(Reader::new(message))
    }
}

/// The series of a request.
#[derive(Debug, Clone)]
pub struct AllSeries<'r> {
    request: &'r Request<'r>,
    reader: Reader<'r>,
}

impl<'r> Iterator for AllSeries<'r> {
    type Item = Result<Series<'r>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = match self.request.version {
            Version::One => 1,
            Version::Two => 5,
        };
        loop {
            match self.reader.field() {
                Ok(Some(field)) if field.number == number => {
                    let series = field.bytes();
                    return Some(series.and_then(|bytes| Series::read(self.request, bytes)));
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    self.reader = Reader::new(&[]);
                    return Some(Err(error));
                }
            }
        }
    }
}

/// A series with what was measured of it.
#[derive(Debug, Clone, Copy)]
pub struct Series<'r> {
    version: Version,
    symbols: &'r [&'r [u8]],
    /// The fields with labels, and only these unless the sender scattered them.
    labels: &'r [u8],
    fields: &'r [u8],
    is_scattered: bool,
    /// 2.0: when the counter began, for samples that do not say it.
    created: i64,
    metadata: Option<&'r [u8]>,
}

impl<'r> Series<'r> {
    fn read(request: &'r Request<'r>, message: &'r [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message);
        let labels = reader.run_of(LABELS_TAG)?;
        let mut series = Self {
            version: request.version,
            symbols: &request.symbols,
            labels,
            fields: reader.rest(),
            is_scattered: false,
            created: 0,
            metadata: None,
        };
        while let Some(field) = reader.field()? {
            match (request.version, field.number) {
                // Legal, and nobody does it.
                (_, 1) => {
                    (series.labels, series.fields) = (message, message);
                    series.is_scattered = true;
                }
                (Version::Two, 5) => series.metadata = Some(field.bytes()?),
                (Version::Two, 6) => series.created = field.signed()?,
                _ => {}
            }
        }
        Ok(series)
    }

    /// Puts names and values of its labels into `pairs`, in the sender's order.
    pub fn labels(&self, pairs: &mut Vec<Pair<'r>>) -> Result<(), Malformed> {
        pairs.clear();
        let mut reader = Reader::new(self.labels);
        let mut references = References::new(self.symbols);
        while let Some(field) = reader.field()? {
            if field.number == 1 {
                match self.version {
                    Version::One => push_label(pairs, field.bytes()?)?,
                    Version::Two => references.push(pairs, field)?,
                }
            }
        }
        references.finish()
    }

    /// Its labels as they were sent, when these bytes alone say which they are: in version 1.0, in one
    /// run. They may be malformed; [`Series::labels`] tells.
    pub fn plain_labels(&self) -> Option<&'r [u8]> {
        let is_plain = self.version == Version::One && !self.is_scattered;
        is_plain.then_some(self.labels)
    }

    /// What was measured, in the sender's order.
    pub fn items(&self) -> Items<'r> {
        Items {
            series: *self,
            reader: Reader::new(self.fields),
        }
    }

    /// What version 2.0 says of the metric with each series.
    pub fn metadata(&self) -> Result<Option<Metadata<'r>>, Malformed> {
        let Some(message) = self.metadata else {
            return Ok(None);
        };
        let mut metadata = Metadata {
            kind: Kind::Unknown,
            help: &[],
            unit: &[],
        };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 => metadata.kind = kind_of(field.unsigned()?),
                3 => metadata.help = symbol(self.symbols, field.unsigned()?)?,
                4 => metadata.unit = symbol(self.symbols, field.unsigned()?)?,
                _ => {}
            }
        }
        Ok(Some(metadata))
    }
}

fn push_label<'a>(pairs: &mut Vec<Pair<'a>>, message: &'a [u8]) -> Result<(), Malformed> {
    if pairs.len() >= LABELS_MAX {
        return Err(Malformed::Many(1, LABELS_MAX));
    }
    let (mut name, mut value) = (&[][..], &[][..]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    pairs.push((name, value));
    Ok(())
}

fn symbol<'a>(symbols: &[&'a [u8]], reference: u64) -> Result<&'a [u8], Malformed> {
    let at = usize::try_from(reference).unwrap_or(usize::MAX);
    symbols.get(at).copied().ok_or(Malformed::Symbol(reference))
}

/// References to names and values in turn, which may come in several fields.
struct References<'a> {
    symbols: &'a [&'a [u8]],
    name: Option<&'a [u8]>,
}

impl<'a> References<'a> {
    const fn new(symbols: &'a [&'a [u8]]) -> Self {
        Self {
            symbols,
            name: None,
        }
    }

    fn push(&mut self, pairs: &mut Vec<Pair<'a>>, field: Field<'_>) -> Result<(), Malformed> {
        for reference in field.varints()? {
            let text = symbol(self.symbols, reference?)?;
            match self.name.take() {
                None => self.name = Some(text),
                Some(_) if pairs.len() >= LABELS_MAX => {
                    return Err(Malformed::Many(1, LABELS_MAX));
                }
                Some(name) => pairs.push((name, text)),
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Malformed> {
        match self.name {
            None => Ok(()),
            Some(_) => Err(Malformed::Meaning("a label has a name and no value")),
        }
    }
}

/// Something that was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'r> {
    /// A number.
    Sample(Sample),
    /// A native histogram.
    Histogram(Box<HistogramSample>),
    /// An exemplar.
    Exemplar(Exemplar<'r>),
}

/// What was measured of a series.
#[derive(Debug, Clone)]
pub struct Items<'r> {
    series: Series<'r>,
    reader: Reader<'r>,
}

impl<'r> Iterator for Items<'r> {
    type Item = Result<Item<'r>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let item = self.read().transpose()?;
        if item.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(item)
    }
}

impl<'r> Items<'r> {
    #[inline]
    fn read(&mut self) -> Result<Option<Item<'r>>, Malformed> {
        while let Some(field) = self.reader.field()? {
            let item = match (self.series.version, field.number) {
                (_, 2) => Item::Sample(self.sample(field.bytes()?)?),
                (Version::One, 4) | (Version::Two, 3) => {
                    Item::Histogram(Box::new(self.histogram(field.bytes()?)?))
                }
                (Version::One, 3) | (Version::Two, 4) => {
                    Item::Exemplar(self.exemplar(field.bytes()?)?)
                }
                _ => continue,
            };
            return Ok(Some(item));
        }
        Ok(None)
    }

    #[inline]
    fn sample(&self, message: &[u8]) -> Result<Sample, Malformed> {
        let mut sample = Sample {
            value: 0.0,
            timestamp: 0,
            start: self.series.created,
        };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 => sample.value = field.double()?,
                2 => sample.timestamp = field.signed()?,
                3 => sample.start = field.signed()?,
                _ => {}
            }
        }
        Ok(sample)
    }

    fn histogram(&self, message: &'r [u8]) -> Result<HistogramSample, Malformed> {
        let (mut timestamp, mut start) = (0, self.series.created);
        let histogram = histogram::read(message, &histogram::REMOTE, |field| {
            match field.number {
                15 => timestamp = field.signed()?,
                17 => start = field.signed()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(HistogramSample {
            histogram,
            timestamp,
            start,
        })
    }

    fn exemplar(&self, message: &'r [u8]) -> Result<Exemplar<'r>, Malformed> {
        let mut exemplar = Exemplar {
            labels: Vec::new(),
            value: 0.0,
            timestamp: 0,
        };
        let mut references = References::new(self.series.symbols);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match (self.series.version, field.number) {
                (Version::One, 1) => push_label(&mut exemplar.labels, field.bytes()?)?,
                (Version::Two, 1) => references.push(&mut exemplar.labels, field)?,
                (_, 2) => exemplar.value = field.double()?,
                (_, 3) => exemplar.timestamp = field.signed()?,
                _ => {}
            }
        }
        references.finish()?;
        Ok(exemplar)
    }
}

/// Names of metrics and what is known of them.
#[derive(Debug, Clone)]
pub struct AllMetadata<'r>(Reader<'r>);

impl<'r> Iterator for AllMetadata<'r> {
    type Item = Result<(&'r [u8], Metadata<'r>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.field() {
                Ok(Some(field)) if field.number == 3 => {
                    return Some(field.bytes().and_then(metric));
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    self.0 = Reader::new(&[]);
                    return Some(Err(error));
                }
            }
        }
    }
}

fn metric(message: &[u8]) -> Result<(&[u8], Metadata<'_>), Malformed> {
    let mut name = &[][..];
    let mut metadata = Metadata {
        kind: Kind::Unknown,
        help: &[],
        unit: &[],
    };
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => metadata.kind = kind_of(field.unsigned()?),
            2 => name = field.bytes()?,
            4 => metadata.help = field.bytes()?,
            5 => metadata.unit = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, metadata))
}
