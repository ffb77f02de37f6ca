//! What a record of the log says.

use super::super::TsdbError;
use super::super::chunk::Sample;
use super::super::tombstones::Tombstone;
use super::super::varint::Cursor;
use super::histogram;
use crate::exposition::Kind;
use crate::remote_write::kind_of;

/// Labels of a series; more than any store takes.
const LABELS_MAX: usize = 1 << 12;
/// Fields that are told of a metric.
const FIELDS_MAX: usize = 100;

/// Something that a record says. Series have numbers, which hold in the whole log.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A series gets its number.
    Series {
        /// The number.
        reference: u64,
        /// Names and values.
        labels: Vec<(&'a str, &'a str)>,
    },
    /// A sample.
    Sample {
        /// The series.
        reference: u64,
        /// In milliseconds since 1970.
        time: i64,
        /// What was measured.
        sample: Sample,
    },
    /// Samples that are gone.
    Deleted(Tombstone),
    /// A pointer from a series to something outside.
    Exemplar {
        /// The series.
        reference: u64,
        /// In milliseconds since 1970.
        time: i64,
        /// The value that was observed.
        value: f64,
        /// Its own labels.
        labels: Vec<(&'a str, &'a str)>,
    },
    /// What is known of the metric of a series.
    Metadata {
        /// The series.
        reference: u64,
        /// Its type.
        kind: Kind,
        /// A sentence for people.
        help: &'a str,
        /// Its unit, if it has one.
        unit: &'a str,
    },
    /// A record of a kind that is not known here, by its number.
    Unknown(u8),
}

/// Shows what a record says, in its order.
pub fn read(record: &[u8], see: &mut dyn FnMut(Event<'_>)) -> Result<(), TsdbError> {
    let mut from = Cursor::new(record, 0);
    let from = &mut from;
    let read = match from.byte() {
        Some(1) => all(from, see, |from| {
            Some(Event::Series {
                reference: from.eight()?,
                labels: labels(from)?,
            })
        }),
        Some(2) => based(from, see, |from| from.double().map(Sample::Float)),
        Some(3) => all(from, see, |from| {
            Some(Event::Deleted(Tombstone {
                reference: from.eight()?,
                start: from.signed()?,
                end: from.signed()?,
            }))
        }),
        Some(4) => exemplars(from, see),
        // Where late samples were before they came to where they are.
        Some(5) => Some(()),
        Some(6) => all(from, see, metadata),
        Some(7 | 9) => based(from, see, |from| {
            histogram::read(from, false).map(Sample::Histogram)
        }),
        Some(8 | 10) => based(from, see, |from| {
            histogram::read(from, true).map(Sample::Histogram)
        }),
        Some(11) => started(from, see, |from| from.double().map(Sample::Float)),
        Some(12) => started(from, see, |from| {
            histogram::read(from, false).map(Sample::Histogram)
        }),
        Some(13) => started(from, see, |from| {
            histogram::read(from, true).map(Sample::Histogram)
        }),
        Some(other) => {
            see(Event::Unknown(other));
            Some(())
        }
        None => None,
    };
    let what = "a record";
    let at = from.at();
    read.ok_or(TsdbError::Shape { what, at })
}

/// One after the other until the record ends.
fn all<'a>(
    from: &mut Cursor<'a>,
    see: &mut dyn FnMut(Event<'_>),
    one: impl Fn(&mut Cursor<'a>) -> Option<Event<'a>>,
) -> Option<()> {
    while !from.is_empty() {
        see(one(from)?);
    }
    Some(())
}

/// Samples whose numbers and times are told by differences to what the record begins with.
fn based(
    from: &mut Cursor<'_>,
    see: &mut dyn FnMut(Event<'_>),
    value: impl Fn(&mut Cursor<'_>) -> Option<Sample>,
) -> Option<()> {
    if from.is_empty() {
        return Some(());
    }
    let base = base(from)?;
    while !from.is_empty() {
        let (reference, time) = place(from, base)?;
        let sample = value(from)?;
        see(Event::Sample {
            reference,
            time,
            sample,
        });
    }
    Some(())
}

/// The same in the form that has a start for each sample: numbers are told by differences to the one
/// before, and starts are passed over.
fn started(
    from: &mut Cursor<'_>,
    see: &mut dyn FnMut(Event<'_>),
    value: impl Fn(&mut Cursor<'_>) -> Option<Sample>,
) -> Option<()> {
    if from.is_empty() {
        return Some(());
    }
    let mut reference = from.signed()?;
    let first = from.signed()?;
    from.signed()?;
    let mut time = first;
    loop {
        let sample = value(from)?;
        see(Event::Sample {
            reference: reference.cast_unsigned(),
            time,
            sample,
        });
        if from.is_empty() {
            return Some(());
        }
        reference = reference.wrapping_add(from.signed()?);
        time = first.wrapping_add(from.signed()?);
        // None, the same as before, or another one.
        if from.byte()? > 1 {
            from.signed()?;
        }
    }
}

/// The number and the time that others are told from; a record without samples does not have them.
fn base(from: &mut Cursor<'_>) -> Option<(u64, i64)> {
    Some((from.eight()?, from.eight()?.cast_signed()))
}

fn place(from: &mut Cursor<'_>, (reference, time): (u64, i64)) -> Option<(u64, i64)> {
    let reference = reference.wrapping_add_signed(from.signed()?);
    Some((reference, time.wrapping_add(from.signed()?)))
}

fn exemplars(from: &mut Cursor<'_>, see: &mut dyn FnMut(Event<'_>)) -> Option<()> {
    if from.is_empty() {
        return Some(());
    }
    let base = base(from)?;
    while !from.is_empty() {
        let (reference, time) = place(from, base)?;
        see(Event::Exemplar {
            reference,
            time,
            value: from.double()?,
            labels: labels(from)?,
        });
    }
    Some(())
}

fn labels<'a>(from: &mut Cursor<'a>) -> Option<Vec<(&'a str, &'a str)>> {
    let count = from.length().filter(|count| *count <= LABELS_MAX)?;
    let mut labels = Vec::with_capacity(count);
    for _ in 0..count {
        labels.push((from.text()?, from.text()?));
    }
    Some(labels)
}

fn metadata<'a>(from: &mut Cursor<'a>) -> Option<Event<'a>> {
    let reference = from.unsigned()?;
    let kind = kind_of(u64::from(from.byte()?));
    let fields = from.length().filter(|count| *count <= FIELDS_MAX)?;
    let (mut help, mut unit) = ("", "");
    for _ in 0..fields {
        match (from.text()?, from.text()?) {
            ("HELP", text) => help = text,
            ("UNIT", text) => unit = text,
            _ => {}
        }
    }
    Some(Event::Metadata {
        reference,
        kind,
        help,
        unit,
    })
}
